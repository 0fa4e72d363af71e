"""How far apart are two windows, or four? Limits of a signed sum, from the limits of its parts (MOVER).

The method of variance estimates recovery asks only for an estimate and its limits, so the same arithmetic serves shares and
quantiles, differences (`equivalence`) and differences in differences (`canary`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chaos.stats.special import z


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its lower and upper limit. Values and limits may be infinite."""

    value: float
    lower: float
    upper: float

    def log(self) -> Estimate:
        """The same on the logarithmic scale, where ratios are differences."""
        return Estimate(_log(self.value), _log(self.lower), _log(self.upper))


Estimator = Callable[[float], Estimate]
"""What is estimated, with limits at the given one-sided level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """A signed sum of estimates (positive is worse) against a margin."""

    name: str
    unit: str
    """Of margin and values: "share" (0 to 1), "log ratio", or "s"."""
    parts: tuple[float, ...]
    """The estimates summed, in the order of the terms: shares, or quantiles in seconds."""
    margin: float
    at_held: Estimate
    """With the limits that a "held" rests on."""
    at_violated: Estimate
    """With the wider limits that a "violated" rests on."""

    @property
    def value(self) -> float:
        return self.at_held.value

    @property
    def not_worse(self) -> bool:
        return self.at_held.upper <= self.margin

    @property
    def not_better(self) -> bool:
        return self.at_held.lower >= -self.margin

    @property
    def worse(self) -> bool:
        return self.at_violated.lower > self.margin

    @property
    def better(self) -> bool:
        return self.at_violated.upper < -self.margin


def wilson(p: float, n: float, alpha: float) -> tuple[float, float]:
    """Wilson's limits for a share p of n requests, each one-sided at `alpha`. Not for decisions on shares (`shares`)."""
    quantile = z(alpha)
    square = quantile * quantile
    centre = (p + square / (2 * n)) / (1 + square / n)
    half = quantile / (1 + square / n) * math.sqrt(p * (1 - p) / n + square / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def mover(terms: Sequence[tuple[int, Estimate]]) -> Estimate:
    """Limits of sum(sign x value). Where the sum is undefined, or a part has no limit on that side, it has none either."""
    value = sum(sign * part.value for sign, part in terms)
    down = math.hypot(*(_distance(part.value, part.lower if sign > 0 else part.upper) for sign, part in terms))
    up = math.hypot(*(_distance(part.value, part.upper if sign > 0 else part.lower) for sign, part in terms))
    lower, upper = value - down, value + up
    return Estimate(
        value,
        -math.inf if math.isnan(lower) else lower,
        math.inf if math.isnan(upper) else upper,
    )


def contrast(
    name: str,
    unit: str,
    terms: Sequence[tuple[int, Estimator]],
    *,
    margin: float,
    alpha_held: float,
    alpha_violated: float,
) -> Contrast:
    """sum(sign x estimate) against `margin`, with its limits at both levels."""
    at_held = [(sign, estimate(alpha_held)) for sign, estimate in terms]
    at_violated = [(sign, estimate(alpha_violated)) for sign, estimate in terms]
    return Contrast(
        name=name,
        unit=unit,
        parts=tuple(estimate.value for _, estimate in at_held),
        margin=margin,
        at_held=mover(at_held),
        at_violated=mover(at_violated),
    )


def _distance(value: float, limit: float) -> float:
    return 0.0 if value == limit else abs(value - limit)  # inf and inf are no distance apart


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
