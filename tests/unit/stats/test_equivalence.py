from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from chaos.errors import InvalidValue
from chaos.model.outcome import Outcome
from chaos.stats.arms import Arm
from chaos.stats.dependence import latency_design_effect, share_design_effect
from chaos.stats.equivalence import Margins, compare, planned_requests
from chaos.stats.mover import wilson
from chaos.stats.quantiles import Latencies

HELD, VIOLATED, INCONCLUSIVE = Outcome.HELD, Outcome.VIOLATED, Outcome.INCONCLUSIVE


def arm(seed: int, *, n: int = 2_400, bad: float = 0.0, factor: float = 1.0, offset: float = 0.0, never: float = 0.0) -> Arm:
    """Latencies around 135 ms (lognormal, sigma 0.5), or around those times `factor`, plus `offset` seconds."""
    draw = random.Random(seed)
    bits = bytes(draw.random() < bad for _ in range(n))
    latencies = [offset + factor * draw.lognormvariate(-2, 0.5) for _ in range(n)]
    return Arm.of(bits, Latencies.of(math.inf if draw.random() < never else latency for latency in latencies))


# Arms


def test_an_arm_knows_its_counts_and_design_effects() -> None:
    bad = bytes(50) + b"\1" * 10 + bytes(940)
    latencies = Latencies.of(range(900))

    found = Arm.of(bad, latencies, burst=2)

    assert (found.bad, found.requests, found.share) == (10, 1_000, 0.01)
    assert found.share_design_effect == share_design_effect(bad, burst=2) > 1
    assert found.latency_design_effect == latency_design_effect(latencies) > 1
    assert found.effective_requests == min(1_000 / found.share_design_effect, 900 / found.latency_design_effect)


def test_declared_bursts_count_where_none_were_seen() -> None:
    assert (
        Arm.of(bytes(100), Latencies.of([0.1] * 100), burst=5).share_design_effect == share_design_effect(bytes(100), burst=5) > 9
    )


def test_estimates_use_the_effective_number_of_requests() -> None:
    found = arm(1, bad=0.02)
    effective = found.requests / found.share_design_effect

    share, median = found.estimate_share(0.01), found.estimate_quantile(0.5)(0.01)

    assert (share.lower, share.upper) == wilson(found.share, effective, 0.01)
    assert median == found.latencies.estimate(0.5, 2_400 / found.latency_design_effect, 0.01)


# Comparisons


@pytest.mark.parametrize(
    ("b", "outcome"),
    [
        (arm(2), HELD),
        (arm(2, factor=0.5), HELD),
        (arm(2, factor=2.0), VIOLATED),
        (arm(2, bad=0.05), VIOLATED),
        (arm(2, never=0.1), VIOLATED),
        (arm(2, factor=1.25), INCONCLUSIVE),
        (arm(2, bad=0.01), INCONCLUSIVE),
        (arm(2, n=40), INCONCLUSIVE),
        (Arm.of(b"", Latencies.of([])), INCONCLUSIVE),
        (Arm.of(bytes(2_400), Latencies.of([])), INCONCLUSIVE),
    ],
    ids=["alike", "faster", "slower", "failing", "hanging", "on the margin", "failing a bit", "short", "empty", "no latencies"],
)
def test_worse_by_default(b: Arm, outcome: Outcome) -> None:
    assert compare(b, arm(1), alpha_violated=0.01).outcome is outcome


@pytest.mark.parametrize(
    ("b", "outcome"),
    [(arm(2), HELD), (arm(2, factor=0.5), VIOLATED), (arm(2, factor=2.0), VIOLATED)],
    ids=["alike", "faster", "slower"],
)
def test_both_directions(b: Arm, outcome: Outcome) -> None:
    assert compare(b, arm(1), alpha_violated=0.01, both_directions=True).outcome is outcome


def test_better_in_one_component_does_not_make_up_for_worse_in_another() -> None:
    assert compare(arm(2, factor=0.5, bad=0.05), arm(1), alpha_violated=0.01).outcome is VIOLATED


def test_components_and_their_levels() -> None:
    a, b = arm(1, bad=0.01), arm(2, bad=0.012, factor=1.1)

    found = compare(b, a, alpha_violated=0.03)

    share, p50, p95 = found.components
    assert [(c.name, c.unit, c.margin) for c in found.components] == [
        ("success share", "share", 0.01),
        ("p50", "log ratio", math.log(1.25)),
        ("p95", "log ratio", math.log(1.25)),
    ]
    assert share.value == pytest.approx(b.share - a.share)
    assert p50.value == pytest.approx(math.log(b.latencies.quantile(0.5) / a.latencies.quantile(0.5)))
    assert p95.value == pytest.approx(math.log(b.latencies.quantile(0.95) / a.latencies.quantile(0.95)))
    low_b, high_b = b.estimate_share(0.05).lower, b.estimate_share(0.05).upper
    low_a, high_a = a.estimate_share(0.05).lower, a.estimate_share(0.05).upper
    assert share.at_held.upper == pytest.approx(share.value + math.hypot(high_b - b.share, a.share - low_a))
    assert share.at_held.lower == pytest.approx(share.value - math.hypot(b.share - low_b, high_a - a.share))
    strict = (b.estimate_quantile(0.95)(0.01), a.estimate_quantile(0.95)(0.01))
    down = math.hypot(math.log(strict[0].value / strict[0].lower), math.log(strict[1].upper / strict[1].value))
    assert p95.at_violated.lower == pytest.approx(p95.value - down)


def test_both_directions_share_the_level() -> None:
    one, both = (compare(arm(2), arm(1), alpha_violated=0.05, both_directions=two) for two in (False, True))
    half = compare(arm(2), arm(1), alpha_violated=0.025)

    assert both.components == half.components
    assert both.components[2].at_violated.lower < one.components[2].at_violated.lower
    assert both.components[2].at_held == one.components[2].at_held


def test_small_latencies_are_compared_by_their_difference() -> None:
    """Around 3 ms a factor of 1.5 is within 2.5 ms; the p95 of 9 ms and less counts likewise."""
    a, b, slow = arm(1, factor=0.02), arm(2, factor=0.03), arm(2, factor=0.02, offset=0.004)

    found = compare(b, a, alpha_violated=0.01)

    assert [(c.unit, c.margin) for c in found.components[1:]] == [("s", 0.0025), ("s", 0.0025)]
    assert found.components[1].value == pytest.approx(b.latencies.quantile(0.5) - a.latencies.quantile(0.5))
    assert found.components[1].not_worse
    assert compare(slow, a, alpha_violated=0.01).outcome is VIOLATED


def test_too_few_effective_requests_say_how_many_are_needed() -> None:
    drifting = Arm.of(bytes(400), Latencies.of(0.1 + i / 1_000 for i in range(400)))

    found = compare(drifting, arm(1), alpha_violated=0.01)

    assert found.outcome is INCONCLUSIVE
    assert found.needed == math.ceil(50 * drifting.latency_design_effect) > 400
    assert compare(drifting, Arm.of(b"", Latencies.of([])), alpha_violated=0.01).needed == found.needed
    assert compare(arm(2), arm(1), alpha_violated=0.01).needed is None


@pytest.mark.parametrize(("n", "needed"), [(49, 50), (50, None)])
def test_fifty_effective_requests_are_enough(n: int, needed: int | None) -> None:
    even = Arm.of(bytes(n), Latencies.of([0.1] * n))

    assert (even.share_design_effect, even.latency_design_effect) == (1.0, 1.0)
    assert compare(even, even, alpha_violated=0.01).needed == needed


@pytest.mark.parametrize(("quantile", "unit"), [(0.0099, "s"), (0.010, "log ratio")])
def test_small_is_below_ten_milliseconds(quantile: float, unit: str) -> None:
    a = Arm.of(bytes(400), Latencies.of([quantile] * 400))

    assert [component.unit for component in compare(arm(1), a, alpha_violated=0.01).components[1:]] == [unit, unit]


@pytest.mark.parametrize("seeds", [(1, 2), (3, 4), (5, 6)])
def test_a_comparison_is_never_both(seeds: tuple[int, int]) -> None:
    a, b = arm(seeds[0]), arm(seeds[1], factor=1.6)
    found = compare(b, a, alpha_violated=0.05)

    assert all(not (component.not_worse and component.worse) for component in found.components)


def test_own_margins() -> None:
    wide = Margins(share=0.2, ratio=3.0)

    assert compare(arm(2, factor=2.0, bad=0.05), arm(1), alpha_violated=0.01, margins=wide).outcome is HELD


@pytest.mark.parametrize(
    "margins", [{"share": 0.0}, {"share": 1.0}, {"ratio": 1.0}, {"ratio": math.inf}, {"small": -1}, {"difference": 0}], ids=str
)
def test_margins_that_cannot_be(margins: dict[str, float]) -> None:
    with pytest.raises(InvalidValue, match="the share lies between"):
        Margins(**margins)


# Planning


def test_planned_requests_are_called_not_different() -> None:
    n = planned_requests(arm(1))

    assert n is not None
    assert 500 < n < 1_500
    held = [compare(arm(seed, n=n), arm(seed + 100, n=n), alpha_violated=0.01).outcome is HELD for seed in range(10, 30)]
    assert sum(held) >= 18


def test_more_is_planned_for_failures_dependence_and_narrow_margins() -> None:
    plain = planned_requests(arm(1))
    drifting = Arm.of(bytes(2_400), Latencies.of(sorted(arm(1).latencies.ordered)))

    assert plain is not None
    for reference, margins in ((arm(1, bad=0.02), None), (drifting, None), (arm(1), Margins(ratio=1.1))):
        more = planned_requests(reference, margins=margins)
        assert more is not None
        assert more > 1.5 * plain


@pytest.mark.parametrize("reference", [Arm.of(b"", Latencies.of([])), arm(1, never=0.1)], ids=["empty", "hanging"])
def test_what_no_number_of_requests_decides(reference: Arm) -> None:
    assert planned_requests(reference) is None


def test_a_decision_says_at_which_levels() -> None:
    found = compare(arm(1), arm(2), alpha_violated=0.01, alpha_held=0.04, both_directions=True)

    assert (found.alpha_held, found.alpha_violated, found.both_directions) == (0.04, 0.01, True)


def test_without_requests_there_are_no_components() -> None:
    assert compare(Arm.of(b"", Latencies.of([])), arm(2), alpha_violated=0.01).components == ()


def test_too_few_effective_requests_decide_nothing_however_far_they_differ() -> None:
    found = compare(arm(1, n=40, factor=50.0), arm(2), alpha_violated=0.01)

    assert found.components[1].worse
    assert found.outcome is INCONCLUSIVE
    assert found.needed


@pytest.mark.parametrize("reference", [Arm.of(b"", Latencies.of([0.1])), Arm.of(b"\0", Latencies.of([]))], ids=["bits", "times"])
def test_nothing_is_planned_where_something_is_missing(reference: Arm) -> None:
    assert planned_requests(reference) is None


def test_failures_that_hang_together_take_more_requests() -> None:
    """Of the share alone: 2 % bad, in rows of 20 and one by one."""
    wide = Margins(ratio=1000.0, difference=1000.0)
    rows, single = (bytes(i % 1_000 < 20 for i in range(5_000)), bytes(i % 50 == 0 for i in range(5_000)))
    times = Latencies.of([0.1 + 0.001 * (i * 7 % 10) for i in range(5_000)])
    of_rows, of_single = (planned_requests(Arm.of(bad, times), margins=wide) for bad in (rows, single))

    assert of_rows
    assert of_single
    assert of_rows > 5 * of_single


def test_a_share_estimated_without_dependence_is_not_believed_to_have_none() -> None:
    times = Latencies.of([0.1 + 0.001 * (i * 7 % 10) for i in range(5_000)])
    wide = Margins(ratio=1000.0, difference=1000.0)
    bad = Arm.of(bytes(i % 100 == 0 for i in range(5_000)), times)
    believed = replace(bad, bad=0)

    planned, less = (planned_requests(each, margins=wide) for each in (bad, believed))

    assert bad.share_design_effect == 1
    assert planned
    assert less
    assert planned > less
