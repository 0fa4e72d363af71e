from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.claims.expect import expect
from chaos.errors import InvalidValue, Refused, Vacuous
from chaos.model.fault import delay
from chaos.model.outcome import Outcome
from chaos.model.window import WindowEvidence
from chaos.testing.evidence import SECOND, Call, call, calls, closed, edge, injection, requests, window

HELD, VIOLATED, INCONCLUSIVE = Outcome.HELD, Outcome.VIOLATED, Outcome.INCONCLUSIVE


def slow(numbers: frozenset[int] | set[int], of: int, **known: object) -> WindowEvidence:
    return window(requests(of, latency=lambda i: 2.0 if i in numbers else 0.02), **known)


@pytest.mark.parametrize(
    ("bad", "of", "at", "outcome"),
    [
        (0, 58, "p95", INCONCLUSIVE),
        (0, 59, "p95", HELD),
        (0, 298, "p99", INCONCLUSIVE),
        (0, 299, "p99", HELD),
        (10, 100, "p95", INCONCLUSIVE),
        (11, 100, "p95", VIOLATED),  # P(X >= 11) is 0.0115, P(X >= 10) 0.0282 against 0.025
        (70, 100, "p50", VIOLATED),
        (30, 100, "p50", HELD),
    ],
)
def test_both_sides_of_every_limit(judged, spaced, bad: int, of: int, at: str, outcome: Outcome):
    verdict = judged(slow(spaced(bad, of), of), lambda claims: claims.to_respond_within("1s", at=at))

    assert verdict.outcome is outcome
    assert (verdict.threshold, verdict.unit, verdict.requests) == (1.0, "s", of)


@pytest.mark.parametrize(("claimed", "bad"), [("20ms", 0), ("19ms", 300)])
def test_within_includes_the_time_itself(judged, claimed: str, bad: int):
    assert judged(window(requests(300)), lambda claims: claims.to_respond_within(claimed)).figures["bad"] == bad


def test_the_quantile_is_a_measured_value(judged):
    evidence = window(requests(100, latency=lambda i: (i + 1) / 1000))

    verdict = judged(evidence, lambda claims: claims.to_respond_within("1s", at="p95"))

    assert verdict.measured == pytest.approx(0.095)


def test_no_response_is_slower_than_anything(judged):
    evidence = window(requests(300, status=0, error="timeout"))

    verdict = judged(evidence, lambda claims: claims.to_respond_within("29s"))

    assert verdict.outcome is VIOLATED
    assert verdict.measured == float("inf")


def test_error_responses_count_with_their_time_and_are_told(judged):
    verdict = judged(window(requests(300, status=503)), lambda claims: claims.to_respond_within("1s"))

    assert verdict.outcome is HELD
    assert verdict.summary.endswith("; 100 % of all were errors")


class TestOfOk:
    def test_only_successful_requests_count(self, judged):
        evidence = window(requests(400, latency=lambda i: 2.0 if i % 2 else 0.02, status=lambda i: 503 if i % 2 else 200))

        verdict = judged(evidence, lambda claims: claims.to_respond_within("1s", of="ok"))

        assert verdict.outcome is HELD
        assert verdict.requests == 200
        assert "200 requests that were ok; 50 % of all were errors" in verdict.summary

    def test_the_culprits_are_told_by_their_own_numbers(self, judged):
        evidence = window(requests(400, latency=lambda i: 0.02 if i % 2 else 2.0, status=lambda i: 503 if i % 2 else 200))

        assert judged(evidence, lambda claims: claims.to_respond_within("1s", of="ok")).outcome is VIOLATED

    def test_without_any_there_is_nothing_to_judge(self, judged):
        verdict = judged(window(requests(300, status=503)), lambda claims: claims.to_respond_within("1s", of="ok"))

        assert verdict.outcome is INCONCLUSIVE
        assert "none of 300 requests was successful" in verdict.reason


class TestMissing:
    def test_they_count_against_held(self, judged):
        assert (
            judged(window(requests(298), scheduled=299), lambda claims: claims.to_respond_within("1s", at="p99")).outcome
            is INCONCLUSIVE
        )

    def test_and_for_violated(self, judged, spaced):
        assert (
            judged(slow(spaced(10, 100), 100, scheduled=101), lambda claims: claims.to_respond_within("1s")).outcome is INCONCLUSIVE
        )

    def test_unsent_ones_in_a_window_cut_short_too(self, judged):
        evidence = window(requests(1000, unsent=[3]), cut_short=True)

        verdict = judged(evidence, lambda claims: claims.to_respond_within("1s", at="p95"))

        assert (verdict.outcome, verdict.figures["missing"]) == (HELD, 1)

    def test_also_where_only_successful_ones_count(self, judged):
        evidence = window(requests(1200, unsent=[3], status=lambda i: 503 if i % 100 == 50 else 200), cut_short=True)

        verdict = judged(evidence, lambda claims: claims.to_respond_within("1s", at="p95", of="ok"))

        assert (verdict.outcome, verdict.figures["missing"]) == (HELD, 1)


class TestDependence:
    def test_under_50_effective_requests_nothing_is_decided(self, judged):
        queue = window(requests(400, latency=lambda i: 0.5 if i >= 360 else 0.02))

        verdict = judged(queue, lambda claims: claims.to_respond_within("1s"))

        assert verdict.outcome is INCONCLUSIVE
        assert verdict.reason.startswith("too few: about ")
        assert "since they depend on each other" in verdict.reason

    def test_49_requests_are_too_few_whatever_they_show(self, judged):
        assert judged(slow(set(range(49)), 49), lambda claims: claims.to_respond_within("1s")).outcome is INCONCLUSIVE
        assert judged(slow(set(range(50)), 50), lambda claims: claims.to_respond_within("1s")).outcome is VIOLATED


class TestClosedModel:
    def test_it_can_be_violated(self, judged):
        evidence = window(requests(300, latency=2.0), open_model=False)

        assert judged(evidence, lambda claims: claims.to_respond_within("1s")).outcome is VIOLATED

    def test_it_is_held_only_for_who_says_so(self, judged):
        evidence = window(requests(300), open_model=False)

        undecided = judged(evidence, lambda claims: claims.to_respond_within("1s"))
        assert undecided.outcome is INCONCLUSIVE
        assert "closed=True" in undecided.reason
        assert judged(evidence, lambda claims: claims.to_respond_within("1s", closed=True)).outcome is HELD

    def test_an_undecided_one_keeps_its_reason(self, judged):
        evidence = window(requests(20), open_model=False)

        assert judged(evidence, lambda claims: claims.to_respond_within("1s")).reason.startswith("too few")

    def test_time_counts_from_the_actual_start(self, judged):
        late = requests(300, lag=1.5, latency=2.0)

        assert judged(window(late, open_model=False), lambda claims: claims.to_respond_within("1s", closed=True)).outcome is HELD


class TestGenerator:
    @pytest.mark.parametrize(("lag", "outcome"), [(0.05, HELD), (0.051, INCONCLUSIVE)])
    def test_a_late_start_is_no_latency_of_the_system(self, judged, lag: float, outcome: Outcome):
        assert judged(window(requests(300, lag=lag)), lambda claims: claims.to_respond_within("1s")).outcome is outcome

    @pytest.mark.parametrize("timeout", [1.0, 0.5])
    def test_a_load_that_gives_up_before_the_claimed_time_is_refused(self, timeout: float):
        with pytest.raises(Refused, match="the load gives up after"):
            expect(closed(window(requests(300), timeout=timeout))).to_respond_within("1s")

    def test_one_that_waits_longer_is_not(self, judged):
        assert judged(window(requests(300), timeout=1.001), lambda claims: claims.to_respond_within("1s")).outcome is HELD


class TestUnderAFault:
    def evidence(self, latency: float, percent: float = 100) -> WindowEvidence:
        steady = window(requests(1000), kind="steady", edges=[edge("a -> b", calls(requests(1000)))])
        seen = edge("a -> b", calls(requests(300)), injection=injection(delay("2s", percent=percent), "a -> b"))
        return window(requests(300, latency=latency), edges=[seen], steady=steady)

    def test_what_is_too_slow_in_steady_is_undecided(self, judged):
        assert judged(self.evidence(2.02), lambda claims: claims.to_respond_within("10ms")).reason.startswith(
            "steady state not met"
        )

    def test_a_steady_window_without_success_says_nothing_of_successful_requests(self, judged):
        steady = window(requests(300, status=500), kind="steady")

        assert judged(window(requests(300), steady=steady), lambda claims: claims.to_respond_within("1s", of="ok")).outcome is HELD

    def test_a_delay_that_fits_is_refused(self):
        with pytest.raises(Vacuous, match="inject a longer delay"):
            expect(closed(self.evidence(2.02))).to_respond_within("3s")

    def test_so_is_one_that_the_quantile_does_not_see(self):
        with pytest.raises(Vacuous, match="claim a higher quantile"):
            expect(closed(self.evidence(0.02, percent=5))).to_respond_within("1s")

    def test_any_other_is_judged(self, judged):
        assert judged(self.evidence(0.5), lambda claims: claims.to_respond_within("1s")).outcome is HELD


@pytest.mark.parametrize("duration", ["6.5", 6.5, "0s", "-1s", "fast", None, timedelta(0)], ids=repr)
def test_a_duration_that_is_none_is_refused(duration):
    with pytest.raises(InvalidValue, match="duration is "):
        expect(closed(window())).to_respond_within(duration)


@pytest.mark.parametrize("at", ["95", "p100", "p0", "max", 0.95, None, ""], ids=repr)
def test_a_quantile_that_is_none_is_refused(at):
    with pytest.raises(InvalidValue, match="is no quantile"):
        expect(closed(window())).to_respond_within("1s", at=at)


def test_so_is_a_part_of_the_requests_that_is_none():
    with pytest.raises(InvalidValue, match="of is 'good'"):
        expect(closed(window())).to_respond_within("1s", of="good")  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 599), max_size=80), st.sets(st.integers(0, 599), max_size=80), st.booleans())
def test_more_slow_requests_never_make_a_violated_claim_hold(some: set[int], more: set[int], cut_short: bool):
    def outcome(numbers: set[int]) -> Outcome:
        return expect(closed(slow(numbers, 600, cut_short=cut_short)), soft=True).to_respond_within("1s").outcome

    if outcome(some) is VIOLATED:
        assert outcome(some | more) is not HELD


class TestMessages:
    @pytest.fixture
    def demo(self) -> WindowEvidence:
        """The page waits twice 3 s for reviews, which waits 7 s for ratings."""

        def gives_up_twice(number: int, at: int) -> list[Call]:
            return [call(number, started=at + i * 3 * SECOND, seconds=3.0, status=0, flags="DC") for i in (0, 1)]

        before, under = requests(1000), requests(300, latency=7.02, start=200, first=1000)
        page, ratings = "productpage -> reviews", "reviews -> ratings"
        steady = window(before, kind="steady", edges=[edge(page, calls(before)), edge(ratings, calls(before))])
        delayed = calls(under, lambda number, at: call(number, started=at, seconds=7.0, flags="DI"))
        return window(
            under,
            edges=[
                edge(page, calls(under, gives_up_twice)),
                edge(ratings, delayed, injection=injection(delay("7s"), ratings)),
            ],
            steady=steady,
        )

    def test_violated(self, judged, demo: WindowEvidence, snapshot):
        assert judged(demo, lambda claims: claims.to_respond_within("6.5s", at="p95")).message == snapshot

    def test_held(self, judged, spaced, snapshot):
        assert judged(slow(spaced(3, 600), 600), lambda claims: claims.to_respond_within("1s")).message == snapshot

    def test_no_response(self, judged, snapshot):
        evidence = window(
            requests(300, status=lambda i: 0 if i % 3 else 200, error=lambda i: "timeout" if i % 3 else "", latency=0.5)
        )

        assert judged(evidence, lambda claims: claims.to_respond_within("1s")).message == snapshot

    def test_closed_model(self, judged, snapshot):
        assert judged(window(requests(300), open_model=False), lambda claims: claims.to_respond_within("1s")).message == snapshot

    def test_generator_late(self, judged, snapshot):
        assert judged(window(requests(300, lag=0.3)), lambda claims: claims.to_respond_within("1s")).message == snapshot

    def test_cut_short(self, judged, snapshot):
        evidence = slow(set(), 1000, cut_short=True)

        assert judged(evidence, lambda claims: claims.to_respond_within("1s")).message == snapshot

    def test_refused(self, snapshot):
        with pytest.raises(Refused) as refused:
            expect(closed(window(requests(300), timeout=5.0))).to_respond_within("6.5s")

        assert str(refused.value) == snapshot
