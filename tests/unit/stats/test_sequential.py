from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import logsumexp

from chaos.errors import InvalidValue
from chaos.model.outcome import Outcome
from chaos.stats.dependence import latency_design_effect, running_share_design_effect
from chaos.stats.quantiles import Latencies
from chaos.stats.sequential import (
    LATENCY_LOOKS,
    SHARE_LOOKS,
    LatencyWatch,
    Look,
    ShareWatch,
    high_grid,
    log_e,
    low_grid,
    planned_looks,
)

repeatable = settings(deadline=None, derandomize=True, max_examples=50)
HELD, VIOLATED, INCONCLUSIVE = Outcome.HELD, Outcome.VIOLATED, Outcome.INCONCLUSIVE


def independent(size: int, share: float, seed: int) -> bytes:
    draw = random.Random(seed)
    return bytes(draw.random() < share for _ in range(size))


def shares_of(grid: object) -> list[tuple[float, float]]:
    return [(weight, odds / (1 + odds)) for weight, odds in grid]  # type: ignore[attr-defined]


# Bets


def test_grid_below_the_allowed_share() -> None:
    odds = 0.01 / 0.99

    assert [weight for weight, _ in low_grid(0.01)] == [0.4, 0.15, 0.15, 0.15, 0.15]
    assert [alternative for _, alternative in low_grid(0.01)] == pytest.approx(
        [0, odds / 8, odds / 4, odds / 2, odds / math.sqrt(2)]
    )


@pytest.mark.parametrize(("allowed", "size"), [(0.01, 11), (0.05, 9), (0.5, 5), (0.9, 1)])
def test_grid_above_the_allowed_share_ends_with_the_first_odds_of_nine(allowed: float, size: int) -> None:
    odds = [alternative for _, alternative in high_grid(allowed)]
    given_odds = allowed / (1 - allowed)

    assert odds == pytest.approx([given_odds * math.sqrt(2), *(given_odds * 2**power for power in range(1, size))])
    assert odds[-1] >= 9
    assert all(alternative < 9 for alternative in odds[:-1])
    assert [weight for weight, _ in high_grid(allowed)] == [1 / size] * size


@repeatable
@given(st.integers(0, 500), st.integers(0, 5_000), st.sampled_from([0.001, 0.01, 0.05, 0.4]), st.booleans())
def test_bets_are_mixtures_of_likelihood_ratios(bad: int, good: int, allowed: float, low: bool) -> None:
    grid = low_grid(allowed) if low else high_grid(allowed)
    n = bad + good

    expected = logsumexp(
        [stats.binom.logpmf(bad, n, share) - stats.binom.logpmf(bad, n, allowed) for _, share in shares_of(grid)],
        b=[weight for weight, _ in shares_of(grid)],
    )

    assert log_e(grid, bad, n, allowed) == pytest.approx(float(expected), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("allowed", [0.01, 0.05, 0.4])
@pytest.mark.parametrize("grid_of", [low_grid, high_grid], ids=["low", "high"])
def test_a_bet_has_the_mean_one_at_the_boundary(grid_of, allowed: float) -> None:  # type: ignore[no-untyped-def]
    n = 60
    mean = sum(stats.binom.pmf(k, n, allowed) * math.exp(log_e(grid_of(allowed), k, n, allowed)) for k in range(n + 1))

    assert mean == pytest.approx(1)


# Looks


def test_looks_at_shares_and_latencies() -> None:
    looks = [SHARE_LOOKS.first]
    while looks[-1] < 367:
        looks.append(SHARE_LOOKS.after(looks[-1]))

    assert looks == [50, 56, 62, 69, 76, 84, 93, 103, 114, 126, 139, 153, 169, 186, 205, 226, 249, 274, 302, 333, 367]
    assert [LATENCY_LOOKS.first, LATENCY_LOOKS.after(500), LATENCY_LOOKS.after(626)] == [500, 626, 783]


@pytest.mark.parametrize(("allowed", "requests"), [(0.01, 367), (0.05, 69)])
def test_no_failure_is_decided_at_the_first_look_that_can(allowed: float, requests: int) -> None:
    look = ShareWatch(allowed, alpha_violated=0.05).advance(bytes(10_000))

    assert (look.outcome, look.requests, look.bad) == (HELD, requests, 0)
    assert look.log_e_held >= math.log(20)


@pytest.mark.parametrize(
    ("share", "outcome", "lowest", "highest"), [(0.002, HELD, 367, 800), (0.02, VIOLATED, 1_000, 1_700), (0.1, VIOLATED, 50, 62)]
)
def test_median_stops_of_a_claim_of_99_percent(share: float, outcome: Outcome, lowest: int, highest: int) -> None:
    looks = [ShareWatch(0.01, alpha_violated=0.05).close(independent(8_000, share, seed)) for seed in range(31)]

    assert lowest <= sorted(look.requests for look in looks)[15] <= highest
    assert [look.outcome for look in looks].count(outcome) >= 29


def test_at_the_boundary_itself_nothing_is_decided() -> None:
    looks = [ShareWatch(0.05, alpha_violated=0.05).close(independent(4_000, 0.05, seed)) for seed in range(20)]

    assert [look.outcome for look in looks].count(INCONCLUSIVE) >= 17


def test_the_first_look_that_decides_is_final() -> None:
    watch = ShareWatch(0.01, alpha_violated=0.05)
    held = watch.advance(bytes(400))

    assert held.decided
    assert watch.advance(bytes(400) + b"\1" * 400) == watch.close(bytes(400) + b"\1" * 400) == watch.last == held


@repeatable
@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.01, 0.05]), st.lists(st.integers(0, 700), max_size=8))
def test_what_arrives_in_pieces_is_judged_like_what_arrives_at_once(seed: int, share: float, pieces: list[int]) -> None:
    bad = independent(700, share, seed)
    watch = ShareWatch(0.02, alpha_violated=0.05)
    for piece in sorted(pieces):
        watch.advance(bad[:piece])

    assert watch.close(bad) == ShareWatch(0.02, alpha_violated=0.05).close(bad)


def test_nothing_is_judged_before_the_first_look() -> None:
    assert ShareWatch(0.5, alpha_violated=0.05).close(b"\1" * 49) == Look(
        outcome=INCONCLUSIVE,
        bad=0,
        requests=0,
        missing=0,
        allowed=0.5,
        design_effect=1.0,
        log_e_held=pytest.approx(0.0, abs=1e-12),  # type: ignore[arg-type]
        log_e_violated=pytest.approx(0.0, abs=1e-12),  # type: ignore[arg-type]
        alpha_held=0.05,
        alpha_violated=0.05,
    )


def test_a_window_that_ends_between_two_looks_is_looked_at_once_more() -> None:
    watch = ShareWatch(0.01, alpha_violated=0.05)

    assert watch.advance(bytes(366)).requests == 333
    assert (watch.close(bytes(366)).requests, watch.last.outcome) == (366, HELD)


def test_a_stricter_level_takes_longer() -> None:
    bad = independent(5_000, 0.03, 1)
    stops = [ShareWatch(0.01, alpha_violated=alpha).close(bad).requests for alpha in (0.05, 1e-4, 1e-8)]

    assert stops == sorted(set(stops))


def test_unsent_requests_count_against_either_verdict() -> None:
    unsent = bytes(i % 100 == 99 for i in range(2_000))

    assert ShareWatch(0.05, alpha_violated=0.05).close(bytes(2_000), unsent).outcome is HELD
    look = ShareWatch(0.01, alpha_violated=0.05).close(bytes(2_000), unsent)
    assert (look.outcome, look.bad, look.requests, look.missing) == (INCONCLUSIVE, 0, 1_980, 20)
    assert look.log_e_held == pytest.approx(log_e(low_grid(0.01), 20, 2_000, 0.01))
    assert look.log_e_violated == pytest.approx(log_e(high_grid(0.01), 0, 2_000, 0.01))


def test_declared_bursts_divide_the_evidence() -> None:
    look = ShareWatch(0.01, alpha_violated=0.05, burst=2).advance(bytes(10_000))

    assert (look.design_effect, look.requests) == (3.0, 1_059)
    assert log_e(low_grid(0.01), 0, 963 / 3, 0.01) < math.log(20) <= look.log_e_held
    assert look.log_e_held == pytest.approx(log_e(low_grid(0.01), 0, 1_059 / 3, 0.01))


def test_an_outage_counts_as_few_requests() -> None:
    bad = bytes(20) + b"\1" * 6 + bytes(24)
    variance = (5**2 + 1 + 8 * 0 - 10 * 0.6**2) / 9  # 5 and 1 bad in blocks of 5

    look = ShareWatch(0.05, alpha_violated=0.05).advance(bad)

    assert look.design_effect == pytest.approx(1.5 * variance / (5 * 0.12 * 0.88))
    assert look.log_e_violated == pytest.approx(log_e(high_grid(0.05), 6 / look.design_effect, 50 / look.design_effect, 0.05))


@pytest.mark.parametrize(
    ("bad", "outcome", "requests"),
    [
        (bytes(1_000), HELD, 302),
        (bytes(298), INCONCLUSIVE, 298),
        (bytes(299), HELD, 299),
        (bytes(54) + b"\1" + bytes(50), VIOLATED, 56),
    ],
    ids=["at a look", "too few", "at the end", "one bad"],
)
def test_a_claim_of_all_uses_the_fixed_rule_at_each_look(bad: bytes, outcome: Outcome, requests: int) -> None:
    look = ShareWatch(0.0, alpha_violated=0.001).close(bad)

    assert (look.outcome, look.requests) == (outcome, requests)


# Latencies


def exponential(size: int, seed: int) -> list[float]:
    draw = random.Random(seed)
    return [draw.expovariate(1) for _ in range(size)]


@pytest.mark.parametrize(("bound", "outcome"), [(6.0, HELD), (1.0, VIOLATED), (-math.log(0.05), INCONCLUSIVE)])
def test_latencies_against_a_p95(bound: float, outcome: Outcome) -> None:
    values = exponential(3_000, 1)

    look = LatencyWatch(bound, allowed=0.05, alpha_violated=0.05).close(values)

    assert look.outcome is outcome
    assert look.bad == sum(value > bound for value in values[: look.requests])
    assert look.requests == (3_000 if outcome is INCONCLUSIVE else 500)


def test_the_design_effect_of_latencies_never_falls() -> None:
    drifting = [i / 500 for i in range(500)]
    watch = LatencyWatch(2.0, allowed=0.05, alpha_violated=0.05)
    first = watch.advance(drifting)

    assert first.outcome is INCONCLUSIVE
    assert first.requests / first.design_effect < 50
    assert watch.advance(drifting + exponential(126, 1)).design_effect >= first.design_effect


def test_few_effective_latencies_decide_nothing() -> None:
    slow_then_fast = [9.0] * 250 + [1.0] * 250
    look = LatencyWatch(0.5, allowed=0.05, alpha_violated=0.05).close(slow_then_fast)

    assert look.log_e_violated > math.log(20)
    assert look.outcome is INCONCLUSIVE


def test_unsent_latencies_are_infinite_and_missing() -> None:
    values = [0.1] * 980 + [math.inf] * 20
    draw = random.Random(3)
    draw.shuffle(values)
    unsent = bytes(math.isinf(value) for value in values)

    look = LatencyWatch(1.0, allowed=0.02, alpha_violated=0.05).close(values, unsent)

    assert (look.bad, look.requests, look.missing, look.outcome) == (0, 980, 20, INCONCLUSIVE)


def test_share_of_a_look() -> None:
    assert ShareWatch(0.25, alpha_violated=0.05).close(b"\0\0\0\1" * 20).share == 0.25
    assert math.isnan(ShareWatch(0.5, alpha_violated=0.05).last.share)


@pytest.mark.parametrize(
    ("extra", "message"), [({"allowed": 1.0}, "lies between"), ({"allowed": 0.5, "burst": 0.0}, "burst is 0")], ids=str
)
def test_what_cannot_be_is_refused(extra: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        ShareWatch(alpha_violated=0.05, **extra)  # type: ignore[arg-type]


# Planning


@pytest.mark.parametrize(("allowed", "requests"), [(0.05, 69), (0.01, 367), (0.001, 3_669), (0.0, 302)])
def test_the_look_that_decides_if_nothing_is_bad(allowed: float, requests: int) -> None:
    planned = planned_looks(allowed, SHARE_LOOKS)

    assert planned == requests
    assert ShareWatch(allowed, alpha_violated=0.01).advance(bytes(planned)).outcome is HELD
    assert ShareWatch(allowed, alpha_violated=0.01).advance(bytes(planned - 1)).outcome is INCONCLUSIVE


@pytest.mark.parametrize(
    "more",
    [{"expected": 0.002}, {"design_effect": 2.0}, {"expected": 0.002, "design_effect": 2.0}, {"alpha_held": 0.01}],
    ids=str,
)
def test_with_failures_dependence_or_less_risk_it_is_the_first_look_whose_bet_pays(more: dict[str, float]) -> None:
    def pays(requests: int) -> bool:
        n = requests / more.get("design_effect", 1.0)
        return log_e(low_grid(0.01), more.get("expected", 0.0) * n, n, 0.01) >= math.log(1 / more.get("alpha_held", 0.05))

    planned = planned_looks(0.01, SHARE_LOOKS, **more)
    looks = [SHARE_LOOKS.first]
    while looks[-1] < planned:
        looks.append(SHARE_LOOKS.after(looks[-1]))

    assert planned > 367
    assert [pays(look) for look in looks] == [False] * (len(looks) - 1) + [True]


def test_what_is_no_better_than_allowed_is_never_decided() -> None:
    with pytest.raises(InvalidValue, match="no load can show"):
        planned_looks(0.01, SHARE_LOOKS, expected=0.01)


@pytest.mark.parametrize(("requests", "due"), [(0, 50), (49, 50), (50, 56), (56, 62), (60, 62)])
def test_the_look_that_is_due_next(requests: int, due: int) -> None:
    assert SHARE_LOOKS.first_after(requests) == due


# Where nothing is held, or all of it has to


@pytest.mark.parametrize(("bad", "outcome"), [(b"\0", INCONCLUSIVE), (b"\1", VIOLATED)])
def test_a_guard_is_never_held(bad: bytes, outcome: Outcome) -> None:
    watch = ShareWatch(0.01, alpha_violated=0.01, alpha_held=0)

    assert watch.advance(bad * 5_000).outcome is outcome


@pytest.mark.parametrize(("unsent", "outcome"), [(0, HELD), (1, INCONCLUSIVE)])
def test_a_claim_of_all_bets_on_nothing_and_needs_all_of_them(unsent: int, outcome: Outcome) -> None:
    look = ShareWatch(0.0, alpha_violated=0.01).advance(bytes(400), b"\1" * unsent + bytes(400 - unsent))

    assert look.outcome is outcome
    assert (look.log_e_held, look.log_e_violated) == (-math.inf, -math.inf)


def test_requests_that_were_not_sent_hang_together_too() -> None:
    unsent = bytes(i in range(20, 40) for i in range(200))
    look = ShareWatch(0.1, alpha_violated=0.01).close(bytes(200), unsent)

    assert look.design_effect == running_share_design_effect(unsent) > 10


def test_the_dependence_of_slow_requests_counts_whatever_their_quantiles_do() -> None:
    values = [10.0 if 400 <= i < 410 else 0.1 + 0.001 * (i * 37 % 100) for i in range(500)]

    look = LatencyWatch(5.0, allowed=0.05, alpha_violated=0.01).advance(values)

    assert look.design_effect == latency_design_effect(Latencies.of(values), bound=5.0) > 10
    assert latency_design_effect(Latencies.of(values)) < 5


def test_latencies_without_dependence_count_in_full() -> None:
    values = [0.1 + 0.001 * (i * 37 % 100) for i in range(500)]

    assert LatencyWatch(5.0, allowed=0.05, alpha_violated=0.01).advance(values).design_effect == 1
