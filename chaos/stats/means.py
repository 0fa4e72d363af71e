"""Is a mean within its bound? Attempts per user request, which storms make heavy-tailed and dependent.

Student's t over the means of ten consecutive blocks, widened by what one request could add: the range of what was seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from chaos.errors import InvalidValue
from chaos.model.outcome import Outcome
from chaos.stats.blocks import BLOCKS, consecutive
from chaos.stats.levels import ALPHA_HELD
from chaos.stats.special import t_quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanDecision:
    """What was decided on a mean. The bounds are infinite with fewer values than blocks."""

    outcome: Outcome
    mean: float
    maximum: float
    requests: int
    at_most: float
    lower: float
    """Lower bound at `alpha_violated`: violated if above `at_most`."""
    upper: float
    """Upper bound at `alpha_held`: held if not above `at_most`."""
    alpha_held: float
    alpha_violated: float


def judge_mean(values: Sequence[float], *, at_most: float, alpha_violated: float, alpha_held: float = ALPHA_HELD) -> MeanDecision:
    """One value per user request, by scheduled start. Raises InvalidValue without any."""
    if not values:
        raise InvalidValue("there is no mean of no requests")
    mean = fmean(values)
    lower, upper = mean - _margin(values, alpha_violated), mean + _margin(values, alpha_held)
    return MeanDecision(
        outcome=_outcome(lower, upper, at_most),
        mean=mean,
        maximum=max(values),
        requests=len(values),
        at_most=at_most,
        lower=lower,
        upper=upper,
        alpha_held=alpha_held,
        alpha_violated=alpha_violated,
    )


def _outcome(lower: float, upper: float, at_most: float) -> Outcome:
    if upper <= at_most:
        return Outcome.HELD
    return Outcome.VIOLATED if lower > at_most else Outcome.INCONCLUSIVE


def _margin(values: Sequence[float], alpha: float) -> float:
    means = [fmean(block) for block in consecutive(values)]
    if not means:
        return math.inf
    between_blocks = t_quantile(alpha, BLOCKS - 1) * stdev(means) / math.sqrt(BLOCKS)
    return between_blocks + (max(values) - min(values)) * math.log(1 / alpha) / len(values)
