import pytest

from chaos.errors import Refused
from chaos.injection.switch import Live, merged, routes
from chaos.model.edge import Edge
from chaos.model.fault import Fault, abort, delay
from chaos.model.injection import InjectionRequest, Side
from chaos.model.marks import Mark

MARK = Mark("0123456789ab", 1)


def live(number: int, fault: Fault, side: Side = Side.CALLEE, **request: object) -> Live:
    return Live(numbers=(number,), side=side, request=InjectionRequest(fault=fault, edge=Edge.of("a -> b"), **request))


def added(route: dict) -> dict[str, str]:
    return {h["header"]["key"]: h["header"]["value"] for h in route["request_headers_to_add"]}


def test_without_an_injection_own_traffic_is_only_observed() -> None:
    forms = routes("istio-chaos.x.1", MARK, [])

    assert [r["match"]["headers"][0]["name"] for r in forms] == ["traceparent", "baggage", "x-b3-traceid", "b3"]
    assert all(added(r).keys() == {"x-istio-chaos-call"} for r in forms)
    never = {"num_retries": 0}
    assert all(r["route"] == {"cluster": "istio-chaos.x.1.call", "timeout": "0s", "retry_policy": never} for r in forms)
    assert forms[0]["match"]["headers"] == [{"name": "traceparent", "string_match": {"prefix": "00-0123456789ab0001"}}]


def test_an_injection_adds_what_the_fault_filter_obeys() -> None:
    first = routes("p", MARK, [live(7, abort(503, percent=33.3) + delay("1500ms", percent=0.57))])[0]

    assert {k: v for k, v in added(first).items() if k != "x-istio-chaos-call"} == {
        "x-istio-chaos": "callee:all;7",
        "x-envoy-fault-abort-request": "503",
        "x-envoy-fault-abort-request-percentage": "333000",
        "x-envoy-fault-delay-request": "1500",
        "x-envoy-fault-delay-request-percentage": "5699",
    }


def test_hit_requests_are_told_apart_before_the_rest() -> None:
    out = routes("p", MARK, [live(7, abort(503), match={"end-user": "jason"})])

    assert [("x-istio-chaos" in added(r)) for r in out] == [True] * 4 + [False] * 4
    assert out[0]["match"]["headers"][1] == {"name": "end-user", "string_match": {"exact": "jason"}}


def test_all_traffic_needs_no_mark() -> None:
    first = routes("p", MARK, [live(7, abort(503), traffic="all")])[0]

    assert first["match"] == {"prefix": "/"}


def test_grpc_and_replicas() -> None:
    first = routes("p", MARK, [live(7, abort(grpc="UNAVAILABLE"), replicas=2)])[0]

    assert added(first)["x-istio-chaos"] == "callee:0,1;7"
    assert added(first)["x-envoy-fault-abort-grpc-request"] == "14"


def test_injections_of_equal_reach_are_merged() -> None:
    group = merged([live(7, abort(503)), live(8, delay("1s"))])

    assert [(g.numbers, g.request.fault) for g in group] == [((7, 8), abort(503) + delay("1s"))]


def test_matches_that_exclude_each_other_stand_side_by_side() -> None:
    group = merged([live(7, abort(503), match={"end-user": "jason"}), live(8, abort(500), match={"end-user": "alice"})])

    assert [g.numbers for g in group] == [(7,), (8,)]


@pytest.mark.parametrize(
    "other",
    [
        live(8, delay("1s"), side=Side.CALLER),
        live(8, delay("1s"), replicas=1),
        live(8, delay("1s"), match={"end-user": "jason"}),
        live(8, delay("1s"), traffic="all"),
    ],
    ids=["other-side", "other-replicas", "overlapping-match", "other-traffic"],
)
def test_contradicting_injections_are_refused(other: Live) -> None:
    with pytest.raises(Refused, match="would hit requests that"):
        merged([live(7, abort(503)), other])


def test_at_a_gateway_every_form_is_asked_for_in_every_match_of_the_callee() -> None:
    matches = [{"path": "/page"}, {"prefix": "/login", "headers": [{"name": "user", "present_match": True}]}]

    out = routes("p", MARK, [live(7, abort(503))], matches)

    assert len(out) == 16
    assert [r["match"].get("path") or r["match"]["prefix"] for r in out[:2]] == ["/page", "/login"]
    assert [h["name"] for h in out[1]["match"]["headers"]] == ["user", "traceparent"]
    assert all("x-istio-chaos" in added(r) for r in out[:8])
