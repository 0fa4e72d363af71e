from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.claims.expect import expect
from chaos.errors import InvalidValue, Vacuous
from chaos.model.fault import Fault, abort, delay
from chaos.model.injection import Side
from chaos.model.outcome import Outcome
from chaos.model.window import WindowEvidence
from chaos.testing.evidence import Call, attempts, call, calls, closed, edge, injection, requests, window

HELD, VIOLATED, INCONCLUSIVE = Outcome.HELD, Outcome.VIOLATED, Outcome.INCONCLUSIVE
EDGE = "productpage -> reviews"
One = Callable[[int, int], Call | Iterable[Call]]


def gave_up(number: int, at: int, *, seconds: float = 3.0, flags: str = "DC,DI") -> Call:
    return call(number, started=at, seconds=seconds, status=0 if "DC" in flags else 504 if "UT" in flags else 200, flags=flags)


def waited(number: int, at: int) -> Call:
    return call(number, started=at, seconds=10.0, flags="DI")


def delayed(
    one: One = gave_up, of: int = 300, *, fault: Fault | None = None, side: Side = Side.CALLER, **known: object
) -> WindowEvidence:
    seen = edge(EDGE, calls(requests(of), one), injection=injection(fault or delay("10s"), EDGE, side=side), **known)
    return window(requests(of), edges=[seen])


def mixed(bad: Iterable[int], one: One = waited, otherwise: One = gave_up) -> One:
    numbers = set(bad)
    return lambda number, at: (one if number in numbers else otherwise)(number, at)


@pytest.fixture
def judge(judged):
    return lambda evidence, claimed="3.5s", **options: judged(
        evidence, lambda claims: claims.to_time_out_within(claimed, **options), edge=EDGE
    )


@pytest.mark.parametrize(
    ("bad", "of", "outcome"),
    [(0, 58, INCONCLUSIVE), (0, 59, HELD), (10, 100, INCONCLUSIVE), (11, 100, VIOLATED), (300, 300, VIOLATED)],
)
def test_both_sides_of_every_limit(judge, spaced, bad: int, of: int, outcome: Outcome):
    verdict = judge(delayed(mixed(spaced(bad, of)), of))

    assert (verdict.outcome, verdict.figures["bad"], verdict.requests) == (outcome, bad, of)


def test_the_share_can_be_claimed(judge):
    assert judge(delayed(of=298), at_least="99%").outcome is INCONCLUSIVE
    assert judge(delayed(of=299), at_least="99%").outcome is HELD


class TestWhatCounts:
    @pytest.mark.parametrize(
        ("flags", "seconds", "outcome"),
        [
            ("DC,DI", 3.5, HELD),
            ("DC,DI", 3.501, VIOLATED),
            ("DI,UT", 3.5, HELD),
            ("DI,UT", 3.501, VIOLATED),
            ("DI,URX,UT", 1.2, HELD),
            ("DI", 10.0, VIOLATED),
        ],
    )
    def test_given_up_in_time_by_mesh_or_application(self, judge, flags: str, seconds: float, outcome: Outcome):
        assert judge(delayed(lambda n, at: gave_up(n, at, seconds=seconds, flags=flags))).outcome is outcome

    @pytest.mark.parametrize("why", ["FI", "UO", "UH", "UF", "URX"])
    @pytest.mark.parametrize("seconds", [0.1, 9.0])
    def test_what_another_failure_ended_is_left_out(self, judge, spaced, why: str, seconds: float):
        numbers = spaced(60, 300)
        failed = mixed(numbers, lambda n, at: call(n, started=at, seconds=seconds, status=503, flags=f"DI,{why}"))

        verdict = judge(delayed(failed))

        assert (verdict.outcome, verdict.requests) == (HELD, 240)
        assert verdict.summary.endswith(f"; left out: 60 {why}")

    def test_so_is_what_the_application_answered_with_an_error(self, judge, spaced):
        failed = mixed(spaced(60, 300), lambda n, at: call(n, started=at, seconds=0.1, status=500, flags="DI"))

        assert judge(delayed(failed)).summary.endswith("; left out: 60 status 500")

    def test_so_is_what_was_answered_in_time(self, judge, spaced):
        answered = mixed(spaced(60, 300), lambda n, at: call(n, started=at, seconds=0.1, status=200, flags="DI"))

        assert judge(delayed(answered)).summary.endswith("; left out: 60 answered in time")

    @pytest.mark.parametrize("flags", ["DI", "DC"])
    def test_so_is_an_attempt_that_was_not_both_delayed_and_given_up(self, judge, spaced, flags: str):
        def answered(number: int, at: int) -> Call:
            return call(number, started=at, seconds=3.5, flags="DI", attempts=attempts(at, (0.4, 200, flags)))

        assert judge(delayed(mixed(spaced(60, 300), answered), side=Side.CALLEE)).summary.endswith(
            "; left out: 60 answered in time"
        )

    def test_so_is_what_was_cancelled_from_above(self, judge, spaced):
        numbers = spaced(60, 300)
        cancelled = mixed(numbers, lambda n, at: replace(gave_up(n, at, seconds=9.0), cancelled=True))

        verdict = judge(delayed(cancelled))

        assert (verdict.outcome, verdict.requests) == (HELD, 240)
        assert verdict.summary.endswith("; left out: 60 cancelled from above")

    @pytest.mark.parametrize(("others", "outcome"), [(60, HELD), (61, INCONCLUSIVE)])
    def test_over_20_percent_left_out_decide_nothing(self, judge, spaced, others: int, outcome: Outcome):
        numbers = spaced(others, 300)

        verdict = judge(delayed(mixed(numbers, lambda n, at: call(n, started=at, seconds=0.1, status=503, flags="DI,UF"))))

        assert verdict.outcome is outcome
        assert (verdict.figures.get("excluded") == {"UF": others}) is (outcome is INCONCLUSIVE)

    def test_calls_without_delay_do_not_count(self, judge):
        def half(number: int, at: int) -> Call:
            return gave_up(number, at) if number % 2 else call(number, started=at, seconds=9.0)

        verdict = judge(delayed(half, fault=delay("10s", percent=50)))

        assert (verdict.outcome, verdict.requests) == (HELD, 150)

    def test_a_delayed_attempt_makes_a_delayed_call(self, judge):
        def timed_out(number: int, at: int) -> Call:
            tries = attempts(at, (1.0, 0, "DC,DI"), (1.0, 0, "DC,DI"))
            return call(number, started=at, seconds=2.0, status=504, flags="UT", attempts=tries)

        assert judge(delayed(timed_out, side=Side.CALLEE)).outcome is HELD

    def test_a_per_try_timeout_that_a_retry_mends_has_given_up_too(self, judge):
        def mended(number: int, at: int) -> Call:
            return call(number, started=at, seconds=0.42, attempts=attempts(at, (0.4, 0, "DC,DI"), (0.01, 200, "")))

        verdict = judge(delayed(mended, side=Side.CALLEE))

        assert (verdict.outcome, verdict.requests) == (HELD, 300)

    def test_if_nothing_was_delayed_there_is_nothing_to_judge(self, judge):
        verdict = judge(delayed(lambda n, at: call(n, started=at)))

        assert verdict.outcome is INCONCLUSIVE
        assert verdict.reason.startswith("none of 300 calls was delayed; inject a delay of at least 3.9 s")
        assert (verdict.threshold, verdict.unit, verdict.requests) == (0.95, "share", 0)

    def test_an_application_that_gave_up_before_an_answer_is_no_5xx(self, judge):
        assert judge(delayed(lambda n, at: call(n, started=at, seconds=3.0, status=503, flags="DC,DI"))).outcome is HELD


class TestVacuous:
    """D >= 1.1 d + 50 ms: 3.9 s for a claim of 3.5 s."""

    @pytest.mark.parametrize("short", ["3.899s", "1s"])
    def test_a_delay_too_short_to_tell_is_refused(self, short: str):
        with pytest.raises(Vacuous, match=r"only one of 3.9 s \(1.1 x 3.5 s \+ 50 ms\) or more shows"):
            expect(closed(delayed(fault=delay(short))).edge(EDGE)).to_time_out_within("3.5s")

    def test_one_that_is_just_long_enough_is_not(self, judge):
        assert judge(delayed(fault=delay("3.9s"))).outcome is HELD

    def test_a_fault_without_delay_is_refused(self):
        with pytest.raises(Vacuous, match="no delay is injected on this edge"):
            expect(closed(delayed(fault=abort(503))).edge(EDGE)).to_time_out_within("3.5s")

    def test_so_is_a_delay_on_another_edge(self):
        other = edge("reviews -> ratings", calls(requests(300)), injection=injection(delay("10s"), "reviews -> ratings"))
        evidence = window(requests(300), edges=[edge(EDGE, calls(requests(300))), other])

        with pytest.raises(Vacuous, match="no delay is injected on this edge"):
            expect(closed(evidence).edge(EDGE)).to_time_out_within("3.5s")

    def test_who_insists_is_judged(self, judged):
        evidence = delayed(fault=delay("1s"))

        verdict = judged(evidence, lambda claims: claims.to_time_out_within("3.5s"), edge=EDGE, allow_vacuous=True)

        assert verdict.outcome is HELD


@pytest.mark.parametrize("duration", ["3.5", 3.5, "0s", None, timedelta(0)], ids=repr)
def test_a_duration_that_is_none_is_refused(duration):
    with pytest.raises(InvalidValue, match="duration is"):
        expect(closed(delayed()).edge(EDGE)).to_time_out_within(duration)


def test_so_is_a_share_that_is_none():
    with pytest.raises(InvalidValue, match="at_least is"):
        expect(closed(delayed()).edge(EDGE)).to_time_out_within("3.5s", at_least=95)


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 199), max_size=60), st.sets(st.integers(0, 199), max_size=60))
def test_more_waiting_calls_never_make_a_violated_claim_hold(some: set[int], more: set[int]):
    def outcome(numbers: set[int]) -> Outcome:
        subject = closed(delayed(mixed(numbers), 200)).edge(EDGE)
        return expect(subject, soft=True).to_time_out_within("3.5s").outcome

    if outcome(some) is VIOLATED:
        assert outcome(some | more) is not HELD


class TestMessages:
    def test_held(self, judge, snapshot):
        assert judge(delayed()).message == snapshot

    def test_violated(self, judge, snapshot):
        assert judge(delayed(waited, side=Side.CALLEE)).message == snapshot

    def test_some_wait(self, judge, spaced, snapshot):
        assert judge(delayed(mixed(spaced(60, 300)))).message == snapshot

    def test_the_mesh_is_late(self, judge, snapshot):
        late = delayed(
            lambda n, at: gave_up(n, at, seconds=5.0, flags="DI,UT"), side=Side.CALLEE, policy=("default: timeout 5 s, no retries",)
        )

        assert judge(late).message == snapshot

    def test_left_out(self, judge, spaced, snapshot):
        numbers = spaced(100, 300)

        assert judge(delayed(mixed(numbers, lambda n, at: call(n, started=at, status=503, flags="DI,UF")))).message == snapshot

    def test_vacuous(self, snapshot):
        with pytest.raises(Vacuous) as refused:
            expect(closed(delayed(fault=delay("3s"))).edge(EDGE)).to_time_out_within("3.5s")

        assert str(refused.value) == snapshot
