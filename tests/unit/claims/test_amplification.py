from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.claims.expect import expect
from chaos.errors import InvalidValue
from chaos.model.fault import abort
from chaos.model.outcome import Outcome
from chaos.model.window import EdgeEvidence, WindowEvidence
from chaos.testing.evidence import call, calls, closed, edge, injection, requests, window

HELD, VIOLATED, INCONCLUSIVE = Outcome.HELD, Outcome.VIOLATED, Outcome.INCONCLUSIVE
EDGE = "reviews -> ratings"


def under(tries: Callable[[int], int], of: int = 300, **known: object) -> WindowEvidence:
    """Every user request makes one call with so many attempts."""
    made = calls(requests(of), lambda n, at: call(n, started=at, status=503, tries=tries(n)))
    return window(requests(of), edges=[edge(EDGE, made, injection=injection(abort(503), EDGE))], **known)


@pytest.fixture
def judge(judged):
    return lambda evidence, **arguments: judged(evidence, lambda claims: claims.to_amplify(**arguments), edge=EDGE)


@pytest.mark.parametrize(
    ("at_most", "outcome"),
    [(3, HELD), (3.001, HELD), (2.999, VIOLATED), (1, VIOLATED)],
)
def test_a_mean_without_spread(judge, at_most: float, outcome: Outcome):
    verdict = judge(under(lambda n: 3), at_most=at_most)

    assert (verdict.outcome, verdict.measured, verdict.threshold) == (outcome, 3, at_most)


@pytest.mark.parametrize(("at_most", "outcome"), [(1.8, VIOLATED), (1.98, INCONCLUSIVE), (2.01, INCONCLUSIVE), (2.03, HELD)])
def test_spread_widens_the_bounds_on_both_sides(judge, at_most: float, outcome: Outcome):
    """300 requests with 1, 2 or 3 attempts: 2 on average, at most 2.02 (95 %), at least 1.975 (97.5 %)."""
    evidence = under(lambda n: 1 + n % 3)

    assert judge(evidence, at_most=at_most).outcome is outcome


def test_the_bounds_are_those_of_the_levels(judge):
    figures = judge(under(lambda n: 1 + n % 3), at_most=2).figures

    assert figures["upper"] == pytest.approx(2 + 2 * 2.995732 / 300)  # blocks of 30 all have mean 2: only range ln(1/e)/n is left
    assert figures["lower"] == pytest.approx(2 - 2 * 3.688879 / 300)


def test_all_calls_of_a_user_request_add_up(judge):
    made = calls(requests(300), lambda n, at: [call(n, started=at + i, tries=2) for i in range(3)])

    assert judge(window(requests(300), edges=[edge(EDGE, made)]), at_most=6).measured == 6


def test_user_requests_without_a_call_count_with_none(judge):
    made = calls(requests(300), lambda n, at: [call(n, started=at, tries=2)] * (n % 2))

    verdict = judge(window(requests(300), edges=[edge(EDGE, made)]), at_most=2)

    assert (verdict.outcome, verdict.measured, verdict.requests) == (HELD, 1, 300)


def test_calls_that_no_host_was_asked_for_make_no_work(judge):
    assert judge(under(lambda n: n % 2), at_most=1).measured == 0.5


class TestPerRequest:
    def test_one_storm_violates(self, judge):
        storm = under(lambda n: 9 if n == 17 else 1)

        assert judge(storm, at_most=2).outcome is HELD
        verdict = judge(storm, at_most=2, per_request_at_most=8)
        assert (verdict.outcome, verdict.figures["storms"]) == (VIOLATED, 1)
        assert judge(storm, at_most=2, per_request_at_most=9).outcome is HELD
        assert judge(storm, at_most=2, per_request_at_most=1).figures["storms"] == 1

    def test_however_few_requests_there_are(self, judge):
        assert judge(under(lambda n: 9, of=1), at_most=20, per_request_at_most=8).outcome is VIOLATED


class TestOnTheWay:
    """Retries of several hops multiply, and each hop knows its own alone."""

    HOPS = ("-> productpage", "productpage -> reviews", EDGE)

    def hops(self, asked: tuple[int, int, int], tries: tuple[int, int, int]) -> list[EdgeEvidence]:
        """By hop: how often it is called for a user request, and attempts of each call."""
        return [
            edge(
                name,
                calls(requests(100), lambda n, at, c=c, t=t: [call(n, started=at + i, status=503, tries=t) for i in range(c)]),
            )
            for name, c, t in zip(self.HOPS, asked, tries, strict=True)
        ]

    def told(self, judge, asked: tuple[int, int, int], tries: tuple[int, int, int], *, usually=(1, 1, 1), seen: int = 3) -> str:
        """What the message says where the last `seen` hops were observed; without `usually` there is no steady window."""
        steady = window(requests(100), kind="steady", edges=self.hops(usually, (1, 1, 1))[3 - seen :]) if usually else None
        evidence = window(requests(100), edges=self.hops(asked, tries)[3 - seen :], steady=steady)
        (line,) = (line for line in judge(evidence, at_most=1000).details if "on the way" in line)
        return line.removeprefix("attempts per user request on the way: ")

    def test_each_hop_tells_what_it_adds(self, judge):
        assert self.told(judge, (1, 2, 12), (1, 2, 3)) == (
            "-> productpage 1, productpage -> reviews 4 (productpage asks twice, its proxy tries each call twice), "
            "reviews -> ratings 36 (reviews asks 3 times, its proxy tries each call 3 times); in steady 1, 1, 1"
        )

    def test_and_not_what_it_does_anyway(self, judge):
        assert self.told(judge, (1, 3, 6), (1, 1, 2), usually=(1, 3, 6)) == (
            "-> productpage 1, productpage -> reviews 3, reviews -> ratings 12 (the caller's proxy tries each call twice); "
            "in steady 1, 3, 6"
        )

    def test_nor_whose_doing_it_is_where_the_hop_before_was_not_observed(self, judge):
        assert self.told(judge, (1, 2, 12), (1, 1, 1), seen=1) == "reviews -> ratings 12 (asked 12 times); in steady 1"

    def test_without_a_steady_window_once_is_as_usual(self, judge):
        assert self.told(judge, (1, 1, 2), (1, 1, 1), usually=None) == (
            "-> productpage 1, productpage -> reviews 1, reviews -> ratings 2 (reviews asks twice)"
        )

    def test_what_is_not_a_whole_number_is_told_as_it_is(self, judge):
        assert "reviews -> ratings 5 (reviews asks 2.5 times)" in self.told(judge, (1, 2, 5), (1, 1, 1), usually=(1, 2, 2))

    def test_a_hop_that_is_never_called_adds_nothing(self, judge):
        assert "productpage -> reviews 0, reviews -> ratings 1" in self.told(judge, (1, 0, 1), (1, 1, 1))


@pytest.mark.parametrize(("of", "outcome"), [(58, INCONCLUSIVE), (59, HELD)])
def test_so_many_user_requests_are_needed(judge, of: int, outcome: Outcome):
    assert judge(under(lambda n: 1, of=of), at_most=2).outcome is outcome


class TestCutShort:
    def test_a_mean_decides_nothing(self, judge):
        verdict = judge(under(lambda n: 3, cut_short=True), at_most=2)

        assert verdict.outcome is INCONCLUSIVE
        assert verdict.reason.startswith("the window was cut short")

    def test_but_a_storm_does(self, judge):
        assert judge(under(lambda n: 3, cut_short=True), at_most=5, per_request_at_most=2).outcome is VIOLATED


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"at_most": 0}, "at_most is 0"),
        ({"at_most": -1.5}, "at_most is -1.5"),
        ({"at_most": "2"}, "at_most is '2'"),
        ({"at_most": True}, "at_most is True"),
        ({"at_most": float("inf")}, "at_most is inf"),
        ({"at_most": float("nan")}, "at_most is nan"),
        ({"at_most": 2, "per_request_at_most": 0}, "per_request_at_most is 0"),
        ({"at_most": 2, "per_request_at_most": 1.5}, "per_request_at_most is 1.5"),
        ({"at_most": 2, "per_request_at_most": True}, "per_request_at_most is True"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(arguments: dict, message: str):
    with pytest.raises(InvalidValue, match=message):
        expect(closed(under(lambda n: 1)).edge(EDGE)).to_amplify(**arguments)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=60, max_size=80), st.integers(1, 4))
def test_more_work_for_all_never_makes_a_violated_claim_hold(tries: list[int], more: int):
    def outcome(added: int) -> Outcome:
        evidence = under(lambda n: tries[n] + added, of=len(tries))
        return expect(closed(evidence).edge(EDGE), soft=True).to_amplify(at_most=2).outcome

    if outcome(0) is VIOLATED:
        assert outcome(more) is VIOLATED


class TestMessages:
    def test_held(self, judge, snapshot):
        assert judge(under(lambda n: 1 + (n % 10 == 0)), at_most=1.5).message == snapshot

    def test_violated(self, judge, snapshot):
        assert judge(under(lambda n: 3), at_most=1.5).message == snapshot

    def test_storm(self, judge, snapshot):
        assert judge(under(lambda n: 9 if n == 17 else 1), at_most=1.5, per_request_at_most=3).message == snapshot

    def test_varies(self, judge, snapshot):
        assert judge(under(lambda n: 1 + 9 * (n < 30)), at_most=2).message == snapshot

    def test_few(self, judge, snapshot):
        assert judge(under(lambda n: 1, of=20), at_most=2).message == snapshot
