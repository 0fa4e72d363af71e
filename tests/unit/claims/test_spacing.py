from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.claims.expect import expect
from chaos.errors import InvalidValue
from chaos.model.fault import abort
from chaos.model.outcome import Outcome
from chaos.model.window import WindowEvidence
from chaos.testing.evidence import SECOND, Call, attempts, call, calls, closed, edge, injection, requests, window

HELD, VIOLATED, INCONCLUSIVE = Outcome.HELD, Outcome.VIOLATED, Outcome.INCONCLUSIVE
EDGE = "reviews -> ratings"


def tried(number: int, at: int, gap: float, tries: int = 3) -> Call:
    return call(number, started=at, status=503, attempts=attempts(at, *[(0.001, 503, "FI")] * tries, gap=gap))


def under(gap, of: int = 300, *, tries: int = 3, **known: object) -> WindowEvidence:
    """Every call is tried again after `gap(number)` seconds."""
    made = calls(requests(of), lambda n, at: tried(n, at, gap(n), tries))
    return window(requests(of), edges=[edge(EDGE, made, injection=injection(abort(503), EDGE), **known)])


@pytest.fixture
def judge(judged):
    return lambda evidence, claimed="10ms": judged(evidence, lambda claims: claims.to_space_retries(claimed), edge=EDGE)


@pytest.mark.parametrize(("gap", "outcome"), [(0.010, HELD), (0.0099, VIOLATED), (0.0, VIOLATED), (1.0, HELD)])
def test_a_gap_is_long_enough_or_not(judge, gap: float, outcome: Outcome):
    assert judge(under(lambda n: gap)).outcome is outcome


def test_one_short_gap_violates(judge):
    verdict = judge(under(lambda n: 0.001 if n == 17 else 0.1))

    assert verdict.outcome is VIOLATED
    assert (verdict.measured, verdict.threshold, verdict.unit) == (pytest.approx(0.001), 0.01, "s")
    assert (verdict.figures["short"], verdict.figures["gaps"]) == (1, 600)


def test_even_if_it_is_not_the_first_of_its_call(judge):
    def made(number: int, at: int) -> Call:
        first, second = attempts(at, (0.001, 503, "FI"), (0.001, 503, "FI"), gap=0.1)
        third = attempts(second.ended, (0.001, 200, ""))
        return call(number, started=at, attempts=(first, second, *third))

    evidence = window(requests(300), edges=[edge(EDGE, calls(requests(300), made))])

    assert judge(evidence).outcome is VIOLATED


@pytest.mark.parametrize(("retried", "outcome"), [(58, INCONCLUSIVE), (59, HELD)])
def test_so_many_calls_must_have_been_retried(judge, retried: int, outcome: Outcome):
    verdict = judge(under(lambda n: 0.1, of=retried))

    assert (verdict.outcome, verdict.requests) == (outcome, retried)


def test_one_retry_makes_one_gap(judge):
    verdict = judge(under(lambda n: 0.1, tries=2))

    assert (verdict.outcome, verdict.figures["retried"], verdict.figures["gaps"]) == (HELD, 300, 300)


def test_of_calls_without_retry_no_attempt_has_to_be_seen(judge):
    made = calls(requests(300), lambda n, at: tried(n, at, 0.1) if n % 2 else call(n, started=at))

    assert judge(window(requests(300), edges=[edge(EDGE, made)])).outcome is HELD


def test_calls_that_were_not_retried_do_not_count(judge):
    verdict = judge(under(lambda n: 0.1, tries=1))

    assert (verdict.outcome, verdict.requests, verdict.measured) == (INCONCLUSIVE, 0, None)


def test_attempts_that_overlap_are_not_spaced(judge):
    assert judge(under(lambda n: -0.0005)).outcome is VIOLATED


def test_retries_that_were_only_counted_decide_nothing(judge):
    made = calls(requests(300), lambda n, at: call(n, started=at, tries=2))

    verdict = judge(window(requests(300), edges=[edge(EDGE, made)]))

    assert verdict.outcome is INCONCLUSIVE
    assert verdict.reason.startswith("the attempts of 300 retried calls were counted, not seen")
    assert f'observe=["{EDGE}"]' in verdict.reason


class TestTheApplications:
    """Its own retries are calls of their own."""

    def asked_again(self, pause: float, *, usually: int = 1, known: bool = True) -> WindowEvidence:
        samples = requests(100)

        def twice(number: int, at: int) -> list[Call]:
            again = at + int((0.01 + pause) * SECOND)
            return [tried(number, at, 0.1, 1), call(number, started=again, status=503)]

        steady = calls(samples, lambda n, at: [call(n, started=at + i) for i in range(usually)])
        before = window(samples, kind="steady", edges=[edge(EDGE, steady)]) if known else None
        made = calls(samples, lambda n, at: twice(n, at))
        return window(samples, edges=[edge(EDGE, made, injection=injection(abort(503), EDGE))], steady=before)

    @pytest.mark.parametrize(("pause", "outcome"), [(0.1, HELD), (0.0, VIOLATED)])
    def test_count_where_one_call_is_meant(self, judge, pause: float, outcome: Outcome):
        verdict = judge(self.asked_again(pause), "50ms")

        assert (verdict.outcome, verdict.figures["retried"], verdict.figures["gaps"]) == (outcome, 100, 100)

    def test_and_are_told_from_those_of_the_mesh(self, judge):
        assert any("the application asks again by itself" in line for line in judge(self.asked_again(0.0), "50ms").details)
        assert not any("jittered" in line for line in judge(self.asked_again(0.0), "50ms").details)
        assert not any("the application asks" in line for line in judge(under(lambda n: 0.0)).details)

    @pytest.mark.parametrize("known", [{"usually": 2}, {"known": False}], ids=repr)
    def test_are_not_known_where_several_are_meant_or_nobody_knows(self, judge, known: dict):
        assert judge(self.asked_again(0.0, **known), "50ms").figures["retried"] == 0


@pytest.mark.parametrize("at_least", ["10", 10, "0ms", None, timedelta(0)], ids=repr)
def test_a_duration_that_is_none_is_refused(at_least):
    with pytest.raises(InvalidValue, match="at_least is"):
        expect(closed(under(lambda n: 0.1)).edge(EDGE)).to_space_retries(at_least)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 0.05), min_size=60, max_size=70), st.integers(0, 59), st.floats(0, 1))
def test_shorter_gaps_never_make_a_violated_claim_hold(gaps: list[float], which: int, factor: float):
    def outcome(values: list[float]) -> Outcome:
        evidence = under(lambda n: values[n], of=len(values))
        return expect(closed(evidence).edge(EDGE), soft=True).to_space_retries("10ms").outcome

    shorter = [gap * factor if i == which else gap for i, gap in enumerate(gaps)]
    if outcome(gaps) is VIOLATED:
        assert outcome(shorter) is VIOLATED


class TestMessages:
    def test_held(self, judge, snapshot):
        assert judge(under(lambda n: 0.02)).message == snapshot

    def test_violated(self, judge, snapshot):
        assert judge(under(lambda n: 0.004 if n % 10 else 0.2)).message == snapshot

    def test_too_few(self, judge, snapshot):
        assert judge(under(lambda n: 0.02, of=20)).message == snapshot
