"""Which policy a proxy's configuration shows, and whether it would act on a failure."""

from __future__ import annotations

import pytest

from chaos.envoy.policy import ClusterPolicy, Failure, Outlier, RoutePolicy, edge_policy, short, together

ISTIO_RETRIES = {
    "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
    "num_retries": 2,
    "host_selection_retry_max_attempts": "5",
}
UNLIMITED = {
    "max_connections": 4294967295,
    "max_pending_requests": 4294967295,
    "max_requests": 4294967295,
    "max_retries": 4294967295,
}


def route(retries=None, timeout="0s", **more):
    action = {"cluster": "outbound|80||api.default.svc.cluster.local", "timeout": timeout}
    return {"name": "r", "route": action | ({"retry_policy": retries} if retries else {}), **more}


def cluster(limits=None, outlier=None):
    made = {"name": "outbound|80||api.default.svc.cluster.local", "circuit_breakers": {"thresholds": [UNLIMITED | (limits or {})]}}
    return made | ({"outlier_detection": outlier} if outlier is not None else {})


def policy(*routes, clusters=()):
    return edge_policy({"name": "api:80", "routes": list(routes)}, clusters)


def on(retry_on, codes=(), **more):
    return {"retry_on": retry_on, "num_retries": 2, "retriable_status_codes": list(codes), **more}


class TestReading:
    def test_a_route(self):
        written = route(on("5xx,retriable-status-codes", [418], per_try_timeout="0.4s"), timeout="1s")
        (found,) = policy(written).routes

        assert (found.name, found.timeout, found.clusters) == ("r", 1.0, ("outbound|80||api.default.svc.cluster.local",))
        assert (found.retries.attempts, found.retries.conditions) == (2, ("5xx", "retriable-status-codes"))
        assert (found.retries.codes, found.retries.per_try_timeout) == ((418,), 0.4)
        assert not found.has_fault

    @pytest.mark.parametrize(("timeout", "expected"), [({"timeout": "0s"}, None), ({}, 15.0), ({"timeout": "2.5s"}, 2.5)])
    def test_no_timeout_has_to_be_said(self, timeout, expected):
        (found,) = policy({"route": {"cluster": "c", **timeout}}).routes

        assert found.timeout == expected

    def test_the_arms_of_a_split(self):
        weighted = {"weighted_clusters": {"clusters": [{"name": "a", "weight": 90}, {"name": "b", "weight": 10}]}, "timeout": "0s"}

        assert policy({"route": weighted}).routes[0].clusters == ("a", "b")

    @pytest.mark.parametrize("answer", ["redirect", "direct_response"])
    def test_a_route_that_calls_nobody(self, answer):
        assert policy({"name": "r", answer: {}}).routes == (RoutePolicy(name="r", timeout=None, retries=None, clusters=()),)

    def test_retries_of_the_virtual_host(self):
        found = edge_policy({"routes": [route(), route(on("reset"))], "retry_policy": on("5xx")}, ())

        assert [r.retries.conditions for r in found.routes] == [("5xx",), ("reset",)]

    def test_a_fault_that_is_there_already(self):
        (found,) = policy(route(typed_per_filter_config={"envoy.filters.http.fault": {}})).routes

        assert found.has_fault

    @pytest.mark.parametrize(
        ("outlier", "expected"),
        [
            (None, None),
            ({}, (5, 0, 10.0, 30.0, 10)),
            ({"consecutive_5xx": 3, "enforcing_consecutive_5xx": 100}, (3, 0, 10.0, 30.0, 10)),
            ({"consecutive_5xx": 0, "enforcing_consecutive_5xx": 0}, (0, 0, 10.0, 30.0, 10)),
            ({"consecutive_gateway_failure": 2, "enforcing_consecutive_gateway_failure": 100}, (5, 2, 10.0, 30.0, 10)),
            ({"interval": "1s", "base_ejection_time": "5s", "max_ejection_percent": 50}, (5, 0, 1.0, 5.0, 50)),
        ],
    )
    def test_outlier_detection(self, outlier, expected):
        (found,) = policy(clusters=[cluster(outlier=outlier)]).clusters

        names = ("consecutive_5xx", "consecutive_gateway", "interval", "base_ejection", "max_ejection_percent")
        assert found.outlier == (None if expected is None else Outlier(**dict(zip(names, expected, strict=True))))

    @pytest.mark.parametrize(
        ("breakers", "limits", "share"),
        [
            ([UNLIMITED], {}, None),
            ([UNLIMITED | {"max_requests": 8}], {"requests": 8}, None),
            ([UNLIMITED | {"max_requests": 8}, {"max_requests": 1}], {"requests": 8}, None),
            ([{"priority": "HIGH", "max_requests": 1}, UNLIMITED], {}, None),
            ([], {"connections": 1024, "pending requests": 1024, "requests": 1024, "retries": 3}, None),
            ([UNLIMITED | {"max_retries": 9, "retry_budget": {"budget_percent": {"value": 30}}}], {}, 30.0),
            ([UNLIMITED | {"retry_budget": {"budget_percent": {}}}], {}, 0.0),
        ],
        ids=["none", "one", "the first counts", "priority", "Envoy's own", "budget", "budget of zero"],
    )
    def test_limits(self, breakers, limits, share):
        found = policy(clusters=[{"name": "c", "circuit_breakers": {"thresholds": breakers}}]).clusters

        assert found == (ClusterPolicy(name="c", outlier=None, limits=limits, retry_share=share),)

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("outbound|9080|v3|reviews.bookinfo.svc.cluster.local", "reviews.bookinfo:9080 v3"),
            ("outbound|80||api.example.com", "api.example.com:80"),
            ("mine", "mine"),
        ],
    )
    def test_short_names(self, name, expected):
        assert short(name) == expected


@pytest.mark.parametrize(
    ("retries", "failure", "acts"),
    [
        (ISTIO_RETRIES, Failure(status=503), False),
        (ISTIO_RETRIES, Failure(status=503, on_grpc=True), True),
        (ISTIO_RETRIES, Failure(status=500, on_grpc=True), False),
        (ISTIO_RETRIES, Failure(grpc=14), True),
        (ISTIO_RETRIES, Failure(grpc=1), True),
        (ISTIO_RETRIES, Failure(grpc=13), False),
        (on("5xx"), Failure(status=500), True),
        (on("5xx"), Failure(status=599), True),
        (on("5xx"), Failure(status=429), False),
        (on("5xx"), Failure(grpc=14), False),
        (on("gateway-error"), Failure(status=502), True),
        (on("gateway-error"), Failure(status=504), True),
        (on("gateway-error"), Failure(status=500), False),
        (on("retriable-4xx"), Failure(status=409), True),
        (on("retriable-4xx"), Failure(status=404), False),
        (on("retriable-status-codes", [418]), Failure(status=418), True),
        (on("reset", [418]), Failure(status=418), False),
        (on("reset,connect-failure,refused-stream,reset-before-request"), Failure(status=503), False),
        (on("deadline-exceeded"), Failure(grpc=4), True),
        (on("resource-exhausted"), Failure(grpc=8), True),
        (on("internal"), Failure(grpc=13), True),
        (on("5xx", num_retries=0), Failure(status=503), False),
        (on("5xx"), Failure(delay=5), False),
    ],
)
def test_retries(retries, failure, acts):
    assert (policy(route(retries)).acts_on(failure) is not None) is acts


@pytest.mark.parametrize(
    ("timeout", "per_try", "failure", "word"),
    [
        ("1s", None, Failure(delay=0.7), None),
        ("1s", None, Failure(delay=1.5), "times out after 1 s"),
        ("0s", None, Failure(delay=60), None),
        ("1s", "0.4s", Failure(delay=0.7), "gives up a try after 0.4 s"),
        ("0s", "0.4s", Failure(delay=0.3), None),
        ("1s", None, Failure(throttled=True), "times out after 1 s"),
        ("0s", "0.4s", Failure(throttled=True), None),
        ("1s", "0.4s", Failure(status=503), None),
    ],
)
def test_timeouts(timeout, per_try, failure, word):
    retries = {"retry_on": "reset", "num_retries": 1, "per_try_timeout": per_try} if per_try else None
    reason = policy(route(retries, timeout=timeout)).acts_on(failure)

    assert (reason is None) if word is None else (word in reason)


@pytest.mark.parametrize(
    ("outlier", "failure", "acts"),
    [
        ({}, Failure(status=500), True),
        ({}, Failure(status=429), False),
        ({}, Failure(grpc=14), True),
        ({}, Failure(grpc=13), True),
        ({}, Failure(grpc=8), False),
        ({}, Failure(grpc=1), False),
        ({}, Failure(status=503, on_grpc=True), True),
        ({"enforcing_consecutive_5xx": 0}, Failure(status=500), False),
    ],
)
def test_outlier_detection(outlier, failure, acts):
    assert (policy(clusters=[cluster(outlier=outlier)]).acts_on(failure) is not None) is acts


GATEWAY_ONLY = {"enforcing_consecutive_5xx": 0, "consecutive_gateway_failure": 2, "enforcing_consecutive_gateway_failure": 100}


@pytest.mark.parametrize(
    ("failure", "acts"),
    [
        (Failure(status=500), False),
        (Failure(status=502), True),
        (Failure(grpc=14), True),
        (Failure(grpc=4), True),
        (Failure(grpc=2), False),
    ],
)
def test_gateway_errors_alone(failure, acts):
    assert (policy(clusters=[cluster(outlier=GATEWAY_ONLY)]).acts_on(failure) is not None) is acts


@pytest.mark.parametrize(
    ("limits", "failure", "acts"),
    [
        ({"max_requests": 8}, Failure(delay=1), True),
        ({"max_requests": 8}, Failure(throttled=True), True),
        ({"max_requests": 8}, Failure(status=503), False),
        ({"max_retries": 1}, Failure(delay=1), False),
        ({}, Failure(delay=1), False),
    ],
)
def test_pools_fill_up_with_slow_answers(limits, failure, acts):
    assert (policy(clusters=[cluster(limits)]).acts_on(failure) is not None) is acts


def test_the_reason_names_the_policy():
    reason = policy(route(on("5xx,retriable-status-codes", [418], per_try_timeout="0.4s"), timeout="1s")).acts_on(
        Failure(status=503)
    )

    assert reason == "the mesh retries such an answer (route r: timeout 1 s, 2 retries on 5xx,418, 0.4 s per try)"


def test_summaries():
    both = together(
        [
            policy(
                route(on("reset", num_retries=1, per_try_timeout="0.4s"), timeout="1s"), clusters=[cluster({"max_requests": 8}, {})]
            ),
            policy(route(on("5xx", num_retries=3)), clusters=[cluster(outlier=GATEWAY_ONLY)]),
        ]
    )

    assert (both.timeout, both.attempts) == (0.4, 3)
    assert both.lines == (
        "route r: timeout 1 s, 1 retry on reset, 0.4 s per try",
        "route r: no timeout, 3 retries on 5xx",
        "api.default:80: ejects after 5 x 5xx for 30 s, at most 10 % of the hosts, at most 8 requests",
        "api.default:80: ejects after 2 gateway errors for 30 s, at most 10 % of the hosts",
    )


def test_nothing_is_said_of_nothing():
    quiet = policy(route(), clusters=[{"name": "c", "circuit_breakers": {"thresholds": [UNLIMITED | {"retry_budget": {}}]}}])

    assert (quiet.timeout, quiet.attempts, quiet.acts_on(Failure(status=503, delay=60))) == (None, 0, None)
    assert quiet.lines == ("route r: no timeout, no retries", "c: no outlier detection, at most 20 % retries")


def test_an_outlier_detection_that_counts_nothing_says_so():
    (found,) = policy(clusters=[cluster(outlier={"enforcing_consecutive_5xx": 0})]).clusters

    assert str(found) == "api.default:80: outlier detection that counts neither 5xx nor gateway errors"
