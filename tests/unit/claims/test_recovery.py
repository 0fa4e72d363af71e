from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.claims.expect import TrafficClaims, expect
from chaos.claims.recovery import Recover, recovery_time, retry_load
from chaos.claims.subjects import WindowSubject
from chaos.errors import ExperimentError, InvalidValue, Violated
from chaos.model.fault import abort
from chaos.model.outcome import Outcome
from chaos.model.samples import Samples
from chaos.model.standards import Standards
from chaos.model.verdict import Ledger, Verdict
from chaos.model.window import Window, WindowEvidence
from chaos.testing.evidence import SECOND, Ended, Flowed, call, calls, closed, edge, injection, requests, window

EDGE = "reviews -> ratings"
GONE = 300
RECORD = replace(injection(abort(503), EDGE), written=190 * SECOND, proven=200 * SECOND, withdrawn=299 * SECOND, gone=GONE * SECOND)


def jittered(i: int) -> float:
    """20 ... 40 ms."""
    return 0.020 + 0.020 * (i * 0.6180339887 % 1)


def before(count: int = 1000) -> WindowEvidence:
    return window(requests(count, latency=jittered), kind="steady")


def under(**known: object) -> WindowEvidence:
    asked = requests(300, start=200, status=503)
    seen = edge(EDGE, calls(asked), injection=RECORD)
    return replace(window(asked, name="the time under it", edges=[seen], steady=before()), **known)


def after(healed: float = 0.0, *, seconds: int = 30, latency: Callable[[int], float] = jittered) -> Samples:
    """From the moment the fault was gone; requests of the first `healed` seconds fail. 100 per second."""
    return requests(seconds * 100, start=GONE, latency=latency, status=lambda i: 503 if i < healed * 100 else 200)


def verdict_on(traffic: Flowed, **arguments: object) -> Verdict:
    claims = expect(traffic, soft=True)
    assert isinstance(claims, TrafficClaims)
    verdict = claims.to_recover(**{"within": "5s", "after": Ended(RECORD), **arguments})  # type: ignore[arg-type]
    assert isinstance(verdict, Verdict)
    return verdict


@pytest.mark.parametrize(
    ("healed", "outcome", "taken"),
    [
        (0, Outcome.HELD, 0.0),
        (3, Outcome.HELD, 2.99),
        (5, Outcome.HELD, 4.99),  # from then on all is well
        (9, Outcome.INCONCLUSIVE, 8.99),  # bad requests in one stretch count for few
        (30, Outcome.VIOLATED, 14.99),
    ],
)
def test_recovered_is_who_is_as_before_from_then_on(healed: float, outcome: Outcome, taken: float):
    verdict = verdict_on(Flowed(before(), under(), after(healed)))

    assert verdict.outcome is outcome
    assert verdict.figures["recovery_time"] == pytest.approx(taken)


def test_who_fails_again_is_not_held_recovered():
    relapsed = requests(3000, start=GONE, latency=jittered, status=lambda i: 503 if 900 <= i < 1100 else 200)

    verdict = verdict_on(Flowed(before(), under(), relapsed))

    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "degraded until 11 s" in verdict.message


def test_who_is_only_slow_has_not_recovered():
    slow = after(latency=lambda i: 3 * jittered(i))

    assert verdict_on(Flowed(before(), under(), slow)).outcome is Outcome.VIOLATED
    assert verdict_on(Flowed(before(), under(), slow), by={"latency": "100ms"}).outcome is Outcome.HELD


def test_the_verdict_is_on_a_window_from_within_on():
    verdict = verdict_on(Flowed(before(), under(), after()))

    assert verdict.subject == "window 3 (recovery) of /productpage"
    assert verdict.requests == 10 * 100
    assert verdict.claim == 'to_recover(within="5s", after=injection)'


def test_it_is_awaited_for_as_long_as_the_comparison_needs():
    slowly = window(requests(1000, rate=10, latency=jittered), kind="steady")
    claim = Recover("5s", after=Ended(RECORD), traffic=Flowed(slowly, under(), after()))

    start, end = claim.stretch

    assert start == (GONE + 5) * SECOND
    assert (end - start) / SECOND > 30  # so many requests take their time at 10/s


def test_too_few_before_the_fault_leave_it_open():
    verdict = verdict_on(Flowed(before(40), under(), after()))

    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "about" in verdict.reason


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (under(doubts=(f"{RECORD} is not proven: nothing was drawn",)), "is not proven"),
        (under(injections=()), "could not hit the requests of this load"),
        (under(samples=requests(0)), "no request was sent"),
    ],
)
def test_without_a_fault_there_is_nothing_to_recover_from(fault: WindowEvidence, says: str):
    verdict = verdict_on(Flowed(before(), fault, after()))

    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "nothing to recover from" in verdict.reason
    assert says in verdict.reason


def test_it_counts_as_a_look_at_the_time_under_the_fault():
    traffic = Flowed(before(), under(), after())
    verdict_on(traffic)

    assert traffic.ledger.looked_at["fault"] is True


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        ({"within": "5"}, InvalidValue, "without a unit"),
        ({"after": "injection"}, InvalidValue, "after=injection"),
        ({"after": Ended(replace(RECORD, gone=0))}, ExperimentError, "is still on"),
        ({"by": {"errors": "1%"}}, InvalidValue, "give margins"),
    ],
)
def test_what_cannot_be_claimed_is_refused_before_anything_is_awaited(arguments: dict, kind: type[Exception], says: str):
    traffic = Flowed(before(), under(), after())

    with pytest.raises(kind, match=says):
        verdict_on(traffic, **arguments)

    assert traffic.ledger.verdicts == []
    assert traffic.ledger.unfinished == {}


def test_load_that_began_under_the_fault_has_nothing_to_compare_with():
    with pytest.raises(ExperimentError, match="start the load first"):
        verdict_on(Flowed(None, under(), after()))


def test_load_without_a_claim_is_unfinished():
    traffic = Flowed(before(), under(), after())
    expect(traffic)

    assert list(traffic.ledger.unfinished.values()) == ["expect(<load on /productpage>)"]


def test_it_raises_what_it_finds():
    with pytest.raises(Violated, match="degraded"):
        expect(Flowed(before(), under(), after(30))).to_recover("5s", after=Ended(RECORD))


@given(healed=st.integers(1, 20))
@settings(max_examples=15, deadline=None)
def test_the_time_it_took_is_that_of_the_last_bad_request(healed: int):
    assert recovery_time(after(healed), GONE * SECOND, before(100)) == pytest.approx(healed - 0.01)


@pytest.mark.parametrize(("bad", "taken"), [(10, 0.0), (11, 1.10)])
def test_a_second_is_degraded_when_more_than_a_tenth_is_bad(bad: int, taken: float):
    blips = requests(300, start=GONE, status=lambda i: 503 if 100 <= i < 100 + bad else 200)

    assert recovery_time(blips, GONE * SECOND, before(100)) == pytest.approx(taken)


@pytest.mark.parametrize("healed", [0, 3, 30])
def test_messages(healed: float, snapshot):
    assert verdict_on(Flowed(before(), under(), after(healed))).message == snapshot


def test_message_of_nothing_to_recover_from(snapshot):
    assert verdict_on(Flowed(before(), under(doubts=("it hit nothing",)), after())).message == snapshot


@pytest.mark.parametrize(("tries", "stays"), [(1, False), (3, True)])
def test_retry_load_that_stays_is_shown(tries: int, stays: bool):
    before, after = requests(1000), requests(1000, start=300, first=1000)
    steady = window(before, kind="steady", edges=[edge("a -> b", calls(before))])
    seen = edge("a -> b", calls(after, lambda n, at: call(n, started=at, tries=tries)))
    found = retry_load(WindowSubject(window(after, kind="recovery", edges=[seen], steady=steady)), steady, 0.01)

    assert found == (["a -> b has 3 attempts per user request, at least 3 (was 1)"] if stays else [])


def test_a_rare_retry_is_no_retry_load():
    before, after = requests(1000), requests(1000, start=300, first=1000)
    steady = window(before, kind="steady", edges=[edge("a -> b", calls(before))])
    seen = edge("a -> b", calls(after, lambda n, at: call(n, started=at, tries=1 + (n % 10 == 0))))
    assert not retry_load(WindowSubject(window(after, kind="recovery", edges=[seen], steady=steady)), steady, 0.01)


class Retried(Flowed):
    """Recovered as far as users see, while every user request still makes so many attempts at a -> b, of 1.2 in steady."""

    def __init__(self, tries: Callable[[int], int], ledger: Ledger | None = None) -> None:
        asked = requests(1000, latency=jittered)
        seen = edge("a -> b", calls(asked, lambda n, at: call(n, started=at, tries=1 + (n % 5 == 0))))
        super().__init__(window(asked, kind="steady", edges=[seen]), under(), after(), ledger)
        self._tries = tries

    def between(self, start: int, end: int) -> Window:
        asked = self._after.between(start, end)
        seen = edge("a -> b", calls(asked, lambda n, at: call(n, started=at, tries=self._tries(n))))
        found = window(asked, kind="recovery", edges=[seen], steady=self.steady, start=start, end=end)
        return closed(found, self.ledger)


def test_retry_load_that_stays_violates_though_users_see_nothing():
    verdict = verdict_on(Retried(lambda n: 3))

    assert verdict.outcome is Outcome.VIOLATED
    assert verdict.reason == ""
    assert "success 100 % (was 100 %)" in verdict.summary
    assert verdict.summary.endswith("; retry load stays: a -> b has 3 attempts per user request, at least 3 (was 1.2)")
    assert verdict.figures["recovery_time"] == 0.0


@pytest.mark.parametrize(
    ("given", "extra", "outcome"),
    [
        ({}, 5, Outcome.HELD),  # as in steady
        ({}, 2, Outcome.HELD),  # 1.5, and 1.25 times 1.2 may stay
        ({}, 1, Outcome.VIOLATED),  # 2
        ({"latency_margin": "90%"}, 1, Outcome.HELD),
        ({"latency_margin": "1%"}, 2, Outcome.VIOLATED),
    ],
    ids=str,
)
def test_so_much_retry_load_may_stay(given: dict[str, str], extra: int, outcome: Outcome):
    ledger = Ledger(standards=Standards.of(given))

    assert verdict_on(Retried(lambda n: 1 + (n % extra == 0), ledger), by={"latency": "500ms"}).outcome is outcome


def test_two_ways_to_be_violated_share_the_level_of_one():
    verdict = verdict_on(Retried(lambda n: 1))

    assert verdict.figures["alpha_violated"] == pytest.approx(0.05 / 2 / 2)


def test_margins_and_names_are_those_that_were_given():
    verdict = verdict_on(Flowed(before(), under(), after()), by={"latency": "500ms"})

    assert verdict.claim == 'to_recover(within="5s", after=injection, by={"latency": "500ms"})'
    with pytest.raises(InvalidValue, match="within is"):
        verdict_on(Flowed(before(), under(), after()), within="5")


@pytest.mark.parametrize(
    ("latency", "degraded"),
    [(0.040, False), (0.0485, False), (0.0495, True), (0.2, True)],  # the p95 in steady is 39 ms: 48.75 ms and more are slow
)
def test_a_second_is_degraded_by_what_is_a_quarter_slower(latency: float, degraded: bool):
    slow = after(latency=lambda i: latency if 700 <= i < 800 else jittered(i))

    taken = recovery_time(slow, GONE * SECOND, before())

    assert taken == (pytest.approx(7.99) if degraded else 0.0)


def test_of_small_times_two_and_a_half_milliseconds_more_are_slow():
    steady = window(requests(1000, latency=0.002), kind="steady")
    for latency, degraded in ((0.0044, False), (0.0046, True)):
        seen = requests(3000, start=GONE, latency=lambda i, slow=latency: slow if 700 <= i < 800 else 0.002)
        assert bool(recovery_time(seen, GONE * SECOND, steady)) is degraded
