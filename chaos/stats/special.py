"""What is the probability? Beta, binomial, Student and normal distributions, by the standard library alone.

The tails are computed directly, never as 1 - (the other tail), so that they keep their relative precision where verdicts
are made (levels of 1e-8 occur). Counts may be fractions: dependent requests are judged as k/D of n/D.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Final

_STANDARD: Final = NormalDist()
_TINY: Final = 1e-300
_PRECISION: Final = 1e-15
_MOST_TERMS: Final = 1_000_000  # convergence takes some sqrt(max(a, b)) terms: 3,000 for ten million requests
_HALVINGS: Final = 60


def z(alpha: float) -> float:
    """The standard normal value exceeded with probability `alpha`."""
    return -_STANDARD.inv_cdf(alpha)  # not inv_cdf(1 - alpha), which rounds small levels away


def normal_tail(value: float) -> float:
    """The probability with which the standard normal exceeds `value`."""
    return _STANDARD.cdf(-value)


def beta(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function I(x; a, b), with its limits for a = 0 (1.0) and b = 0 (0.0)."""
    if a <= 0 or x >= 1:
        return 1.0
    if b <= 0 or x <= 0:
        return 0.0
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast only below the mean
        return 1.0 - _beta_below_mean(1 - x, b, a)
    return _beta_below_mean(x, a, b)


def _beta_below_mean(x: float, a: float, b: float) -> float:
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) / (a * _fraction(x, a, b))


def _fraction(x: float, a: float, b: float) -> float:
    """1 + d1/(1 + d2/(1 + ...)), the continued fraction of the incomplete beta function, by Lentz's method."""
    value = numerator = 1.0
    denominator = 0.0
    for term in range(1, _MOST_TERMS):
        m = term // 2
        if term % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        denominator = 1 / ((1 + d * denominator) or _TINY)
        numerator = (1 + d / numerator) or _TINY
        value *= numerator * denominator
        if abs(numerator * denominator - 1) < _PRECISION:
            break
    return value


def at_most(k: float, n: float, p: float) -> float:
    """P(X <= k) for X ~ Bin(n, p)."""
    return beta(1 - p, n - k, k + 1)


def at_least(k: float, n: float, p: float) -> float:
    """P(X >= k) for X ~ Bin(n, p)."""
    return beta(p, k, n - k + 1)


def lower_bound(k: float, n: float, alpha: float) -> float:
    """The share below which k or more of n would be seen with probability under `alpha` (Clopper-Pearson, one-sided)."""
    if k <= 0 or n <= 0:
        return 0.0
    return _crossing(lambda share: at_least(k, n, share) > alpha, 0.0, k / n)


def upper_bound(k: float, n: float, alpha: float) -> float:
    """The share above which k or fewer of n would be seen with probability under `alpha` (Clopper-Pearson, one-sided)."""
    if k >= n or n <= 0:
        return 1.0
    if k <= 0:
        return -math.expm1(math.log(alpha) / n)
    return _crossing(lambda share: at_most(k, n, share) <= alpha, k / n, 1.0)


def t_quantile(alpha: float, degrees: float) -> float:
    """The value that Student's t with so many degrees of freedom exceeds with probability `alpha` (at most 0.5)."""

    def exceeded(t: float) -> float:
        return beta(degrees / (degrees + t * t), degrees / 2, 0.5) / 2

    high = 1.0
    while exceeded(high) > alpha:
        high *= 2
    return _crossing(lambda t: exceeded(t) <= alpha, 0.0, high)


def _crossing(beyond: Callable[[float], bool], low: float, high: float) -> float:
    """Where `beyond` turns true between `low` (false) and `high` (true)."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if beyond(middle):
            high = middle
        else:
            low = middle
    return high
