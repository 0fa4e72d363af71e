from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from chaos.errors import InvalidValue
from chaos.model.outcome import Outcome
from chaos.stats import shares
from chaos.stats.dependence import latency_design_effect, share_design_effect
from chaos.stats.quantiles import Latencies

repeatable = settings(deadline=None, derandomize=True, max_examples=50)
HELD, VIOLATED, INCONCLUSIVE = Outcome.HELD, Outcome.VIOLATED, Outcome.INCONCLUSIVE

allowed_shares = st.sampled_from([0.001, 0.01, 0.05, 0.3])
counts = st.integers(0, 3_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@repeatable
@given(counts, allowed_shares, st.floats(1e-6, 0.05))
def test_decisions_on_independent_requests_are_exact_binomial_tests(
    bad_of: tuple[int, int], allowed: float, alpha_violated: float
) -> None:
    bad, n = bad_of
    so_few, so_many = stats.binom.cdf(bad, n, allowed), stats.binom.sf(bad - 1, n, allowed)

    found = shares.decide(bad, n, allowed=allowed, alpha_violated=alpha_violated)

    assert (found.tail_held, found.tail_violated) == pytest.approx((so_few, so_many), rel=1e-7, abs=1e-200)
    assert found.outcome is (HELD if so_few <= 0.05 else VIOLATED if so_many <= alpha_violated else INCONCLUSIVE)


@repeatable
@given(counts, allowed_shares, st.integers(0, 30), st.floats(1, 20))
def test_printed_bounds_contain_the_estimate_and_agree_with_the_decision(
    bad_of: tuple[int, int], allowed: float, missing: int, design_effect: float
) -> None:
    bad, n = bad_of
    found = shares.decide(bad, n, allowed=allowed, alpha_violated=0.05, missing=missing, design_effect=design_effect)

    assert math.isnan(found.share) if n == 0 else found.lower <= found.share <= found.upper
    assert (found.outcome is HELD) == (found.upper <= allowed) or abs(found.upper - allowed) < 1e-9
    assert (found.outcome is VIOLATED) == (found.lower >= allowed) or abs(found.lower - allowed) < 1e-9


@repeatable
@given(counts, allowed_shares, st.integers(0, 30), st.floats(1, 20), st.floats(1e-6, 0.05))
def test_more_doubt_never_decides_more(
    bad_of: tuple[int, int], allowed: float, missing: int, design_effect: float, alpha_violated: float
) -> None:
    bad, n = bad_of
    sure = shares.decide(bad, n, allowed=allowed, alpha_violated=0.05)
    doubted = shares.decide(bad, n, allowed=allowed, alpha_violated=alpha_violated, missing=missing, design_effect=design_effect)

    if doubted.outcome is not sure.outcome and doubted.outcome is not INCONCLUSIVE:
        # Fractions of a bad request are finer than whole ones: an estimate of the allowed side only, never of the other.
        assert (doubted.share < allowed) == (doubted.outcome is HELD)
    assert not (sure.tail_held <= 0.05 and sure.tail_violated <= 0.05)


@repeatable
@given(counts, allowed_shares)
def test_one_more_bad_request_never_makes_it_better(bad_of: tuple[int, int], allowed: float) -> None:
    order = [HELD, INCONCLUSIVE, VIOLATED]
    bad, n = bad_of
    found = [shares.decide(k, n, allowed=allowed, alpha_violated=0.02).outcome for k in range(bad, min(bad + 3, n + 1))]

    assert found == sorted(found, key=order.index)


@pytest.mark.parametrize(
    ("bad", "requests", "extra", "outcome"),
    [
        (0, 299, {}, HELD),
        (0, 298, {}, INCONCLUSIVE),
        (3, 773, {}, HELD),
        (3, 772, {}, INCONCLUSIVE),
        (0, 597, {"design_effect": 2.0}, HELD),
        (0, 596, {"design_effect": 2.0}, INCONCLUSIVE),
        (0, 472, {"missing": 1}, HELD),
        (0, 471, {"missing": 1}, INCONCLUSIVE),
        (10, 299, {}, VIOLATED),
        (10, 299, {"design_effect": 4.0}, INCONCLUSIVE),
        (400, 400, {}, VIOLATED),
        (0, 0, {}, INCONCLUSIVE),
    ],
    ids=str,
)
def test_a_claim_of_99_percent(bad: int, requests: int, extra: dict[str, float], outcome: Outcome) -> None:
    assert shares.decide(bad, requests, allowed=0.01, alpha_violated=0.025, **extra).outcome is outcome  # type: ignore[arg-type]


def test_missing_requests_are_bad_for_held_and_good_for_violated() -> None:
    found = shares.decide(5, 100, allowed=0.1, alpha_violated=0.05, missing=20)

    assert found.tail_held == pytest.approx(stats.binom.cdf(25, 120, 0.1))
    assert found.tail_violated == pytest.approx(stats.binom.sf(4, 120, 0.1))
    assert found.upper == pytest.approx(float(stats.beta.isf(0.05, 26, 95)))
    assert found.lower == pytest.approx(float(stats.beta.ppf(0.05, 5, 116)))
    assert found.share == 0.05


@pytest.mark.parametrize(
    ("bad", "requests", "missing", "design_effect", "outcome", "needed"),
    [
        (0, 299, 0, 1.0, HELD, None),
        (0, 298, 0, 1.0, INCONCLUSIVE, 299),
        (1, 100_000, 0, 1.0, VIOLATED, None),
        (0, 400, 1, 1.0, INCONCLUSIVE, None),
        (0, 400, 0, 3.0, INCONCLUSIVE, 897),
    ],
    ids=["enough", "one short", "one bad", "one missing", "in declared bursts"],
)
def test_a_claim_of_all(bad: int, requests: int, missing: int, design_effect: float, outcome: Outcome, needed: int | None) -> None:
    found = shares.decide(bad, requests, allowed=0, alpha_violated=0.001, missing=missing, design_effect=design_effect)

    assert (found.outcome, found.needed) == (outcome, needed)


def test_the_bound_of_a_claim_of_all_is_that_of_no_failures() -> None:
    found = shares.decide(0, 400, allowed=0, alpha_violated=0.001)

    assert (found.lower, found.upper) == (0, pytest.approx(1 - 0.05 ** (1 / 400)))


@pytest.mark.parametrize(
    ("bad", "requests", "missing", "design_effect"),
    [(0, 100, 0, 1.0), (2, 400, 0, 1.7), (2, 398, 1, 1.0), (9, 700, 0, 1.0)],
    ids=str,
)
def test_the_needed_number_decides_at_the_measured_share(bad: int, requests: int, missing: int, design_effect: float) -> None:
    found = shares.decide(bad, requests, allowed=0.01, alpha_violated=0.01, missing=missing, design_effect=design_effect)
    assert found.outcome is INCONCLUSIVE
    assert found.needed is not None
    scale = 1 / (requests + missing) / design_effect

    def tails(n: int) -> tuple[float, float]:
        worst, best, total = ((bad + missing) * n * scale, bad * n * scale, n / design_effect)
        return (
            float(stats.beta.sf(0.01, worst + 1, total - worst)),
            float(stats.beta.cdf(0.01, best, total - best + 1)) if best else 1.0,
        )

    decided = [held <= 0.05 or violated <= 0.01 for held, violated in (tails(found.needed - 1), tails(found.needed))]
    assert decided == [False, True]


def test_no_number_is_enough_at_the_boundary_itself() -> None:
    assert shares.decide(4, 400, allowed=0.01, alpha_violated=0.01).needed is None


@pytest.mark.parametrize(("bad", "requests"), [(0, 299), (1, 473), (2, 628), (3, 773)])
def test_requests_that_a_claim_of_99_percent_needs(bad: int, requests: int) -> None:
    assert shares.requests_for(bad, 0.01) == requests


def test_no_number_of_requests_shows_a_share_of_nothing() -> None:
    with pytest.raises(InvalidValue, match="no number of requests"):
        shares.requests_for(0, 0.0)


def test_bits_are_counted_with_their_dependence() -> None:
    bad = bytes(990) + b"\1" * 10 + bytes(1_000)

    found = shares.judge(bad, allowed=0.05, alpha_violated=0.01)

    assert (found.bad, found.requests, found.missing) == (10, 2_000, 0)
    assert found.design_effect == share_design_effect(bad) == pytest.approx(1.5 * 2_000 / 199)
    assert (found.effective_bad, found.effective_requests) == pytest.approx((10 * 199 / 3_000, 199 * 2 / 3))
    assert found.tail_held == pytest.approx(float(stats.beta.sf(0.05, 1_990 / 3_000 + 1, 1_990 * 199 / 3_000)))
    assert found.longest_burst == 20


def test_unsent_requests_have_their_place_among_the_bits() -> None:
    bad = bytes([1, *[0] * 98, 0])
    unsent = bytes([0, *[0] * 98, 1])

    found = shares.judge(bad, unsent=unsent, allowed=0.1, alpha_violated=0.01)

    assert (found.bad, found.requests, found.missing) == (1, 99, 1)
    assert shares.worst_case(bad, unsent) == bytes([1, *[0] * 98, 1])
    assert found.design_effect == share_design_effect(bytes([1, *[0] * 98, 1]))


def test_a_declared_burst_counts_although_none_was_seen() -> None:
    found = shares.judge(bytes(400), allowed=0.01, alpha_violated=0.01, burst=2)

    assert found.design_effect == 4.5
    assert found.outcome is INCONCLUSIVE
    assert found.needed == math.ceil(4.5 * math.log(0.05) / math.log(0.99))


def test_latencies_are_judged_by_the_share_above_the_bound() -> None:
    values = [0.1 if i % 50 else 0.9 for i in range(1_000)]

    found = shares.judge_latencies(Latencies.of(values), 0.5, allowed=0.05, alpha_violated=0.01, missing=2)

    assert (found.outcome, found.bad, found.requests, found.missing) == (HELD, 20, 1_000, 2)
    assert found.tail_held == pytest.approx(stats.binom.cdf(22, 1_002, 0.05))
    slower = shares.judge_latencies(Latencies.of(values), 0.05, allowed=0.05, alpha_violated=0.01)
    assert (slower.outcome, slower.bad, slower.missing) == (VIOLATED, 1_000, 0)


def test_latencies_worth_few_independent_requests_carry_no_verdict() -> None:
    drifting = Latencies.of(i / 1_000 for i in range(1_000))
    design_effect = latency_design_effect(drifting, bound=5.0)

    found = shares.judge_latencies(drifting, 5.0, allowed=0.5, alpha_violated=0.01)

    assert found.tail_held <= 0.05
    assert (found.outcome, found.needed) == (INCONCLUSIVE, math.ceil(50 * design_effect))
    assert found.design_effect == design_effect > 20


def test_a_million_requests_are_judged() -> None:
    bad = bytes(i % 128 == 0 for i in range(1_000_000))
    found = shares.judge(bad, allowed=0.01, alpha_violated=1e-6)

    assert (found.outcome, found.design_effect) == (HELD, 1.0)
    assert found.upper == pytest.approx(float(stats.beta.isf(0.05, found.bad + 1, 1_000_000 - found.bad)))


def test_a_latency_of_never_is_above_every_bound() -> None:
    values = [random.Random(i).random() for i in range(400)] + [math.inf] * 30

    assert shares.judge_latencies(Latencies.of(values), 30.0, allowed=0.01, alpha_violated=0.01).bad == 30


@pytest.mark.parametrize(("at_least", "allowed"), [(0.99, 0.01), (0.95, 0.05), (0.999, 0.001), (1.0, 0.0)])
def test_allowed_share_has_no_rounding_error(at_least: float, allowed: float) -> None:
    assert shares.allowed_bad_share(at_least) == allowed


def test_the_shortest_mean_burst_is_one() -> None:
    assert (shares.longest_burst(400, 0.01), shares.longest_burst(2_400, 0.01)) == (1.0, 4.8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shares.decide(1, 10, allowed=1.0, alpha_violated=0.01), "lies between 0"),
        (lambda: shares.decide(1, 10, allowed=-0.1, alpha_violated=0.01), "lies between 0"),
        (lambda: shares.decide(11, 10, allowed=0.1, alpha_violated=0.01), "11 bad of 10"),
        (lambda: shares.decide(1, 10, allowed=0.1, alpha_violated=0.01, missing=-1), "-1 missing"),
        (lambda: shares.decide(1, 10, allowed=0.1, alpha_violated=0.01, design_effect=0.5), "design effect 0.5"),
        (lambda: shares.judge(b"\0", allowed=0.1, alpha_violated=0.01, burst=0.5), "burst is 0.5"),
        (lambda: shares.judge(b"\0", allowed=0.1, alpha_violated=0.01, unsent=b"\0\1"), "1 bad bits and 2 unsent"),
        (lambda: shares.judge(b"\1", allowed=0.1, alpha_violated=0.01, unsent=b"\1"), "not both set"),
    ],
    ids=["all allowed", "less than none allowed", "more bad than all", "missing", "design effect", "burst", "lengths", "both"],
)
def test_what_cannot_be_is_refused(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidValue, match=message):
        call()


@pytest.mark.parametrize("level", [0.01, 0.05])
def test_judging_is_deciding_at_the_level_given(level: float) -> None:
    bad = bytes(300)
    latencies = Latencies.of([0.01] * 300)

    by_bits = shares.judge(bad, allowed=0.01, alpha_held=level, alpha_violated=0.001)
    by_times = shares.judge_latencies(latencies, 1.0, allowed=0.01, alpha_held=level, alpha_violated=0.001)

    assert (by_bits.alpha_held, by_times.alpha_held) == (level, level)
    assert by_bits.outcome is by_times.outcome is (HELD if level == 0.05 else INCONCLUSIVE)


def test_the_dependence_of_slow_requests_counts_whatever_their_quantiles_do() -> None:
    """All of the slow ones come in one tenth; half, a quarter and a tenth of all are spread evenly."""
    values = [10.0 if 400 <= i < 410 else 0.1 + 0.001 * (i * 37 % 100) for i in range(1_000)]
    latencies = Latencies.of(values)

    found = shares.judge_latencies(latencies, 5.0, allowed=0.05, alpha_violated=0.001)

    assert latency_design_effect(latencies) < 2
    assert found.design_effect == latency_design_effect(latencies, bound=5.0) > 10


@pytest.mark.parametrize(("requests", "outcome"), [(50, HELD), (49, INCONCLUSIVE)])
def test_50_effective_requests_are_enough_for_latencies(requests: int, outcome: Outcome) -> None:
    found = shares.judge_latencies(Latencies.of([0.01] * requests), 1.0, allowed=0.1, alpha_violated=0.001)

    assert found.outcome is outcome


@pytest.mark.parametrize("burst", [0.99, math.inf, math.nan])
def test_a_burst_that_is_none(burst: float) -> None:
    with pytest.raises(InvalidValue, match="at least 1"):
        shares.check_burst(burst)


def test_a_single_request_plans_by_its_own_share() -> None:
    """One of one is bad: as many again would violate, if all of them were."""
    found = shares.decide(1, 1, allowed=0.5, alpha_violated=0.01)

    assert found.needed == 7  # 0.5 ** 7 < 0.01


@pytest.mark.parametrize("design_effect", [1.0, 3.0])
def test_what_would_violate_counts_effective_requests(design_effect: float) -> None:
    found = shares.decide(4, 100, allowed=0.01, alpha_violated=1e-4, design_effect=design_effect)

    needed = found.needed
    assert needed
    n = needed / design_effect
    assert special_tail(0.04 * n, n, 0.01) <= 1e-4 < special_tail(0.04 * (n - 1 / design_effect), n - 1 / design_effect, 0.01)


def test_no_number_shows_what_lies_at_the_limit() -> None:
    assert shares.decide(1, 100, allowed=0.01, alpha_violated=1e-4).needed is None
    assert shares.decide(0, 10, allowed=0.01, alpha_violated=1e-4).needed == 299


def test_as_many_again_as_there_were_are_never_enough_by_themselves() -> None:
    """What is missing speaks against it: only more requests than were scheduled can decide."""
    found = shares.decide(0, 290, allowed=0.01, alpha_violated=1e-4, missing=1)

    assert found.needed
    assert found.needed > 291


def special_tail(k: float, n: float, share: float) -> float:
    return float(stats.beta.cdf(share, k, n - k + 1))
