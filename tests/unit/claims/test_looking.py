from __future__ import annotations

import math
from dataclasses import replace

import pytest

from chaos.claims.expect import Pending, WindowClaims, expect
from chaos.model.fault import Fault, abort, delay
from chaos.model.outcome import Outcome
from chaos.model.verdict import Ledger
from chaos.model.window import Outlook, Window, WindowEvidence
from chaos.testing.evidence import attempts, call, calls, closed, edge, injection, requests, window

EDGE = "reviews -> ratings"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def looked_at(said: list[str]) -> Window:
    opened = Window("window 2", Ledger())
    opened.outlook = Outlook(rate=100, steady=None, looked_at=True, tell=said.append)
    return opened


class Seen:
    """The first so many requests of a window that goes on."""

    def __init__(self, evidence: WindowEvidence, count: int) -> None:
        self._evidence = replace(evidence.beginning(count), cut_short=True, under_way=True)
        self.asked: list[float] = []

    def requests(self, patience: float = math.inf) -> WindowEvidence:
        self.asked.append(patience)
        return self._evidence

    def calls(self) -> WindowEvidence:
        return self._evidence


def first_enough(opened: Window, evidence: WindowEvidence) -> int:
    """After how many requests the window may end; 0: not with these."""
    for count in range(1, len(evidence.samples) + 1):
        if opened.enough(Seen(evidence, count)):
            return count
    return 0


def cut(evidence: WindowEvidence, count: int) -> WindowEvidence:
    return window(evidence.samples.where([i < count for i in range(len(evidence.samples))]), cut_short=True)


@pytest.mark.parametrize(
    ("claim", "count"),
    [
        (lambda w: w.to_succeed("95%"), 69),
        (lambda w: w.to_succeed("99%"), 367),
        (lambda w: w.to_succeed("100%"), 302),
        (lambda w: w.to_return(status=200, at_least="95%"), 69),
        (lambda w: w.to_sustain("95/s"), 69),
        (lambda w: w.to_respond_within("1s", at="p95"), 500),
    ],
    ids=["95%", "99%", "100%", "to_return", "to_sustain", "to_respond_within"],
)
def test_a_claim_without_a_bad_request_has_seen_enough_at_the_look_that_was_planned(looked_at: Window, claim, count: int):
    pending = claim(expect(looked_at))

    assert pending.planned == (count)
    assert first_enough(looked_at, window(requests(600))) == count


def test_what_is_plainly_broken_is_seen_at_the_first_look(looked_at: Window):
    expect(looked_at, soft=True).to_succeed()

    assert first_enough(looked_at, window(requests(200, status=503))) == 50


def test_what_lies_at_the_boundary_is_not_decided(looked_at: Window, spaced):
    failing = spaced(6, 600)
    expect(looked_at).to_succeed("99%")

    assert first_enough(looked_at, window(requests(600, status=lambda i: 503 if i in failing else 200))) == 0


@pytest.mark.parametrize("bad", [0, 1, 3, 40, 300])
def test_the_verdict_at_the_end_is_that_of_the_look(looked_at: Window, spaced, bad: int):
    failing = spaced(bad, 2000)
    evidence = window(requests(2000, status=lambda i: 503 if i in failing else 200))
    pending = expect(looked_at, soft=True).to_succeed("99%")
    assert isinstance(pending, Pending)

    count = first_enough(looked_at, evidence)
    looked_at.close(cut(evidence, count + 7))  # some more have come meanwhile

    assert count
    assert pending.outcome is (Outcome.VIOLATED if bad >= 40 else Outcome.HELD)
    assert "judged as it arrived" in pending.verdict.summary


def test_several_claims_are_awaited_together(looked_at: Window):
    expect(looked_at).to_succeed("95%")
    expect(looked_at).to_respond_within("1s")

    assert first_enough(looked_at, window(requests(600))) == 500


def test_once_decided_it_stays_so(looked_at: Window):
    expect(looked_at).to_succeed("95%")

    assert looked_at.enough(Seen(window(requests(80)), 80))
    assert looked_at.enough(Seen(window(requests(80, status=503)), 80))


def test_times_of_the_successful_alone_are_not_looked_at_but_planned(looked_at: Window):
    pending = expect(looked_at).to_respond_within("1s", of="ok")
    assert isinstance(pending, Pending)
    assert pending.planned == 500

    assert first_enough(looked_at, window(requests(600))) == 500


def test_a_refused_claim_needs_no_more_requests(looked_at: Window):
    expect(looked_at).to_sustain("120/s")

    assert first_enough(looked_at, window(requests(100))) == 50


def test_a_late_generator_decides_nothing(looked_at: Window):
    expect(looked_at).to_respond_within("100ms")

    assert first_enough(looked_at, window(requests(600, lag=0.02))) == 0


class TestEdges:
    """Calls are looked at as the requests are, once their lines have been read."""

    @staticmethod
    def faulted(one, count: int = 600, fault: Fault = delay("10s")) -> WindowEvidence:  # noqa: B008 - frozen
        samples = requests(count)
        return window(samples, edges=[edge(EDGE, calls(samples, one), injection=injection(fault, EDGE))])

    @pytest.mark.parametrize(("seconds", "outcome", "count"), [(3.0, Outcome.HELD, 69), (5.0, Outcome.VIOLATED, 50)])
    def test_who_gives_up_is_decided_at_a_look(self, looked_at: Window, seconds: float, outcome: Outcome, count: int):
        evidence = self.faulted(lambda n, at: call(n, started=at, status=0, flags="DI,DC", seconds=seconds))
        pending = expect(looked_at.edge(EDGE), soft=True).to_time_out_within("3.5s")
        assert isinstance(pending, Pending)

        assert first_enough(looked_at, evidence) == count
        looked_at.close(replace(evidence.beginning(count + 9), cut_short=True))

        assert (pending.outcome, pending.verdict.requests) == (outcome, count)

    @pytest.mark.parametrize(
        ("tries", "outcome", "count"),
        [(1, Outcome.HELD, 62), (2, Outcome.VIOLATED, 50)],
    )
    def test_one_retry_is_enough_and_59_calls_that_were_tempted(self, looked_at: Window, tries: int, outcome: Outcome, count: int):
        failing = lambda n, at: call(n, started=at, status=503, attempts=attempts(at, *[(0.001, 503, "FI")] * tries))  # noqa: E731
        evidence = self.faulted(failing, fault=abort(503))
        pending = expect(looked_at.edge(EDGE), soft=True).not_to_retry()
        assert isinstance(pending, Pending)

        assert first_enough(looked_at, evidence) == count
        looked_at.close(replace(evidence, cut_short=True))

        assert (pending.planned, pending.outcome, pending.verdict.requests) == (59, outcome, 600)

    def test_an_edge_that_carries_nothing_is_waited_for(self, looked_at: Window):
        expect(looked_at.edge(EDGE)).not_to_retry()

        assert first_enough(looked_at, window(requests(100), edges=[edge(EDGE)])) == 0

    def test_an_edge_that_nobody_observes_is_not(self, looked_at: Window):
        pending = expect(looked_at.edge(EDGE), soft=True).not_to_retry()
        assert isinstance(pending, Pending)

        assert first_enough(looked_at, window(requests(100))) == 50
        looked_at.close(window(requests(100), cut_short=True))

        assert f"{EDGE} was not observed in window 2 (fault)" in pending.verdict.reason

    def test_an_injection_that_is_not_proven_yet_decides_nothing(self, looked_at: Window):
        samples = requests(100)
        made = calls(samples, lambda n, at: call(n, started=at, status=0, flags="DI,DC", seconds=3.0))
        seen = edge(EDGE, made, injection=injection(delay("10s"), EDGE), unproven="only 7 attempts where 66 are needed")
        expect(looked_at.edge(EDGE)).to_time_out_within("3.5s")

        assert first_enough(looked_at, window(samples, edges=[seen])) == 0


@pytest.mark.parametrize(
    ("claim", "patience"),
    [
        (lambda w: w.to_respond_within("2s"), 2.0),
        (lambda w: w.to_respond_within("2s", of="ok"), math.inf),
        (lambda w: w.to_succeed(), math.inf),
    ],
    ids=["all", "ok", "to_succeed"],
)
def test_who_waits_longer_than_is_claimed_need_not_be_waited_for(looked_at: Window, claim, patience: float):
    seen = Seen(window(requests(10)), 10)
    claim(expect(looked_at))

    looked_at.enough(seen)

    assert seen.asked == [patience]


class TestWhatIsNotLookedAt:
    def test_a_comparison_gets_the_requests_that_were_planned_and_is_judged_on_them(self, looked_at: Window):
        other = closed(window(requests(1000), kind="steady"))
        pending = expect(looked_at, soft=True).not_to_differ_from(other)
        assert isinstance(pending, Pending)
        planned = pending.planned
        assert planned

        assert first_enough(looked_at, window(requests(1000))) == planned
        looked_at.close(window(requests(planned + 200, status=lambda i: 200 if i < planned else 503), cut_short=True))

        assert pending.outcome is Outcome.HELD
        assert pending.verdict.requests == planned

    def test_one_that_ended_earlier_was_as_long_as_it_may_be(self, looked_at: Window):
        pending = expect(looked_at, soft=True).not_to_differ_from(closed(window(requests(1000), kind="steady")))
        assert isinstance(pending, Pending)

        looked_at.close(window(requests(100), cut_short=True))

        assert pending.verdict.requests == 100

    def test_a_mean_is_judged_on_the_requests_that_were_planned(self, looked_at: Window):
        pending = expect(looked_at.edge(EDGE), soft=True).to_amplify(at_most=2)
        assert isinstance(pending, Pending)

        looked_at.close(window(requests(400), edges=[edge(EDGE, calls(requests(400)))], cut_short=True))

        assert (pending.planned, pending.outcome, pending.verdict.requests) == (300, Outcome.HELD, 300)

    def test_a_plan_that_nobody_can_make_leaves_the_end_open(self, looked_at: Window, said: list[str]):
        expect(looked_at).not_to_differ_from(Window("window 3", Ledger()))

        assert first_enough(looked_at, window(requests(600))) == 0
        assert said == ["window 2: not_to_differ_from(window 3): nobody can tell yet how many requests it needs"]


class TestWhatIsSaidBefore:
    def test_the_requests_and_the_time_they_take(self, looked_at: Window, said: list[str]):
        expect(looked_at).to_succeed("99%")

        assert said == [
            (
                'window 2: to_succeed(at_least="99%") needs 367 requests if nothing is bad: 3.67 s at 100/s; '
                "good for failures that come singly"
            )
        ]

    def test_fewer_where_nobody_looks(self, said: list[str]):
        recorded = Window("window 2", Ledger())
        recorded.outlook = Outlook(rate=None, steady=None, looked_at=False, tell=said.append)

        pending = expect(recorded).to_succeed("99%")

        assert isinstance(pending, Pending)
        assert pending.planned == 299
        assert said == [
            'window 2: to_succeed(at_least="99%") needs 299 requests if nothing is bad; good for failures that come singly'
        ]

    def test_more_where_latencies_hang_together(self, said: list[str]):
        def waves(i: int) -> float:
            return 0.02 if i // 500 % 2 else 0.2

        recorded = Window("window 2", Ledger())
        steady = window(requests(2000, latency=waves), kind="steady")
        recorded.outlook = Outlook(rate=100, steady=steady, looked_at=False, tell=said.append)

        pending = expect(recorded).to_respond_within("1s")

        assert isinstance(pending, Pending)
        assert pending.planned
        assert pending.planned > 59

    @pytest.mark.parametrize(("looks", "count"), [(False, 773), (True, 874)])
    def test_more_where_some_fail_in_steady(self, said: list[str], spaced, looks: bool, count: int):
        failing = spaced(2, 1000)
        steady = window(requests(1000, status=lambda i: 503 if i in failing else 200), kind="steady")
        opened = Window("window 2", Ledger())
        opened.outlook = Outlook(rate=100, steady=steady, looked_at=looks, tell=said.append)

        pending = expect(opened).to_succeed("99%")

        assert isinstance(pending, Pending)
        assert pending.planned == count
        assert said[0].startswith(f'window 2: to_succeed(at_least="99%") needs {count} requests if 0.2 % stay bad, as in steady: ')

    def test_none_where_too_many_fail_in_steady(self, said: list[str], spaced):
        failing = spaced(2, 100)
        steady = window(requests(100, status=lambda i: 503 if i in failing else 200), kind="steady")
        opened = Window("window 2", Ledger())
        opened.outlook = Outlook(rate=100, steady=steady, looked_at=False, tell=said.append)

        pending = expect(opened).to_succeed("99%")

        assert isinstance(pending, Pending)
        assert pending.planned is None
        assert said == [
            (
                'window 2: to_succeed(at_least="99%"): as in steady (2 of 100 requests bad), where 1 % may be, no number of requests '
                "would show that it holds"
            )
        ]

    def test_the_burst_that_is_declared_multiplies_it(self, said: list[str]):
        recorded = Window("window 2", Ledger())
        recorded.outlook = Outlook(rate=100, steady=None, looked_at=False, tell=said.append)

        pending = expect(recorded).to_succeed("99%", burst=5)

        assert isinstance(pending, Pending)
        assert pending.planned == math.ceil(299 * 13.5)
        assert said == [
            (
                'window 2: to_succeed(at_least="99%", burst=5) needs 4037 requests if nothing is bad, 14 times what independent ones '
                "would take: 40.4 s at 100/s; good for failures that come up to 8.07 in a row"
            )
        ]

    def test_more_than_is_offered_is_not_planned(self, looked_at: Window):
        pending = expect(looked_at).to_sustain("120/s")

        assert isinstance(pending, Pending)
        assert pending.planned is None

    def test_nothing_where_the_window_knows_of_no_load(self):
        pending = expect(Window("window 2", Ledger())).to_succeed()

        assert isinstance(pending, Pending)
        assert pending.planned is None


def test_the_steady_gate_comes_first_at_the_end(looked_at: Window):
    claims = expect(looked_at, soft=True)
    assert isinstance(claims, WindowClaims)
    pending = claims.to_succeed("99%")
    assert isinstance(pending, Pending)
    broken = window(requests(400, status=503), kind="steady")
    record = injection(abort(503), EDGE)

    looked_at.close(window(requests(400), injections=[record], steady=broken, cut_short=True))

    assert pending.outcome is Outcome.INCONCLUSIVE
    assert "steady state not met" in pending.verdict.reason
