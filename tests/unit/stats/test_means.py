from __future__ import annotations

import math
import random

import pytest
from scipy import stats

from chaos.errors import InvalidValue
from chaos.model.outcome import Outcome
from chaos.stats.means import judge_mean

draw = random.Random(1)
attempts = [1 + (draw.random() < 0.3) + (draw.random() < 0.1) for _ in range(1_003)]
mean = sum(attempts) / len(attempts)


def margin(alpha: float) -> float:
    blocks = [sum(attempts[100 * block : 100 * (block + 1)]) / 100 for block in range(10)]
    return float(stats.t.isf(alpha, 9) * stats.sem(blocks)) + 2 * math.log(1 / alpha) / len(attempts)


def test_bounds() -> None:
    found = judge_mean(attempts, at_most=2, alpha_violated=0.001)

    assert (found.mean, found.maximum, found.requests) == (pytest.approx(mean), 3, 1_003)
    assert (found.at_most, found.alpha_held, found.alpha_violated) == (2, 0.05, 0.001)
    assert found.upper == pytest.approx(mean + margin(0.05))
    assert found.lower == pytest.approx(mean - margin(0.001))


@pytest.mark.parametrize(
    ("at_most", "outcome"),
    [
        (mean + margin(0.05) + 1e-9, Outcome.HELD),
        (mean + margin(0.05) - 1e-9, Outcome.INCONCLUSIVE),
        (mean - margin(0.001) + 1e-9, Outcome.INCONCLUSIVE),
        (mean - margin(0.001) - 1e-9, Outcome.VIOLATED),
    ],
    ids=["upper bound within", "upper bound above", "lower bound within", "lower bound above"],
)
def test_decisions_at_the_bounds(at_most: float, outcome: Outcome) -> None:
    assert judge_mean(attempts, at_most=at_most, alpha_violated=0.001).outcome is outcome


def test_requests_that_are_all_alike_have_a_sure_mean() -> None:
    found = judge_mean([2] * 50, at_most=2, alpha_violated=0.001)

    assert (found.lower, found.upper, found.outcome) == (2, 2, Outcome.HELD)


def test_fewer_requests_than_blocks_decide_nothing() -> None:
    found = judge_mean([5] * 9, at_most=2, alpha_violated=0.001)

    assert (found.lower, found.upper, found.outcome) == (-math.inf, math.inf, Outcome.INCONCLUSIVE)


def test_no_requests_have_no_mean() -> None:
    with pytest.raises(InvalidValue, match="no requests"):
        judge_mean([], at_most=2, alpha_violated=0.001)


def test_a_mean_at_its_limit_is_not_violated() -> None:
    """Of nothing at all both bounds are the mean."""
    found = judge_mean([0.0] * 100, at_most=0.0, alpha_violated=0.001)

    assert (found.lower, found.upper, found.outcome) == (0.0, 0.0, Outcome.HELD)
