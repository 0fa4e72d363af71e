from __future__ import annotations

import pytest

from chaos.claims.naive import Naive, cannot_be_slow, cannot_fail, naive
from chaos.claims.subjects import WindowSubject
from chaos.model.fault import Fault, abort, delay, throttle
from chaos.model.injection import Side
from chaos.model.window import WindowEvidence
from chaos.testing.evidence import Call, call, calls, edge, injection, requests, window

EDGE = "reviews -> ratings"


def evidence(
    *faults: Fault,
    c: int = 1,
    latency: float = 0.02,
    side: Side = Side.CALLEE,
    timeout: float = 30.0,
    edges: tuple = (),
    **known: object,
) -> WindowEvidence:
    """A window under faults on one edge (or several), which every user request calls `c` times in steady."""

    def several(number: int, at: int) -> list[Call]:
        return [call(number, started=at) for _ in range(c)]

    names = [EDGE, "productpage -> details"]
    steady_requests = requests(300, latency=latency)
    steady = window(steady_requests, kind="steady", edges=[edge(name, calls(steady_requests, several)) for name in names])
    seen = [
        edge(name, calls(requests(300)), injection=injection(fault, name, side=side), **known)
        for name, fault in zip(names, faults, strict=False)
    ]
    return window(requests(300), edges=[*seen, *edges], steady=steady, timeout=timeout)


class TestNaive:
    @pytest.mark.parametrize(
        ("fault", "c", "expected"),
        [
            (abort(503), 1, Naive(failing=1.0, delayed=0.0, waiting=0.0)),
            (abort(503, percent=10), 1, Naive(failing=0.1, delayed=0.0, waiting=0.0)),
            (abort(503, percent=10), 2, Naive(failing=0.19, delayed=0.0, waiting=0.0)),  # h = 1 - 0.9^2
            (delay("2s", percent=10), 2, Naive(failing=0.0, delayed=0.19, waiting=4.0)),
            (delay("2s", percent=50) + abort(503, percent=10), 1, Naive(failing=0.1, delayed=0.5, waiting=2.0)),
            (abort(200), 1, Naive(failing=0.0, delayed=0.0, waiting=0.0)),  # an answer that no application takes for a failure
            (abort(400), 1, Naive(failing=1.0, delayed=0.0, waiting=0.0)),
            (abort(399), 1, Naive(failing=0.0, delayed=0.0, waiting=0.0)),
            (abort(grpc="UNAVAILABLE"), 1, Naive(failing=1.0, delayed=0.0, waiting=0.0)),
            (abort(grpc="OK"), 1, Naive(failing=0.0, delayed=0.0, waiting=0.0)),
        ],
    )
    def test_what_users_would_see(self, fault: Fault, c: int, expected: Naive):
        seen = naive(WindowSubject(evidence(fault, c=c)))

        assert seen is not None
        assert (seen.failing, seen.delayed, seen.waiting) == pytest.approx((expected.failing, expected.delayed, expected.waiting))

    def test_several_injections_add_up(self):
        seen = naive(WindowSubject(evidence(abort(503, percent=10) + delay("1s"), abort(500, percent=50) + delay("2s"))))

        assert seen is not None
        assert (seen.failing, seen.delayed, seen.waiting) == pytest.approx((0.55, 1.0, 3.0))

    def test_a_status_that_is_ok_fails_nobody(self):
        seen = naive(WindowSubject(evidence(abort(404))), ok={404})

        assert seen is not None
        assert seen.failing == 0

    def test_a_mean_number_of_calls_waits_for_the_next_whole_one(self):
        halves = calls(requests(300), lambda n, at: [call(n, started=at)] * (1 + n % 2))
        steady = window(requests(300), kind="steady", edges=[edge(EDGE, halves)])
        faulty = window(
            requests(300), edges=[edge(EDGE, halves, injection=injection(delay("2s", percent=10), EDGE))], steady=steady
        )

        seen = naive(WindowSubject(faulty))

        assert seen is not None
        assert (seen.delayed, seen.waiting) == pytest.approx((1 - 0.9**1.5, 4.0))

    def test_among_requests_that_were_all_hit_the_percentage_does_not_count(self):
        hit = calls(requests(300), lambda n, at: call(n, started=at, status=503, flags="FI"))
        steady = window(requests(300), kind="steady", edges=[edge(EDGE, calls(requests(300)))])
        faulty = window(requests(300), edges=[edge(EDGE, hit, injection=injection(abort(503, percent=0.5), EDGE))], steady=steady)

        seen = naive(WindowSubject(faulty))

        assert seen is not None
        assert seen.failing == 1.0

    def test_nor_does_that_of_a_delay(self):
        hit = calls(requests(300), lambda n, at: call(n, started=at, flags="DI"))
        steady = window(requests(300), kind="steady", edges=[edge(EDGE, calls(requests(300)))])
        faulty = window(requests(300), edges=[edge(EDGE, hit, injection=injection(delay("2s", percent=0.5), EDGE))], steady=steady)

        seen = naive(WindowSubject(faulty))

        assert seen is not None
        assert seen.delayed == 1.0

    def test_nobody_knows_what_a_throttle_does(self):
        assert naive(WindowSubject(evidence(throttle("64KiB/s")))) is None

    def test_without_steady_nobody_knows_the_calls_per_request(self):
        unknown = window(requests(300), edges=[edge(EDGE, calls(requests(300)), injection=injection(abort(503), EDGE))])

        assert naive(WindowSubject(unknown)) is None

    def test_an_edge_that_steady_never_called_is_unknown(self):
        assert naive(WindowSubject(evidence(abort(503), c=0))) is None


class TestCannotFail:
    @pytest.mark.parametrize(
        ("percent", "c", "allowed", "vacuous"),
        [
            (1.0, 1, 0.01, True),  # h = theta0
            (1.0001, 1, 0.01, False),
            (1.0, 2, 0.01, False),
            (4.0, 1, 0.05, True),
            (100.0, 1, 0.05, False),
        ],
    )
    @pytest.mark.parametrize("fault", [lambda p: abort(503, percent=p), lambda p: delay("60s", percent=p)], ids=["abort", "delay"])
    def test_a_fault_that_harms_no_more_than_may_fail(self, percent: float, c: int, allowed: float, vacuous: bool, fault):
        vacuity = cannot_fail(WindowSubject(evidence(fault(percent), c=c)), allowed)

        assert bool(vacuity.certain) is vacuous

    def test_says_how_many_it_can_harm(self):
        vacuity = cannot_fail(WindowSubject(evidence(abort(503, percent=0.5), c=1)), 0.01)

        assert vacuity.certain == "the fault can harm 0.5 % of the user requests, and 1 % may fail; raise percent"

    def test_a_delay_that_the_load_itself_does_not_wait_for_can_fail(self):
        assert cannot_fail(WindowSubject(evidence(delay("2s"), timeout=2.0)), 0.01).possible == ""
        assert cannot_fail(WindowSubject(evidence(delay("2s"), timeout=2.001)), 0.01).possible != ""

    def test_patience_that_nobody_declared_is_a_warning(self):
        vacuity = cannot_fail(WindowSubject(evidence(delay("2s"))), 0.01)

        assert vacuity.certain == ""
        assert vacuity.possible == (
            "the load waits 30 s for requests that are delayed by 2 s, no timeout is declared on the path: "
            "only an application that gives up sooner can fail"
        )

    @pytest.mark.parametrize(("timeout", "vacuous"), [(1.999, False), (2.0, False), (2.001, True)])
    def test_the_declared_timeout_of_the_edge_itself(self, timeout: float, vacuous: bool):
        vacuity = cannot_fail(WindowSubject(evidence(delay("2s"), policy_timeout=timeout)), 0.01)

        assert bool(vacuity.certain) is vacuous
        assert vacuity.possible == ""
        if vacuous:
            assert f"{EDGE}: 2 s" in vacuity.certain

    def test_it_counts_per_call_however_many_there_are(self):
        assert cannot_fail(WindowSubject(evidence(delay("2s"), c=3, policy_timeout=2.5)), 0.01).certain != ""

    def test_it_does_not_act_on_a_caller_side_delay(self):
        vacuity = cannot_fail(WindowSubject(evidence(delay("2s"), side=Side.CALLER, policy_timeout=0.1)), 0.01)

        assert vacuity.possible != ""

    @pytest.mark.parametrize(("timeout", "vacuous"), [(6.0, False), (6.001, True)])
    def test_an_edge_above_waits_for_all_calls(self, timeout: float, vacuous: bool):
        above = edge("productpage -> reviews", policy_timeout=timeout)

        assert bool(cannot_fail(WindowSubject(evidence(delay("2s"), c=3, edges=(above,))), 0.01).certain) is vacuous

    def test_so_does_one_above_that(self):
        edges = (edge("productpage -> reviews"), edge("-> productpage", policy_timeout=1.0))

        vacuity = cannot_fail(WindowSubject(evidence(delay("2s"), edges=edges)), 0.01)

        assert (vacuity.certain, vacuity.possible) == ("", "")

    def test_an_edge_elsewhere_does_not(self):
        vacuity = cannot_fail(WindowSubject(evidence(delay("2s"), edges=(edge("productpage -> other", policy_timeout=1.0),))), 0.01)

        assert vacuity.possible != ""

    def test_callers_that_call_each_other_are_followed_once(self):
        edges = (edge("ratings -> reviews"), edge("reviews -> ratings.other"))

        assert cannot_fail(WindowSubject(evidence(delay("2s"), edges=edges)), 0.01).possible != ""

    def test_what_fails_and_waits_can_fail(self):
        vacuity = cannot_fail(WindowSubject(evidence(delay("2s") + abort(503))), 0.01)

        assert (vacuity.certain, vacuity.possible) == ("", "")


class TestCannotBeSlow:
    @pytest.mark.parametrize(("percent", "vacuous"), [(5.0, True), (5.0001, False), (100.0, False)])
    def test_a_quantile_below_the_delayed_requests(self, percent: float, vacuous: bool):
        assert bool(cannot_be_slow(WindowSubject(evidence(delay("9s", percent=percent))), 1.0, 0.95).certain) is vacuous

    @pytest.mark.parametrize(("claimed", "vacuous"), [(2.019, False), (2.021, True)])
    def test_a_delay_that_fits_into_what_is_claimed(self, claimed: float, vacuous: bool):
        assert bool(cannot_be_slow(WindowSubject(evidence(delay("2s"))), claimed, 0.95).certain) is vacuous

    def test_the_delays_of_all_calls_add_up(self):
        assert cannot_be_slow(WindowSubject(evidence(delay("2s"), c=3)), 5.0, 0.95).certain == ""
        assert cannot_be_slow(WindowSubject(evidence(delay("2s"), c=3)), 6.1, 0.95).certain != ""

    def test_an_abort_makes_nothing_slow(self):
        vacuity = cannot_be_slow(WindowSubject(evidence(abort(503))), 1.0, 0.95)

        assert vacuity.certain == (
            "p95 was 20 ms in steady, the fault delays nothing, and 1 s is claimed; "
            "an abort slows only an application that retries: claim what its users get"
        )

    def test_what_was_slower_in_steady_is_left_to_the_steady_gate(self):
        assert cannot_be_slow(WindowSubject(evidence(abort(503), latency=2.0)), 1.0, 0.95).certain == ""

    def test_a_throttle_can_make_anything_slow(self):
        assert cannot_be_slow(WindowSubject(evidence(throttle("1KiB/s"))), 1.0, 0.95).certain == ""
