"""How long until something comes several times in a row? Independent draws, as of a fault with a percentage."""

from __future__ import annotations

import math


def expected_draws(p: float, run: int) -> float:
    """Mean number of draws until `run` hits in a row, each with probability p: (1 - p^r) / (p^r (1 - p)); r if p is 1."""
    if p >= 1:
        return float(run)
    power = p**run
    return (1 - power) / (power * (1 - p)) if power > 0 else math.inf
