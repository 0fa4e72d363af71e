"""What is the p95, and between which values does the true one lie? Latencies in order, and their order statistics.

Quantiles are values that were measured, never interpolated; a request without response counts as +inf in every one.
`Latencies` is built once per window (the sorting is the only slow step) and then serves every claim and comparison.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from chaos.errors import InvalidValue
from chaos.stats.blocks import BLOCKS, consecutive
from chaos.stats.mover import Estimate, wilson

_ROUNDING = 1e-9  # 0.07 * 100 is 7.000000000000001, and the 7th of 100 is meant


@dataclass(frozen=True, slots=True, eq=False)
class Latencies:
    """Latencies of a window, in any unit: ordered as a whole, and inside each of its ten consecutive blocks."""

    ordered: list[float]
    blocks: tuple[list[float], ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Latencies:
        """`values` by scheduled start; +inf where there was no response."""
        values = list(values)
        if math.isnan(sum(values)):
            raise InvalidValue("a latency is not a number: a request without response counts as +inf")
        blocks = tuple(sorted(block) for block in consecutive(values))
        rest = values[len(values) // BLOCKS * BLOCKS :]
        return cls(sorted(chain(*blocks, rest)), blocks)  # sorted runs: they are only merged

    def __len__(self) -> int:
        return len(self.ordered)

    def quantile(self, q: float) -> float:
        """X_(ceil(q n)): the smallest measured value that a share q of all does not exceed."""
        if not self.ordered:
            raise InvalidValue("there is no quantile of no requests")
        return self.ordered[max(1, math.ceil(q * len(self) - _ROUNDING)) - 1]

    def above(self, bound: float) -> int:
        """How many exceed `bound`."""
        return len(self) - bisect_right(self.ordered, bound)

    def above_in_blocks(self, bound: float) -> list[int]:
        """How many exceed `bound` in each block."""
        return [len(block) - bisect_right(block, bound) for block in self.blocks]

    def estimate(self, q: float, effective: float, alpha: float) -> Estimate:
        """Quantile q with the order statistics that Wilson's limits for q among `effective` requests point to.

        Each limit is one-sided at `alpha`. Below the first value lies 0, above the last +inf.
        """
        n = len(self)
        low, high = wilson(q, effective, alpha)
        below, above = math.floor(low * n), math.ceil(high * n) + 1
        return Estimate(
            self.quantile(q),
            self.ordered[below - 1] if below >= 1 else 0.0,
            self.ordered[above - 1] if above <= n else math.inf,
        )
