"""How long does a caller really wait? What `mesh.effective_timeout` measured, as a value that reads as a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from chaos.model import units
from chaos.model.edge import Edge

WHO: Final[Mapping[str, str]] = {"UT": "the mesh", "DC": "the application"}
"""Envoy's flags of a call that was given up, and by whom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Seconds after which calls were given up."""

    minimum: float
    median: float
    maximum: float
    calls: int

    def __str__(self) -> str:
        low, middle, high = map(units.seconds, (self.minimum, self.median, self.maximum))
        return f"after {middle} ({low} to {high}, {self.calls} calls)"


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveTimeout:
    """The real patience of the callers on an edge."""

    edge: Edge
    delay: float
    """D: seconds by which every call was delayed."""
    declared: float | None
    """Seconds: the shortest timeout or per-try timeout that the mesh declares on the edge; None if there is none."""
    given_up: Mapping[str, Spread]
    """By flag: `UT` the mesh, `DC` the application."""
    waited: int = 0
    """Calls that nobody gave up."""
    cancelled: int = 0
    """Calls that ended because somebody above had given up: they say nothing of this caller."""
    inversions: tuple[str, ...] = ()
    """Where a callee is allowed longer than its caller waits."""

    @property
    def seconds(self) -> float:
        """The median of whoever gives up first; infinite where nobody did."""
        return min((spread.median for spread in self.given_up.values()), default=math.inf)

    def __str__(self) -> str:
        if self.given_up:
            told = "; ".join(f"{WHO[flag]} gives up {spread} (flag {flag})" for flag, spread in self.given_up.items())
        elif self.waited:
            told = f"no timeout below {units.seconds(self.delay)}"
        else:
            told = "unknown, since somebody above gives up sooner"
        told += f"; {self.waited} calls waited to the end" if self.given_up and self.waited else ""
        told += f"; {self.cancelled} calls were cancelled from above" if self.cancelled else ""
        declared = f"declared: {units.seconds(self.declared)}" if self.declared else "declared: none"
        return "; ".join([f"{self.edge}: {told}", declared, *self.inversions])
