"""The order of the questions, with a claim that answers each as told."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from chaos.claims.claim import Claim, Judgement, Levels, Vacuity
from chaos.claims.judging import verdict_on
from chaos.claims.subjects import WindowSubject
from chaos.errors import Refused, Vacuous
from chaos.model.fault import abort
from chaos.model.outcome import Outcome
from chaos.model.window import WindowEvidence
from chaos.testing.evidence import call, calls, edge, injection, requests, window

LEVELS = Levels(held=0.05, violated=0.01)
EDGE = "reviews -> ratings"


@dataclass
class Told(Claim[WindowSubject]):
    """Holds under the fault, unless told otherwise."""

    text: str = "to_be_told()"
    refused: str = ""
    doubted: str = ""
    vacuous: Vacuity = field(default_factory=Vacuity)
    outcome: Outcome = Outcome.HELD
    in_steady: Outcome | None = Outcome.HELD

    def refusal(self, subject: WindowSubject) -> str:
        return self.refused

    def doubt(self, subject: WindowSubject) -> str:
        return self.doubted

    def vacuity(self, subject: WindowSubject) -> Vacuity:
        return self.vacuous

    def judge(self, subject: WindowSubject, levels: Levels) -> Judgement:
        assert levels is LEVELS
        return Judgement(
            outcome=self.outcome, summary=f"{self.outcome} in {subject.name}", measured=1.0, threshold=2.0, unit="things"
        )

    def baseline(self, steady: WindowSubject, levels: Levels) -> Judgement | None:
        return None if self.in_steady is None else Judgement(outcome=self.in_steady, summary="9 % bad", figures={"k": 9})


def faulty(**known: object) -> WindowEvidence:
    steady = window(requests(300), kind="steady")
    return window(requests(300), injections=[injection(abort(503), EDGE)], steady=steady, **known)


def outcome_of(claim: Told, evidence: WindowEvidence, *, allow_vacuous: bool = False):
    return verdict_on(claim, WindowSubject(evidence), LEVELS, allow_vacuous=allow_vacuous)


def test_what_the_claim_says_becomes_the_verdict():
    verdict = outcome_of(Told(), faulty())

    assert (verdict.outcome, verdict.claim, verdict.subject) == (Outcome.HELD, "to_be_told()", "window 2 (fault) of /productpage")
    assert (verdict.measured, verdict.threshold, verdict.unit) == (1.0, 2.0, "things")


def test_a_refusal_comes_before_any_doubt():
    with pytest.raises(Refused, match=r"window 2 \(fault\) of /productpage: to_be_told\(\): wrong side"):
        outcome_of(Told(refused="wrong side"), faulty(doubts=("mixed",)))


def test_a_doubt_of_the_window_comes_before_one_of_the_claim():
    verdict = outcome_of(Told(doubted="late"), faulty(doubts=("mixed",)))

    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "mixed")


def test_a_doubt_of_the_claim_comes_before_the_steady_gate():
    verdict = outcome_of(Told(doubted="late", in_steady=Outcome.VIOLATED), faulty())

    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "late")


class TestSteadyGate:
    def test_what_is_violated_in_steady_is_undecided_under_the_fault(self):
        verdict = outcome_of(Told(in_steady=Outcome.VIOLATED, outcome=Outcome.VIOLATED), faulty())

        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert verdict.reason == (
            "steady state not met: without a fault, in window 1 (steady) of /productpage, it is violated already: 9 % bad"
        )
        assert verdict.figures == {"steady": {"k": 9}}

    @pytest.mark.parametrize("in_steady", [Outcome.HELD, Outcome.INCONCLUSIVE, None])
    def test_anything_else_lets_it_pass(self, in_steady: Outcome | None):
        assert outcome_of(Told(in_steady=in_steady), faulty()).outcome is Outcome.HELD

    def test_that_it_was_not_shown_before_is_told(self):
        undecided, shown = outcome_of(Told(in_steady=Outcome.INCONCLUSIVE), faulty()), outcome_of(Told(), faulty())

        assert undecided.details[0] == "steady state not shown: without a fault it is undecided, with 9 % bad"
        assert not any("steady state" in line for line in shown.details)

    def test_a_steady_window_in_doubt_says_nothing(self):
        steady = window(requests(300), kind="steady", doubts=("mixed",))

        assert outcome_of(Told(in_steady=Outcome.VIOLATED), window(requests(300), steady=steady)).outcome is Outcome.HELD

    def test_without_a_steady_window_there_is_no_gate(self):
        assert outcome_of(Told(in_steady=Outcome.VIOLATED), window(requests(300))).outcome is Outcome.HELD

    def test_it_comes_before_the_vacuity(self):
        verdict = outcome_of(Told(in_steady=Outcome.VIOLATED, vacuous=Vacuity(certain="nothing happens")), faulty())

        assert verdict.outcome is Outcome.INCONCLUSIVE


class TestVacuity:
    VACUOUS = Told(vacuous=Vacuity(certain="nothing happens"))

    def test_a_claim_that_cannot_fail_is_refused_with_the_way_to_insist(self):
        with pytest.raises(Vacuous, match=r"cannot fail: nothing happens. .* allow_vacuous=True"):
            outcome_of(self.VACUOUS, faulty())

    def test_who_insists_is_judged(self):
        assert outcome_of(self.VACUOUS, faulty(), allow_vacuous=True).outcome is Outcome.HELD

    def test_without_an_injection_nothing_is_vacuous(self):
        assert outcome_of(self.VACUOUS, window(requests(300))).outcome is Outcome.HELD

    def test_what_can_hardly_fail_is_judged_with_a_warning(self):
        verdict = outcome_of(Told(vacuous=Vacuity(possible="nobody gives up")), faulty())

        assert verdict.outcome is Outcome.HELD
        assert verdict.details[0] == "can hardly fail: nobody gives up"


class TestCause:
    @pytest.fixture
    def evidence(self) -> WindowEvidence:
        failing = calls(requests(300), lambda number, at: call(number, started=at, status=503, flags="UO"))
        return window(requests(300), edges=[edge(EDGE, failing)])

    CAUSE = f"{EDGE}: the circuit breaker turned 300 calls away (flag UO)"

    def test_a_violated_verdict_has_it_for_its_reason(self, evidence: WindowEvidence):
        verdict = outcome_of(Told(outcome=Outcome.VIOLATED), evidence)

        assert verdict.reason == self.CAUSE
        assert self.CAUSE not in verdict.details

    def test_a_held_one_needs_none(self, evidence: WindowEvidence):
        verdict = outcome_of(Told(), evidence)

        assert verdict.reason == ""
        assert self.CAUSE not in verdict.details

    def test_an_undecided_one_that_has_a_reason_tells_it_first(self, evidence: WindowEvidence):
        class TooFew(Told):
            def judge(self, subject: WindowSubject, levels: Levels) -> Judgement:
                return Judgement(outcome=Outcome.INCONCLUSIVE, summary="3 calls", reason="too few")

        verdict = outcome_of(TooFew(), evidence)

        assert verdict.reason == "too few"
        assert verdict.details[0] == self.CAUSE

    def test_an_undecided_one_in_which_nothing_went_wrong_needs_none(self, evidence: WindowEvidence):
        class TooFew(Told):
            def judge(self, subject: WindowSubject, levels: Levels) -> Judgement:
                return Judgement(outcome=Outcome.INCONCLUSIVE, summary="3 of 3", reason="too few", figures={"bad": 0})

        assert self.CAUSE not in outcome_of(TooFew(), evidence).details


@pytest.mark.parametrize(("outcome", "told"), [(Outcome.VIOLATED, True), (Outcome.INCONCLUSIVE, False), (Outcome.HELD, False)])
def test_bystanders_that_suffer_are_told_of_the_fault_that_they_do_not_meet(outcome: Outcome, told: bool):
    evidence = window(requests(300), kind="bystander", aside=(injection(abort(503), EDGE),))

    assert ("which these requests never meet" in outcome_of(Told(outcome=outcome), evidence).message) is told


def test_what_was_seen_is_told_also_where_nothing_can_be_judged():
    seen = edge(EDGE, calls(requests(300)))

    verdict = outcome_of(Told(doubted="a thing is missing"), window(requests(300), unnamed=lambda: (seen,)))

    assert verdict.reason == "a thing is missing"
    assert [line.partition(":")[0] for line in verdict.details] == ["answers", f"{EDGE}  300 calls"]


@pytest.mark.parametrize(("outcome", "told"), [(Outcome.VIOLATED, True), (Outcome.INCONCLUSIVE, True), (Outcome.HELD, False)])
def test_edges_that_nobody_named_are_looked_for_where_a_claim_does_not_hold(outcome: Outcome, told: bool):
    seen = edge(EDGE, calls(requests(300)))

    verdict = outcome_of(Told(outcome=outcome), window(requests(300), unnamed=lambda: (seen,)))

    assert (f"{EDGE}  300 calls" in verdict.message) is told
