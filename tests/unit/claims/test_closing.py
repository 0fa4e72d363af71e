"""When is everybody back in time? From the end of the fault, by looks; what Envoy itself forbids is refused."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.errors import Refused
from chaos.model.breakers import Circuit
from chaos.model.calls import Call
from chaos.model.fault import abort
from chaos.model.outcome import Outcome
from chaos.model.window import WindowEvidence
from chaos.testing.evidence import call, calls, circuit, edge, injection, requests, window

HELD, VIOLATED, INCONCLUSIVE = Outcome.HELD, Outcome.VIOLATED, Outcome.INCONCLUSIVE
EDGE = "reviews -> ratings"


def after(found: Circuit | None, made: tuple[Call, ...] | None = None, **known: Any) -> WindowEvidence:
    of_edge = edge(EDGE, made or calls(requests(500)), circuit=found, **known)
    return window(requests(500), kind="recovery", edges=[of_edge])


def out(*stretches: tuple[float, float], until: float = 110, every: float = 0.2, gone: float = 101, **policy: Any) -> Circuit:
    return circuit({"h": []}, out={"h": stretches}, until=until, every=every, gone=gone, **policy)


@pytest.fixture
def judge(judged):
    return lambda evidence, within="3s": judged(evidence, lambda claims: claims.to_close_circuit(within), edge=EDGE)


def test_a_host_that_is_back_in_time_holds(judge):
    verdict = judge(after(out((100.5, 102.5))))

    assert verdict.outcome is HELD
    assert verdict.measured == pytest.approx(1.6)
    assert verdict.summary == "1 host back 1.6 s after the fault was gone at the latest; claimed within 3 s"


def test_a_host_that_is_out_at_the_deadline_violates(judge):
    verdict = judge(after(out((100.5, 109))))

    assert (verdict.outcome, verdict.summary) == (
        VIOLATED,
        "1 host of 1 still out (h in reviews-v2.bookinfo), 0 calls turned away after it; claimed within 3 s",
    )


def test_a_host_that_came_back_after_the_deadline_violates(judge):
    assert judge(after(out((100.5, 105)))).outcome is VIOLATED


def test_a_window_that_ends_before_the_deadline_decides_nothing_of_who_is_out(judge):
    assert judge(after(out((100.5, 109), until=103))).outcome is INCONCLUSIVE
    assert judge(after(out((100.5, 102.5), until=103))).outcome is HELD


def test_what_happened_between_two_looks_around_the_deadline_is_not_decided(judge):
    # Out at 103, back at 105, deadline 104.
    assert judge(after(out((100.5, 104.9), every=1.0, until=110))).outcome is VIOLATED
    assert judge(after(out((100.5, 103.5), every=2.5, until=110, gone=101))).outcome is INCONCLUSIVE


def test_a_host_that_is_put_out_again_later_counts(judge):
    verdict = judge(after(out((101.5, 108))))

    assert verdict.outcome is VIOLATED


def test_a_call_that_is_turned_away_after_the_deadline_violates(judge):
    made = calls(requests(500), lambda n, at: call(n, started=at, status=503, flags="UO") if n == 450 else call(n, started=at))

    verdict = judge(after(out((100.5, 102.5)), made))

    assert "0 hosts of 1 still out, 1 call turned away after it" in verdict.summary


def test_less_than_envoy_takes_is_refused(judge):
    twice = out((100.1, 100.5), (100.7, 102.9))

    with pytest.raises(
        Refused, match=r"h in reviews-v2.bookinfo was ejected 2 times: 1 s x 2 and up to 1 s until Envoy looks again, so 3 s"
    ):
        judge(after(twice), "2.9s")
    assert judge(after(twice), "3s").outcome is HELD


def test_under_the_fault_nothing_can_close(judge):
    with pytest.raises(Refused, match="take a window after its block"):
        judge(after(out((100.5, 102.5)), injection=injection(abort(503), EDGE)))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "no private path stands on this edge"),
        (out((100.5, 102.5), gone=0), "no injection on this edge has ended"),
        (out((100.1, 100.5)), "no breaker of this edge was open when the fault ended"),
    ],
)
def test_what_was_not_open_cannot_close(judge, found: Circuit | None, said: str):
    verdict = judge(after(found))

    assert verdict.outcome is INCONCLUSIVE
    assert said in verdict.reason
