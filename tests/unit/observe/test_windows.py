from dataclasses import replace

import pytest

from chaos.clock import NS
from chaos.model.edge import Edge
from chaos.model.fault import abort
from chaos.model.injection import InjectionRecord, InjectionRequest, Side
from chaos.model.samples import TIMED_OUT, Samples, Tables
from chaos.model.window import WindowEvidence
from chaos.observe.lines import Log
from chaos.observe.windows import ObservedEdge, Stretch, gather
from tests.unit.observe.conftest import FLOW, PATH, POD, attempt, call, line

EDGE = Edge.of("a -> b")
OBSERVED = ObservedEdge(
    edge=EDGE,
    paths=frozenset({PATH}),
    pods=frozenset({POD}),
    callee_host="b.shop.svc.cluster.local",
    replicas={PATH: ("10.1.0.2:9080", "10.1.0.3:9080")},
)


def samples(*starts: float, lasting: float = 0.1, error: int = 0) -> Samples:
    rows = [
        {
            "sequence": n,
            "scheduled": int(s * NS),
            "sent": int(s * NS) or 1,
            "ended": int((s + lasting) * NS),
            "status": 200,
            "error": error,
        }
        for n, s in enumerate(starts)
    ]
    return Samples.of(rows, Tables(("", TIMED_OUT)))


def injection(
    written: float, proven: float, withdrawn: float = 0, gone: float = 0, percent: float = 100, **changes
) -> InjectionRecord:
    times = {"written": written, "proven": proven, "withdrawn": withdrawn, "gone": gone}
    record = InjectionRecord(
        number=7,
        request=InjectionRequest(fault=abort(503, percent=percent), edge=EDGE),
        side=Side.CALLEE,
        reason="",
        callers=(POD,),
        **{name: int(at * NS) for name, at in times.items()},
    )
    return replace(record, **changes)


def evidence(log: Log, seen: Samples, *injections: InjectionRecord, start: float = 10, end: float = 20, **given) -> WindowEvidence:
    stretch = Stretch(
        name="window 1 of /x", start=int(start * NS), end=int(end * NS), mark=FLOW, samples=seen, scheduled=len(seen),
        offered=10.0, timeout=30.0, open_model=True, reached_by=given.pop("reached_by", lambda _: True),
    )  # fmt: skip
    known = given.pop("edges", [OBSERVED])
    return gather(
        stretch,
        log=log,
        injections=injections,
        edges=known,
        resolve=given.pop("resolve", lambda e: None),
        steady=None,
        **given,
    )


def test_a_window_has_the_requests_scheduled_in_it(log: Log) -> None:
    seen = evidence(log, samples(9, 10, 15, 20))

    assert list(seen.samples["sequence"]) == [1, 2]
    assert (seen.kind, seen.name, seen.doubts) == ("steady", "window 1 of /x (steady)", ())


@pytest.mark.parametrize(
    ("lives", "kind"),
    [
        ([], "steady"),
        ([injection(5, 6)], "fault"),
        ([injection(5, 6, 8, 9)], "recovery"),
        ([injection(25, 26)], "steady"),
        ([injection(1, 2, 3, 4), injection(8, 9)], "fault"),
    ],
    ids=["none", "live", "past", "later", "past-and-live"],
)
def test_kinds_follow_from_the_injections(log: Log, lives: list[InjectionRecord], kind: str) -> None:
    log.feed(POD, call(0) + attempt(0, chaos="callee:all;7", flags="FI"))

    assert evidence(log, samples(11), *lives).kind == kind


def test_an_injection_that_cannot_hit_these_requests_is_aside(log: Log) -> None:
    past, live = injection(1, 2, 3, 4), injection(5, 6)

    seen = evidence(log, samples(11), past, live, reached_by=lambda _: False)

    assert (seen.kind, seen.injections, seen.aside, seen.doubts) == ("bystander", (), (live,), ())


@pytest.mark.parametrize(
    ("at", "seconds", "kind"), [(8, 1.9, "fault"), (8, 2.1, "bystander"), (19, 0.1, "bystander"), (20, 0.1, "fault")]
)
def test_load_that_goes_past_a_fault_is_known_by_others_that_are_hit_meanwhile(
    log: Log, at: float, seconds: float, kind: str
) -> None:
    """Also by one that began before the window: where calls are held back, no other may begin."""
    log.feed(POD, call(99, at) + attempt(99, at, chaos="callee:all;7", flags="DI", us=int(seconds * 1e6)))

    assert evidence(log, samples(11), injection(5, 6)).kind == kind


def test_requests_that_overlap_a_transition_belong_to_no_window(log: Log) -> None:
    log.feed(POD, call(1) + attempt(1, chaos="callee:all;7", flags="FI"))
    # the first is still under way when the injection is written at 10.5 and proven at 10.6
    seen = evidence(log, samples(10.45, 10.7, 19), injection(10.5, 10.6), start=10)

    assert seen.transition == 1
    assert list(seen.samples["sequence"]) == [1, 2]


def test_a_window_with_an_injection_beginning_inside_it_is_mixed(log: Log) -> None:
    log.feed(POD, call(0) + attempt(0, chaos="callee:all;7", flags="FI"))

    assert "began or ended inside this window" in evidence(log, samples(11), injection(12, 12.1)).doubts[0]
    assert "began or ended inside this window" in evidence(log, samples(11), injection(5, 6, 15, 16)).doubts[0]
    assert evidence(log, samples(11), injection(5, 6, 20, 21)).doubts == ()


def test_an_injection_that_a_watch_ended_is_a_doubt(log: Log) -> None:
    log.feed(POD, call(0) + attempt(0, chaos="callee:all;7", flags="FI"))

    seen = evidence(log, samples(11), injection(5, 6, 20, 21, aborted="routes changed"))

    assert "abort 503 on a -> b (callee side) was ended early: routes changed" in seen.doubts


def test_attempts_are_put_to_their_calls(log: Log) -> None:
    log.feed(POD, call(0, at=11, call_id="x", tries=2) + call(0, at=12, call_id="y"))
    log.feed(
        POD,
        attempt(0, at=11.01, call_id="x", flags="FI", code=503, chaos="callee:0;7")
        + attempt(0, at=11.02, call_id="x", host="10.1.0.3:9080", chaos="callee:0;7"),
    )
    log.feed(POD, attempt(0, at=12.01, call_id="y"))

    first, second = evidence(log, samples(11)).edges[EDGE].calls

    assert [a.status for a in first.attempts] == [503, 200]
    assert [a.armed for a in first.attempts] == [frozenset({7}), frozenset()]  # only replica 0 was to fail
    assert (first.retries, first.faulted, second.faulted) == (1, True, False)


def test_a_fault_that_was_drawn_and_hit_is_proven(log: Log) -> None:
    for n in range(3):
        log.feed(
            POD,
            call(n, at=11 + n, call_id=str(n)) + attempt(n, at=11 + n, call_id=str(n), flags="FI", code=503, chaos="callee:all;7"),
        )

    seen = evidence(log, samples(11, 12, 13), injection(5, 6))

    assert seen.doubts == ()
    assert seen.edges[EDGE].proof is not None and seen.edges[EDGE].proof.proven
    assert seen.edges[EDGE].proof.hit == {"abort": 3}


def test_a_fault_that_missed_is_not_proven(log: Log) -> None:
    log.feed(POD, call(0, at=11) + attempt(0, at=11, chaos="callee:all;7"))

    (doubt,) = evidence(log, samples(11), injection(5, 6)).doubts

    assert "is not proven" in doubt and "0 of 1 attempts hit" in doubt


def test_a_replica_that_was_ejected_before_the_window_is_proven_by_what_came_before(log: Log) -> None:
    for n in range(5):  # before the window: five errors, and out it is
        log.feed(POD, call(n, at=7 + n / 10, call_id=f"b{n}", code=500))
        log.feed(POD, attempt(n, at=7 + n / 10, call_id=f"b{n}", flags="FI", code=500, chaos="callee:0;7"))
    log.feed(POD, call(5, at=11) + attempt(5, at=11, host="10.1.0.3:9080", chaos="callee:0;7"))

    seen = evidence(log, samples(7, 7.1, 7.2, 7.3, 7.4, 11), injection(5, 6))

    assert seen.doubts == ()
    assert seen.edges[EDGE].proof is not None
    assert seen.edges[EDGE].proof.reason == "abort: 0 of 0 attempts hit, and 5 of 5 since it began"


def test_an_open_breaker_keeps_requests_from_the_fault_and_the_proof_stands(log: Log) -> None:
    log.feed(POD, call(0, at=7, code=500) + attempt(0, at=7, flags="FI", code=500, chaos="callee:all;7"))
    log.feed(POD, call(1, at=11, call_id="x", code=503, flags="UH", tries=0, chaos=None))

    assert evidence(log, samples(7, 11), injection(5, 6)).doubts == ()


def test_what_came_before_proves_nothing_for_requests_that_went_elsewhere(log: Log) -> None:
    log.feed(POD, call(0, at=7, code=500) + attempt(0, at=7, flags="FI", code=500, chaos="callee:all;7"))
    log.feed(POD, line("sidecar", 1, at=11, side="outbound", cluster="outbound|9080||b.shop.svc.cluster.local", code=200, tries=1))

    assert "is not proven" in evidence(log, samples(7, 11), injection(5, 6)).doubts[0]


def test_what_came_before_does_not_outweigh_a_window_that_speaks_against_the_fault(log: Log) -> None:
    log.feed(POD, call(0, at=7, code=500) + attempt(0, at=7, flags="FI", code=500, chaos="callee:all;7"))
    log.feed(POD, call(1, at=11, call_id="x") + attempt(1, at=11, call_id="x", chaos="callee:all;7"))

    assert "0 of 1 attempts hit" in evidence(log, samples(7, 11), injection(5, 6)).doubts[0]


def test_a_fault_nothing_passed_says_where_the_mark_was_seen(log: Log) -> None:
    log.feed("entry.shop", line("sidecar", 0, side="outbound", cluster="outbound|9080||a.shop.svc.cluster.local"))

    (doubt,) = evidence(log, samples(11), injection(5, 6)).doubts

    assert "their mark was seen in entry.shop" in doubt and "traceparent" in doubt


def test_calls_before_the_private_path_stood_are_taken_from_the_callers_log(log: Log) -> None:
    log.feed(
        POD, line("sidecar", 0, at=11, side="outbound", cluster="outbound|9080|v1|b.shop.svc.cluster.local", code=200, tries=1)
    )
    log.feed(POD, line("sidecar", 0, at=12, side="outbound", cluster=f"{PATH}.call", code=200, tries=1))  # counted on the path
    log.feed(POD, call(0, at=12))

    assert [c.started // NS for c in evidence(log, samples(11)).edges[EDGE].calls] == [11, 12]


def test_edges_nobody_named_are_looked_up_when_asked_for(log: Log) -> None:
    log.feed(POD, line("sidecar", 0, at=11, side="outbound", cluster="outbound|9080||b.shop.svc.cluster.local", code=200, tries=1))
    plain = replace(OBSERVED, paths=frozenset(), replicas=None)
    seen = evidence(log, samples(11), edges=[], resolve=lambda edge: plain if edge == EDGE else None)

    assert len(seen.edges[EDGE].calls) == 1
    assert seen.edges[EDGE].source == "access log"
    assert Edge.of("x -> y") not in seen.edges
    assert list(seen.edges) == []


def test_edges_nobody_named_are_found_by_the_calls_that_went_over_them(log: Log) -> None:
    for host, at in (("b.shop.svc.cluster.local", 11), ("c.shop.svc.cluster.local", 11.1), ("nowhere", 11.2)):
        log.feed(POD, line("sidecar", 0, at=at, side="outbound", cluster=f"outbound|9080||{host}", code=200, tries=1))
    other = replace(OBSERVED, edge=Edge.of("a -> c"), paths=frozenset(), replicas=None, callee_host="c.shop.svc.cluster.local")

    seen = evidence(
        log,
        samples(11),
        resolve=lambda edge: other if edge == other.edge else None,
        walked=lambda pod, host: {"b.shop": EDGE, "c.shop": other.edge}.get(f"{host[0]}.shop") if pod == POD else None,
    )

    assert [(found.edge, len(found.calls)) for found in seen.unnamed()] == [(other.edge, 1)]  # the other one was named
    assert seen.restricted([1], "(hit)").unnamed() == ()


def test_a_caller_cancelled_from_above_is_told_apart(log: Log) -> None:
    # the caller's own inbound stream was cut at 14.000, its call to b ended at 14.001; the second call gave up by itself
    log.feed(POD, line("sidecar", 0, at=11, side="inbound", flags="DC", ms=3000))
    log.feed(
        POD, call(0, at=11, call_id="x", flags="DC", us=None, ms=3001) + call(1, at=11, call_id="y", flags="DC", us=None, ms=3001)
    )

    assert [call.cancelled for call in evidence(log, samples(11, 11)).edges[EDGE].calls] == [True, False]


def test_a_load_that_gave_up_cancels_as_well(log: Log) -> None:
    log.feed(POD, call(0, at=11, flags="DC", us=None, ms=2000))

    (just_before,) = evidence(log, samples(11, lasting=2.0, error=1)).edges[EDGE].calls
    (long_after,) = evidence(log, samples(11, lasting=2.5, error=1)).edges[EDGE].calls

    assert just_before.cancelled
    assert not long_after.cancelled
