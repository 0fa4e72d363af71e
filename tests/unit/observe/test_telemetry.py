"""What Prometheus answers is counted between scrapes, never extrapolated."""

from typing import Any

import pytest

from chaos.model.edge import Edge
from chaos.observe import telemetry

EDGE = Edge.of("reviews -> ratings")
RATINGS = "ratings.bookinfo.svc.cluster.local"


def series(*values: tuple[float, int], pod: str = "reviews-v3-1", **labels: str) -> dict[str, Any]:
    return {
        "metric": {"instance": f"10.0.0.1:15020/{pod}", "pod": pod, **labels},
        "values": [[at, str(count)] for at, count in values],
    }


def read(*requests: dict[str, Any], durations: tuple[dict[str, Any], ...] = (), stretch: float = 60) -> Any:
    return telemetry.read(EDGE, requests, durations, stretch)


# -- what is asked
def test_the_query_is_for_the_raw_samples_that_the_callers_report() -> None:
    callers = [("bookinfo", "reviews-v3"), ("bookinfo", "reviews.v2"), ("bookinfo", "reviews.v2")]

    (asked,) = telemetry.queries(telemetry.REQUESTS, callers, RATINGS, 30.2)

    assert asked == (
        'istio_requests_total{reporter="source",source_workload_namespace="bookinfo",'
        'destination_service="ratings.bookinfo.svc.cluster.local",source_workload=~"reviews-v3|reviews\\\\.v2"}[30s]'
    )


def test_each_namespace_of_callers_is_asked_for_by_itself() -> None:
    asked = telemetry.queries(telemetry.DURATIONS, [("b", "x"), ("a", "y")], RATINGS, 10)

    assert [query.partition("source_workload_namespace=")[2][:3] for query in asked] == ['"a"', '"b"']


# -- what is counted
def test_what_rose_between_the_scrapes_is_counted() -> None:
    seen = read(
        series((100, 40), (115, 70), (130, 100), response_code="200"),
        series((100, 1), (115, 1), (130, 4), response_code="503"),
    )

    assert (seen.requests, seen.errors, seen.began, seen.ended, seen.doubt) == (63, 3, 100, 130, "")


def test_a_kind_of_answer_that_is_new_began_at_nothing() -> None:
    seen = read(series((100, 40), (115, 70), response_code="200"), series((115, 5), response_code="503"))

    assert (seen.requests, seen.errors) == (35, 5)


def test_a_proxy_that_is_scraped_later_is_not_new() -> None:
    seen = read(
        series((100, 40), (115, 70), response_code="200"),
        series((107, 1000), (122, 1010), pod="reviews-v3-2", response_code="200"),
    )

    assert seen.requests == 30 + 10


def test_a_counter_that_was_started_anew_is_counted_on() -> None:
    assert read(series((100, 40), (115, 50), (130, 7), response_code="200")).requests == 10 + 7


@pytest.mark.parametrize(
    ("labels", "failed"),
    [
        ({"response_code": "200"}, False),
        ({"response_code": "404"}, False),
        ({"response_code": "500"}, True),
        ({"response_code": "0"}, True),
        ({"response_code": "200", "grpc_response_status": "0"}, False),
        ({"response_code": "200", "grpc_response_status": "5"}, False),
        ({"response_code": "200", "grpc_response_status": "14"}, True),
    ],
)
def test_errors_are_what_the_server_is_to_blame_for(labels: dict[str, str], failed: bool) -> None:
    assert read(series((100, 0), (115, 1), **labels)).errors == failed


def test_buckets_are_summed_over_proxies_and_answers_in_seconds() -> None:
    seen = read(
        series((100, 0), (115, 12), response_code="200"),
        durations=(
            series((100, 0), (115, 4), le="5"),
            series((100, 0), (115, 8), le="5", pod="reviews-v3-2"),
            series((100, 0), (115, 12), le="+Inf"),
        ),
    )

    assert seen.buckets == ((0.005, 12), (float("inf"), 12))


# -- what cannot be told
def test_one_scrape_is_no_figure() -> None:
    seen = read(series((100, 40), response_code="200"), series((104, 7), pod="other", response_code="200"), stretch=10)

    assert "scraped only once within 10 s" in seen.doubt
    assert seen.requests == 0


def test_no_series_says_what_that_can_mean() -> None:
    assert "no istio_requests_total of reviews -> ratings" in read().doubt
