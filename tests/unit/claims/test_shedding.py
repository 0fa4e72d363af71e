"""Is load turned away, and is the rest served? Two shares, and the worse of the two verdicts."""

from __future__ import annotations

import pytest

from chaos.errors import Refused
from chaos.model.calls import Call
from chaos.model.fault import delay
from chaos.model.injection import Side
from chaos.model.outcome import Outcome
from chaos.model.window import WindowEvidence
from chaos.testing.evidence import call, calls, circuit, edge, injection, requests, window

HELD, VIOLATED, INCONCLUSIVE = Outcome.HELD, Outcome.VIOLATED, Outcome.INCONCLUSIVE
EDGE = "reviews -> ratings"


def overloaded(
    shed: frozenset[int], failed: frozenset[int] = frozenset(), *, of: int = 600, side: Side = Side.CALLEE, limits: bool = True
) -> WindowEvidence:
    def one(number: int, at: int) -> Call:
        if number in shed:
            return call(number, started=at, status=503, flags="UO")
        return call(number, started=at, status=500 if number in failed else 200)

    found = circuit({"h": []}, limits={"requests": 1} if limits else {})
    seen = edge(EDGE, calls(requests(of), one), injection=injection(delay("1s"), EDGE, side=side), circuit=found)
    return window(requests(of), edges=[seen])


@pytest.fixture
def judge(judged):
    return lambda evidence, share="50%": judged(evidence, lambda claims: claims.to_shed(share), edge=EDGE)


@pytest.mark.parametrize(
    ("shed", "failed", "outcome"),
    [(400, 0, HELD), (100, 0, VIOLATED), (300, 0, INCONCLUSIVE), (400, 60, VIOLATED), (400, 10, INCONCLUSIVE)],
)
def test_both_shares_have_to_hold(judge, spaced, shed: int, failed: int, outcome: Outcome):
    turned_away = spaced(shed, 600)
    kept = sorted(set(range(600)) - turned_away)
    bad = frozenset(kept[i] for i in spaced(failed, len(kept))) if failed else frozenset()

    assert judge(overloaded(turned_away, bad)).outcome is outcome


def test_the_message_has_both(judge, spaced):
    verdict = judge(overloaded(spaced(400, 600)))

    assert "66.7 % were turned away" in verdict.summary
    assert "100 % of those let through succeeded" in verdict.summary
    assert verdict.figures.keys() == {"shed", "rest"}


def test_when_nothing_is_let_through_the_first_share_decides(judge):
    assert judge(overloaded(frozenset(range(600))), "90%").outcome is HELD


def test_refusals(judge):
    with pytest.raises(Refused, match="before the router"):
        judge(overloaded(frozenset(), side=Side.CALLER))
    with pytest.raises(Refused, match="nothing is limited on this edge"):
        judge(overloaded(frozenset(), limits=False))
