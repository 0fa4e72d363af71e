from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from chaos.errors import InvalidValue
from chaos.stats.arms import Arm
from chaos.stats.canary import Advice, CanaryMargins, Cause, Cells, Difference, difference, judge_canary
from chaos.stats.mover import Estimate, contrast
from chaos.stats.quantiles import Latencies


def arm(seed: int, *, n: int = 2_400, bad: float = 0.0, offset: float = 0.0, sigma: float = 0.3) -> Arm:
    """Latencies around 50 ms (lognormal), plus `offset` seconds."""
    draw = random.Random(seed)
    bits = bytes(draw.random() < bad for _ in range(n))
    return Arm.of(bits, Latencies.of(offset + draw.lognormvariate(math.log(0.05), sigma) for _ in range(n)))


alike = Cells(candidate_fault=arm(1), candidate_steady=arm(2), stable_fault=arm(3), stable_steady=arm(4))


@pytest.mark.parametrize(
    ("cells", "advice", "cause"),
    [
        (alike, Advice.PROMOTE, None),
        (replace(alike, candidate_fault=arm(1, offset=0.1)), Advice.ROLL_BACK, Cause.FAULT),
        (replace(alike, candidate_fault=arm(1, bad=0.1)), Advice.ROLL_BACK, Cause.FAULT),
        (
            replace(alike, candidate_fault=arm(1, offset=0.1), candidate_steady=arm(2, offset=0.1)),
            Advice.ROLL_BACK,
            Cause.ALREADY_THERE,
        ),
        (
            replace(alike, candidate_fault=arm(1, offset=0.1), candidate_steady=arm(2, offset=0.088)),
            Advice.ROLL_BACK,
            Cause.UNKNOWN,
        ),
        (
            replace(alike, candidate_fault=arm(1, offset=0.1), stable_fault=arm(3, offset=0.1)),
            Advice.PROMOTE,
            None,
        ),
        (replace(alike, candidate_fault=arm(1, offset=-0.01)), Advice.PROMOTE, None),
        (replace(alike, candidate_fault=arm(1, offset=0.0125)), Advice.INCONCLUSIVE, None),
        (replace(alike, candidate_steady=arm(2, n=40)), Advice.INCONCLUSIVE, None),
        (replace(alike, stable_steady=Arm.of(b"", Latencies.of([]))), Advice.INCONCLUSIVE, None),
        (replace(alike, stable_fault=Arm.of(bytes(400), Latencies.of([]))), Advice.INCONCLUSIVE, None),
    ],
    ids=[
        "alike",
        "slower under the fault",
        "failing under the fault",
        "always slower",
        "slower, and perhaps more so under the fault",
        "both slower under the fault",
        "faster",
        "on the margin",
        "a short cell",
        "an empty cell",
        "a cell without latencies",
    ],
)
def test_advice_and_cause(cells: Cells, advice: Advice, cause: Cause | None) -> None:
    found = judge_canary(cells, alpha_violated=0.01)

    assert (found.advice, found.cause) == (advice, cause)


def test_contrasts_are_signed_so_that_positive_is_worse() -> None:
    cells = Cells(
        candidate_fault=arm(1, bad=0.05, offset=0.04),
        candidate_steady=arm(2, bad=0.01, offset=0.01),
        stable_fault=arm(3, bad=0.02, offset=0.02),
        stable_steady=arm(4),
    )
    cf, cs, sf, ss = cells.candidate_fault, cells.candidate_steady, cells.stable_fault, cells.stable_steady

    found = judge_canary(cells, alpha_violated=0.03)

    assert [c.name for c in found.direct] == [c.name for c in found.difference_in_differences] == ["bad share", "p50", "p95"]
    assert found.direct[0].value == pytest.approx(cf.share - sf.share)
    assert found.difference_in_differences[0].value == pytest.approx(cf.share - cs.share - sf.share + ss.share)
    p95 = [cell.latencies.quantile(0.95) for cell in (cf, cs, sf, ss)]
    assert found.direct[2].value == pytest.approx(p95[0] - p95[2])
    assert found.difference_in_differences[2].value == pytest.approx(p95[0] - p95[1] - p95[2] + p95[3])
    estimates = [cell.estimate_quantile(0.95)(0.01) for cell in (cf, cs, sf, ss)]
    down = math.hypot(
        estimates[0].value - estimates[0].lower,
        estimates[1].upper - estimates[1].value,
        estimates[2].upper - estimates[2].value,
        estimates[3].value - estimates[3].lower,
    )
    assert found.difference_in_differences[2].at_violated.lower == pytest.approx(found.difference_in_differences[2].value - down)


def test_latency_margin_is_a_quarter_of_stable_under_the_fault_but_at_least_5_ms() -> None:
    slow, fast = (arm(3, offset=offset, sigma=0.001) for offset in (0.15, -0.045))

    for stable, margin in ((slow, 0.05), (fast, 0.005)):
        found = judge_canary(replace(alike, stable_fault=stable), alpha_violated=0.01)
        assert [c.margin for c in found.direct[1:]] == pytest.approx([margin, margin], rel=0.01)
        assert [c.margin for c in found.difference_in_differences[1:]] == pytest.approx([margin, margin], rel=0.01)


def test_a_short_cell_says_how_many_requests_are_needed() -> None:
    short = arm(2, n=40)
    found = judge_canary(replace(alike, candidate_steady=short), alpha_violated=0.01)

    assert found.needed == math.ceil(50 * short.latency_design_effect)


@pytest.mark.parametrize(
    ("held", "violated", "expected"),
    [
        (Estimate(0, -1, 1), Estimate(0, -2, 2), Difference.NONE),
        (Estimate(3, 2, 4), Estimate(3, 1.1, 5), Difference.WORSE),
        (Estimate(3, 2, 4), Estimate(3, 1.0, 5), Difference.INCONCLUSIVE),
        (Estimate(-3, -4, -1.1), Estimate(-3, -5, 0), Difference.BETTER),
        (Estimate(-3, -4, -1.0), Estimate(-3, -5, 0), Difference.INCONCLUSIVE),
        (Estimate(0, -1, 1.1), Estimate(0, -2, 2), Difference.INCONCLUSIVE),
    ],
    ids=["within", "worse", "perhaps worse", "better", "perhaps better", "too wide"],
)
def test_what_one_contrast_shows(held: Estimate, violated: Estimate, expected: Difference) -> None:
    levels = {0.05: held, 0.01: violated}

    assert difference(contrast("p50", "s", [(1, levels.__getitem__)], margin=1.0, alpha_held=0.05, alpha_violated=0.01)) is expected


@pytest.mark.parametrize("margins", [{"share": 0.0}, {"part_of_stable": -0.1}, {"least": 0.0}], ids=str)
def test_margins_that_cannot_be(margins: dict[str, float]) -> None:
    with pytest.raises(InvalidValue, match="the share lies between"):
        CanaryMargins(**margins)


def test_a_decision_says_at_which_levels() -> None:
    found = judge_canary(alike, alpha_violated=0.01, alpha_held=0.04)

    assert (found.alpha_held, found.alpha_violated) == (0.04, 0.01)
    assert [contrast.unit for contrast in found.direct] == ["share", "s", "s"]
    assert [contrast.unit for contrast in found.difference_in_differences] == ["share", "s", "s"]


def test_a_cell_without_requests_has_no_contrasts() -> None:
    found = judge_canary(replace(alike, stable_steady=Arm.of(b"", Latencies.of([]))), alpha_violated=0.01)

    assert (found.direct, found.difference_in_differences) == ((), ())


@pytest.mark.parametrize("margins", [{"share": 0.0}, {"share": 1.0}, {"part_of_stable": -0.01}, {"least": 0.0}], ids=str)
def test_margins_that_are_none(margins: dict[str, float]) -> None:
    with pytest.raises(InvalidValue, match="the share lies between 0 and 1"):
        CanaryMargins(**margins)


def test_of_the_stable_version_nothing_may_be_allowed() -> None:
    assert CanaryMargins(part_of_stable=0.0).latency(10.0) == 0.005
