from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.claims.expect import expect
from chaos.claims.retries import units_of
from chaos.claims.subjects import EdgeSubject
from chaos.errors import InvalidValue, Refused
from chaos.model.fault import abort
from chaos.model.injection import Side
from chaos.model.outcome import Outcome
from chaos.model.window import WindowEvidence
from chaos.testing.evidence import SECOND, Call, attempts, call, calls, closed, edge, injection, requests, window

HELD, VIOLATED, INCONCLUSIVE = Outcome.HELD, Outcome.VIOLATED, Outcome.INCONCLUSIVE
EDGE = "reviews -> ratings"
One = Callable[[int, int], Call | Iterable[Call]]


def tried(number: int, at: int, *, retries: int = 2, ends: int = 503, method: str = "GET", grpc: int | None = None) -> Call:
    """Aborted until the last attempt, which answers with `ends`."""
    made = attempts(at, *[(0.001, 503, "FI")] * retries, (0.001, ends, "FI" if ends >= 500 else ""))
    return call(number, started=at, status=ends, flags="URX" if ends >= 500 else "", attempts=made, method=method, grpc=grpc)


def once(number: int, at: int) -> Call:
    return call(number, started=at)


def several(one: Callable[[int, int], Call], many: int) -> One:
    """Each user request makes so many such calls, a millisecond apart."""
    return lambda number, at: [one(number, at + i * 1_000_000) for i in range(many)]


def under(
    one: One = tried,
    of: int = 300,
    *,
    before: One | None = once,
    side: Side = Side.CALLEE,
    cut_short: bool = False,
    **known: object,
) -> WindowEvidence:
    """A window under aborts; `before` is what a user request called in steady, None for no steady window."""
    steady = None if before is None else window(requests(of), kind="steady", edges=[edge(EDGE, calls(requests(of), before))])
    seen = edge(EDGE, calls(requests(of), one), injection=injection(abort(503), EDGE, side=side), **known)
    return window(requests(of), edges=[seen], steady=steady, cut_short=cut_short)


@pytest.fixture
def judge(judged):
    return lambda evidence, **arguments: judged(evidence, lambda claims: claims.to_retry(**arguments), edge=EDGE)


def some(numbers: Iterable[int], one: One, otherwise: One = tried) -> One:
    chosen = set(numbers)
    return lambda number, at: (one if number in chosen else otherwise)(number, at)


class TestAtMost:
    @pytest.mark.parametrize(
        ("retries", "claimed", "outcome"), [(2, 2, HELD), (3, 2, VIOLATED), (1, 2, HELD), (0, 0, HELD), (1, 0, VIOLATED)]
    )
    def test_every_call_counts(self, judge, retries: int, claimed: int, outcome: Outcome):
        assert judge(under(lambda n, at: tried(n, at, retries=retries)), at_most=claimed).outcome is outcome

    def test_one_that_was_retried_more_often_violates(self, judge):
        verdict = judge(under(some([17], lambda n, at: tried(n, at, retries=3))), at_most=2)

        assert verdict.outcome is VIOLATED
        assert (verdict.measured, verdict.threshold, verdict.figures["over"]) == (3, 2, 1)

    @pytest.mark.parametrize(("failing", "outcome"), [(58, INCONCLUSIVE), (59, HELD)])
    def test_so_many_must_have_failed_at_first(self, judge, failing: int, outcome: Outcome):
        verdict = judge(under(some(range(failing), tried, otherwise=once)), at_most=2)

        assert (verdict.outcome, verdict.figures["failed_first"]) == (outcome, failing)

    def test_one_that_violates_needs_no_number(self, judge):
        assert judge(under(lambda n, at: tried(n, at, retries=3), of=1), at_most=2).outcome is VIOLATED


class TestNotToRetry:
    def test_is_at_most_none(self, judged):
        not_to = lambda claims: claims.not_to_retry()  # noqa: E731 - reads as the claim it is

        assert judged(under(lambda n, at: tried(n, at, retries=0)), not_to, edge=EDGE).outcome is HELD
        assert judged(under(lambda n, at: tried(n, at, retries=1)), not_to, edge=EDGE).outcome is VIOLATED
        assert judged(under(once), not_to, edge=EDGE).outcome is INCONCLUSIVE


class TestAtLeast:
    @pytest.mark.parametrize(("bad", "outcome"), [(0, HELD), (10, INCONCLUSIVE), (11, VIOLATED)])
    def test_a_share_of_the_calls_that_had_to_be_retried(self, judge, spaced, bad: int, outcome: Outcome):
        verdict = judge(under(some(spaced(bad, 100), lambda n, at: tried(n, at, retries=1)), of=100), at_least=2)

        assert (verdict.outcome, verdict.requests, verdict.figures["bad"]) == (outcome, 100, bad)

    def test_the_share_can_be_claimed(self, judge):
        assert judge(under(of=298), at_least=2, share="99%").outcome is INCONCLUSIVE
        assert judge(under(of=299), at_least=2, share="99%").outcome is HELD

    def test_calls_that_succeeded_before_had_no_need(self, judge):
        mended = lambda n, at: tried(n, at, retries=1, ends=200)  # noqa: E731

        verdict = judge(under(some(range(0, 300, 2), mended)), at_least=2)

        assert (verdict.outcome, verdict.requests) == (HELD, 150)

    def test_calls_that_succeeded_at_the_last_retry_claimed_count(self, judge):
        assert judge(under(lambda n, at: tried(n, at, retries=2, ends=200)), at_least=2).requests == 300

    def test_calls_that_did_not_fail_at_first_do_not_count(self, judge):
        assert judge(under(some(range(0, 300, 2), once)), at_least=2).requests == 150

    def test_if_none_had_to_be_retried_there_is_nothing_to_judge(self, judge):
        verdict = judge(under(once), at_least=1)

        assert verdict.outcome is INCONCLUSIVE
        assert verdict.reason.startswith("nothing had to be retried")

    def test_in_a_window_cut_short_the_rule_for_looks_decides(self, judge):
        assert judge(under(of=59), at_least=2).outcome is HELD
        assert judge(under(of=59, cut_short=True), at_least=2).outcome is INCONCLUSIVE


class TestBoth:
    @pytest.mark.parametrize(
        ("retries", "outcome"),
        [(1, VIOLATED), (2, HELD), (3, HELD), (4, VIOLATED)],
    )
    def test_lie_between(self, judge, retries: int, outcome: Outcome):
        assert judge(under(lambda n, at: tried(n, at, retries=retries)), at_least=2, at_most=3).outcome is outcome

    def test_violated_before_inconclusive_before_held(self, judge):
        def few(retries: int) -> WindowEvidence:
            return under(some(range(20), lambda n, at: tried(n, at, retries=retries), otherwise=once))

        assert judge(few(2), at_least=2, at_most=2).outcome is INCONCLUSIVE
        assert judge(few(3), at_least=2, at_most=2).outcome is VIOLATED


class TestWhatFailedRetriably:
    @pytest.mark.parametrize(
        ("made", "failed"),
        [
            (call(0, started=0), False),
            (call(0, started=0, status=499), False),
            (call(0, started=0, status=500), True),
            (call(0, started=0, status=0, flags="UF"), True),
            (call(0, started=0, status=0, flags="DC"), False),  # the caller left: nobody to retry for
            (call(0, started=0, status=504, flags="UT", details="response_timeout"), False),  # the time of the call is over
            (call(0, started=0, status=504, flags="UT"), False),
            (call(0, started=0, status=504, flags="UT", details="upstream_per_try_timeout"), True),
            (call(0, started=0, grpc=0), False),
            (call(0, started=0, grpc=5), False),
            (call(0, started=0, grpc=14), True),
            (call(0, started=0, grpc=1), True),
            (call(0, started=0, grpc=4), True),
            (call(0, started=0, grpc=8), True),
            (call(0, started=0, grpc=13), True),
            (call(0, started=0, status=503, flags="UO", tries=0), False),  # no host was asked
            (call(0, started=0, tries=2), True),  # only counted: a second attempt tells that the first failed
            (call(0, started=0, attempts=attempts(0, (0.1, 503, "FI"), (0.1, 200, ""))), True),
            (call(0, started=0, status=200, attempts=attempts(0, (0.1, 503, "FI"))), True),
            (call(0, started=0, status=503, attempts=attempts(0, (0.1, 200, ""))), False),
        ],
    )
    def test_at_first(self, made: Call, failed: bool):
        evidence = window(requests(1), edges=[edge(EDGE, [made])])

        assert units_of(EdgeSubject(evidence, edge(EDGE, [made])))[0].failed_first is failed


class TestFanOut:
    """Calls per user request in steady: only where each makes one can the application's own retries be told."""

    def test_further_calls_are_retries_of_the_application(self, judge):
        again = several(lambda n, at: tried(n, at, retries=0), 3)

        assert judge(under(again), at_most=2).outcome is HELD
        assert judge(under(again), at_most=1).outcome is VIOLATED
        assert judge(under(again), at_least=2).outcome is HELD
        assert judge(under(again), at_least=3).outcome is VIOLATED

    def test_and_multiply_with_those_of_the_mesh(self, judge):
        assert judge(under(several(tried, 2)), at_most=5).outcome is HELD  # 2 x 3 attempts
        assert judge(under(several(tried, 2)), at_most=4).outcome is VIOLATED

    def test_a_retry_of_the_application_that_succeeds_was_enough(self, judge):
        mended = lambda n, at: [tried(n, at, retries=0), once(n, at + SECOND)]  # noqa: E731

        assert judge(under(mended), at_least=2).outcome is INCONCLUSIVE
        assert judge(under(mended), at_least=1).outcome is HELD

    def test_calls_that_no_host_was_asked_for_are_attempts_of_the_application(self, judge):
        refused = lambda n, at: [call(n, started=at + i, status=503, flags="UO", tries=0) for i in (0, 1, 2)]  # noqa: E731

        assert judge(under(refused), at_most=1).measured == 2

    @pytest.mark.parametrize(
        "before",
        [None, lambda n, at: [once(n, at)] * (1 + n % 2), lambda n, at: [once(n, at)] * (n % 2)],
        ids=["unknown", "1 or 2", "0 or 1"],
    )
    def test_where_it_varies_or_is_not_known_only_the_mesh_counts(self, judge, before):
        verdict = judge(under(several(tried, 4), before=before), at_most=2)

        assert (verdict.outcome, verdict.requests) == (HELD, 1200)
        assert verdict.details[0].startswith("only the mesh's retries are counted, not the application's: ")

    def test_where_it_is_known_nothing_is_said_of_it(self, judge):
        assert not any("only the mesh" in line for line in judge(under(), at_most=2).details)

    class TestOfSeveralCalls:
        def test_as_many_calls_as_meant_are_judged_one_by_one(self, judge):
            assert judge(under(several(tried, 2), before=several(once, 2)), at_most=2).outcome is HELD
            assert judge(under(several(tried, 2), before=several(once, 2)), at_most=1).outcome is VIOLATED
            assert judge(under(several(tried, 2), before=several(once, 2)), at_least=2).requests == 600

        def test_of_more_it_cannot_be_told_which_came_again(self, judge):
            evidence = under(several(tried, 3), before=several(once, 2))  # 9 attempts where 2 were meant

            verdict = judge(evidence, at_most=2)
            assert verdict.outcome is INCONCLUSIVE
            assert "300 user requests made more calls than in steady" in verdict.reason
            assert judge(evidence, at_most=7).outcome is HELD
            assert judge(evidence, at_most=6).outcome is INCONCLUSIVE
            assert judge(evidence, at_most=1).outcome is VIOLATED

        def test_nor_which_was_retried_often_enough(self, judge):
            evidence = under(several(tried, 3), before=several(once, 2))

            assert judge(evidence, at_least=2).outcome is HELD
            assert judge(evidence, at_least=3).outcome is INCONCLUSIVE
            assert judge(evidence, at_least=7).outcome is INCONCLUSIVE
            assert judge(evidence, at_least=8).outcome is VIOLATED


class TestUnsafeMethods:
    @pytest.mark.parametrize(
        ("method", "outcome"), [("POST", VIOLATED), ("PATCH", VIOLATED), ("PUT", HELD), ("DELETE", HELD), ("GET", HELD)]
    )
    def test_one_retry_violates(self, judge, method: str, outcome: Outcome):
        evidence = under(some([5], lambda n, at: tried(n, at, method=method)))

        assert judge(evidence, at_most=2).outcome is outcome
        assert judge(evidence, at_least=2).outcome is outcome

    def test_no_retry_does_not(self, judge):
        assert judge(under(lambda n, at: tried(n, at, retries=0, method="POST")), at_most=2).outcome is HELD

    def test_grpc_calls_are_all_post_and_not_meant(self, judge):
        assert judge(under(lambda n, at: tried(n, at, method="POST", grpc=14)), at_most=2).outcome is HELD

    def test_nor_where_only_the_mesh_counts(self, judge):
        for grpc, outcome in ((14, HELD), (None, VIOLATED)):
            evidence = under(lambda n, at, grpc=grpc: tried(n, at, method="POST", grpc=grpc), before=None)

            assert judge(evidence, at_most=2).outcome is outcome

    def test_they_can_be_named(self, judge):
        posted, put = (under(lambda n, at, m=method: tried(n, at, method=m)) for method in ("POST", "PUT"))

        assert judge(posted, at_most=2, never=()).outcome is HELD
        assert judge(put, at_most=2, never=("PUT",)).outcome is VIOLATED


class TestSides:
    @pytest.mark.parametrize(
        "claim",
        [
            lambda claims: claims.to_retry(at_most=2),
            lambda claims: claims.to_retry(at_least=2),
            lambda claims: claims.not_to_retry(),
            lambda claims: claims.to_space_retries("1ms"),
            lambda claims: claims.to_amplify(at_most=2),
        ],
        ids=["at_most", "at_least", "not", "space", "amplify"],
    )
    def test_over_a_caller_side_fault_the_mesh_is_not_tested(self, claim):
        with pytest.raises(Refused, match=r'before the router \(at="caller"\).*inject it with at="callee"'):
            claim(expect(closed(under(side=Side.CALLER)).edge(EDGE)))

    def test_a_caller_side_fault_on_another_edge_does_not_matter(self, judge):
        evidence = under()
        other = edge("productpage -> details", injection=injection(abort(503), "productpage -> details", side=Side.CALLER))
        both = window(requests(300), edges=[*evidence.edges.values(), other], steady=evidence.steady)

        assert judge(both, at_most=2).outcome is HELD


def test_what_is_violated_in_steady_is_undecided(judge):
    evidence = under(before=lambda n, at: tried(n, at, retries=3))

    verdict = judge(evidence, at_most=2)

    assert verdict.outcome is INCONCLUSIVE
    assert verdict.reason.startswith("steady state not met")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"to_retry\(\) claims nothing"),
        ({"at_most": -1}, "at_most is -1"),
        ({"at_most": 1.5}, "at_most is 1.5"),
        ({"at_most": True}, "at_most is True"),
        ({"at_most": "2"}, "at_most is '2'"),
        ({"at_least": 0}, "at_least is 0"),
        ({"at_least": "1"}, "at_least is '1'"),
        ({"at_least": 3, "at_most": 2}, "no number of retries is both"),
        ({"at_least": 1, "share": "95"}, "share is"),
        ({"at_most": 1, "never": "POST"}, "never is 'POST'"),
        ({"at_most": 1, "never": ("post",)}, "never is"),
        ({"at_most": 1, "never": (5,)}, "never is"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(arguments: dict, message: str):
    with pytest.raises(InvalidValue, match=message):
        expect(closed(under()).edge(EDGE)).to_retry(**arguments)


def test_at_most_and_at_least_may_be_the_same(judge):
    assert judge(under(), at_most=2, at_least=2).outcome is HELD


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=60, max_size=80), st.integers(0, 79), st.integers(0, 4))
def test_more_retries_never_make_a_violated_claim_hold(retries: list[int], which: int, more: int):
    def outcome(numbers: list[int]) -> Outcome:
        evidence = under(lambda n, at: tried(n, at, retries=numbers[n]), of=len(numbers))
        return expect(closed(evidence).edge(EDGE), soft=True).to_retry(at_most=2).outcome

    raised = [number + more * (i == which) for i, number in enumerate(retries)]
    if outcome(retries) is VIOLATED:
        assert outcome(raised) is VIOLATED


class TestMessages:
    def test_held(self, judge, snapshot):
        assert judge(under(policy=("default: 2 retries on 5xx",)), at_most=2, at_least=2).message == snapshot

    def test_retried_too_often(self, judge, snapshot):
        assert judge(under(some([17, 40], lambda n, at: tried(n, at, retries=3))), at_most=2).message == snapshot

    def test_not_retried(self, judge, snapshot):
        assert judge(under(lambda n, at: tried(n, at, retries=0)), at_least=1).message == snapshot

    def test_too_few_failed(self, judge, snapshot):
        assert judge(under(once), at_most=2).message == snapshot

    def test_a_retried_post(self, judge, snapshot):
        assert judge(under(lambda n, at: tried(n, at, retries=1, method="POST")), at_most=2).message == snapshot

    def test_cannot_be_told(self, judge, snapshot):
        assert judge(under(several(tried, 3), before=several(once, 2)), at_most=3).message == snapshot

    def test_only_the_mesh(self, judge, snapshot):
        assert judge(under(before=None), at_most=2).message == snapshot

    def test_refused(self, snapshot):
        with pytest.raises(Refused) as refused:
            expect(closed(under(side=Side.CALLER)).edge(EDGE)).to_retry(at_most=2)

        assert str(refused.value) == snapshot
