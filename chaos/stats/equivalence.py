"""Does B not differ from A? Equivalence within margins, which absence of significance is not.

All components must be shown to lie within their margins; one shown to lie beyond violates. A window that was cut short, or
stopped by looking, is not compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from chaos.errors import InvalidValue
from chaos.model.outcome import Outcome
from chaos.stats import special
from chaos.stats.arms import Arm, needed_for_comparison
from chaos.stats.levels import ALPHA_HELD
from chaos.stats.mover import Contrast, Estimate, Estimator, contrast, mover, wilson
from chaos.stats.shares import fewest

QUANTILES: Final = (("p50", 0.5), ("p95", 0.95))
COMPONENTS: Final = 1 + len(QUANTILES)
_POWER: Final = 0.9
_ESTIMATED_EFFECT: Final = 2.25
"""Design effect that ten blocks estimate, and inflate, for independent requests in a quarter of the windows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """What still counts as no difference. The defaults are a judgement."""

    share: float = 0.01
    """Drop of the success share: 1 percentage point."""
    ratio: float = 1.25
    """Latency of B over that of A."""
    small: float = 0.010
    """Seconds: if A's quantile is below this, differences are judged instead of ratios,"""
    difference: float = 0.0025
    """against this, in seconds (25 % of 10 ms)."""

    def __post_init__(self) -> None:
        if not (0 < self.share < 1 and 1 < self.ratio < math.inf and self.small >= 0 and self.difference > 0):
            raise InvalidValue(f"{self}: the share lies between 0 and 1, the ratio above 1, and the difference above 0 s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """What was decided on a difference, with the components it rests on."""

    outcome: Outcome
    components: tuple[Contrast, ...]
    """Drop of the success share, then p50, p95; positive is worse. Without requests: none."""
    both_directions: bool
    alpha_held: float
    alpha_violated: float
    """Of the whole comparison; each component (and direction) has its part of it."""
    needed: int | None
    """Too few effective requests in a window: about so many are needed in each."""


def compare(
    b: Arm,
    a: Arm,
    *,
    alpha_violated: float,
    alpha_held: float = ALPHA_HELD,
    margins: Margins | None = None,
    both_directions: bool = False,
) -> Equivalence:
    """B against the reference A: worse by default, `both_directions` also better."""
    margins = margins or Margins()
    needed = needed_for_comparison((a, b))
    components: tuple[Contrast, ...] = ()
    if all(arm.requests and len(arm.latencies) for arm in (a, b)):
        part = alpha_violated / (COMPONENTS * (2 if both_directions else 1))
        components = tuple(_components(b, a, margins, alpha_held, part))
    return Equivalence(
        outcome=_outcome(components, both_directions) if needed is None else Outcome.INCONCLUSIVE,
        components=components,
        both_directions=both_directions,
        alpha_held=alpha_held,
        alpha_violated=alpha_violated,
        needed=needed,
    )


def planned_requests(reference: Arm, *, margins: Margins | None = None, alpha_held: float = ALPHA_HELD) -> int | None:
    """Requests for each of two windows like `reference`, so that they are called not different nine times out of ten.

    None if no number is enough (the p95 is infinite, since too many requests have no response), or without requests.
    """
    margins = margins or Margins()
    if not reference.requests or not len(reference.latencies):
        return None
    # An estimate falls up to z(1 - power) standard errors on the wrong side, and its limit z(alpha) further.
    alpha = special.normal_tail(special.z(alpha_held) + special.z(1 - _POWER))
    share_effect = max(reference.share_design_effect, _ESTIMATED_EFFECT) if reference.bad else reference.share_design_effect
    latency_effect = max(reference.latency_design_effect, _ESTIMATED_EFFECT)

    def enough(requests: int) -> bool:
        share = Estimate(reference.share, *wilson(reference.share, requests / share_effect, alpha))
        if _sum_of_limits(share) > margins.share:
            return False
        for _, q in QUANTILES:
            values = (q, *wilson(q, requests / latency_effect, alpha))
            scale = _scale(reference, q, margins)
            latency = scale.of(Estimate(*(reference.latencies.quantile(value) for value in values)))
            if _sum_of_limits(latency) > scale.margin:
                return False
        return True

    return fewest(enough)


def _sum_of_limits(estimate: Estimate) -> float:
    """The upper limit of the difference of two such estimates."""
    return mover([(1, estimate), (-1, estimate)]).upper


@dataclass(frozen=True, slots=True)
class _Scale:
    """How a latency is compared: as it is, or its logarithm."""

    unit: str
    margin: float
    of: Callable[[Estimate], Estimate]


def _scale(reference: Arm, q: float, margins: Margins) -> _Scale:
    if reference.latencies.quantile(q) < margins.small:
        return _Scale("s", margins.difference, lambda estimate: estimate)
    return _Scale("log ratio", math.log(margins.ratio), Estimate.log)


def _components(b: Arm, a: Arm, margins: Margins, alpha_held: float, alpha_violated: float) -> Iterator[Contrast]:
    levels = {"alpha_held": alpha_held, "alpha_violated": alpha_violated}
    shares = [(1, b.estimate_share), (-1, a.estimate_share)]
    yield contrast("success share", "share", shares, margin=margins.share, **levels)
    for name, q in QUANTILES:
        scale = _scale(a, q, margins)
        latencies = [(sign, _scaled(arm.estimate_quantile(q), scale)) for sign, arm in ((1, b), (-1, a))]
        yield contrast(name, scale.unit, latencies, margin=scale.margin, **levels)


def _scaled(estimator: Estimator, scale: _Scale) -> Estimator:
    return lambda alpha: scale.of(estimator(alpha))


def _outcome(components: Sequence[Contrast], both_directions: bool) -> Outcome:
    if any(component.worse or (both_directions and component.better) for component in components):
        return Outcome.VIOLATED
    if components and all(component.not_worse and (component.not_better or not both_directions) for component in components):
        return Outcome.HELD
    return Outcome.INCONCLUSIVE
