"""When is each arrival of an open model due? Known in advance, to the nanosecond, on both sides of the process boundary.

The child sends by it; the parent counts by it, so that the denominator of a window is the plan and never what the
generator managed to do. Both derive it from the same `OpenModel`, and nothing about single arrivals is exchanged.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from array import array
from bisect import bisect_left

from chaos.clock import NS
from chaos.load.port import OpenModel


class Schedule(ABC):
    """Arrival `i` (from 0) is due `offset(i)` ns after the start of the load."""

    @abstractmethod
    def offset(self, index: int) -> int:
        """Nanoseconds from the start to arrival `index`; never decreasing."""

    @abstractmethod
    def before(self, offset: int) -> int:
        """How many arrivals are due before `offset` ns after the start."""

    @staticmethod
    def of(model: OpenModel) -> Schedule:
        return Poisson(model.rate, model.seed) if model.arrivals == "poisson" else Even(model.rate)


class Even(Schedule):
    """One arrival every 1/rate seconds: arithmetic, without memory."""

    def __init__(self, rate: float) -> None:
        self._rate = rate

    def offset(self, index: int) -> int:
        return int(index * NS / self._rate)

    def before(self, offset: int) -> int:
        if offset <= 0:
            return 0
        count = math.ceil(offset * self._rate / NS)
        # Floating point may miss by one at an exact multiple of the period; offset() decides.
        while count > 0 and self.offset(count - 1) >= offset:
            count -= 1
        while self.offset(count) < offset:
            count += 1
        return count


class Poisson(Schedule):
    """Independent exponential gaps of mean 1/rate from a seeded generator; arrival 0 comes at once."""

    def __init__(self, rate: float, seed: int) -> None:
        self._rate = rate
        self._random = random.Random(seed)
        self._seconds = 0.0
        self._offsets = array("q", [0])

    def offset(self, index: int) -> int:
        while len(self._offsets) <= index:
            self._next()
        return self._offsets[index]

    def before(self, offset: int) -> int:
        while self._offsets[-1] < offset:
            self._next()
        return bisect_left(self._offsets, offset)

    def _next(self) -> None:
        self._seconds += self._random.expovariate(self._rate)
        self._offsets.append(int(self._seconds * NS))
