"""What was asked to go wrong, where, and what is known about it? An injection's request, its life and its proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from chaos.model.edge import Edge
from chaos.model.fault import Fault


class Side(StrEnum):
    """Where the fault acts. Results of different sides are never compared."""

    CALLER = "caller"
    """Before the caller's router, as a VirtualService fault: tests the calling application alone."""
    CALLEE = "callee"
    """Behind the router, as if the callee had failed: every policy of the hop acts on it."""


Traffic = Literal["own", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectionRequest:
    """What the experiment asked for. `side` None is "auto"."""

    fault: Fault
    edge: Edge
    side: Side | None = None
    traffic: Traffic = "own"
    match: Mapping[str, str] = field(default_factory=dict)
    """Headers (exact values) that a request must carry as well to be hit."""
    replicas: int | None = None
    """Fault so many of the callee's replicas only; None = all."""
    expires: float = 600.0
    """Seconds after which it ends by itself."""

    @property
    def only(self) -> str:
        """Whom it hits, where that is not all own traffic at every replica: `1 replica, end-user: jason`, `everybody`."""
        parts = ["everybody"] if self.traffic == "all" else []
        if self.replicas is not None:
            parts.append(f"{self.replicas} replica{'s' if self.replicas > 1 else ''}")
        return ", ".join([*parts, *(f"{name}: {value}" for name, value in self.match.items())])


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectionRecord:
    """One injection as it lived. All times are monotonic ns; 0 = not reached."""

    number: int
    """Counts the injections of the run; part of the names of our objects."""
    request: InjectionRequest
    side: Side
    reason: str
    """Why this side: shown in plan and report."""
    callers: tuple[str, ...]
    """The proxies that hold it: `reviews-v2.bookinfo`."""
    written: int = 0
    """First write that switches it on."""
    proven: int = 0
    """Every caller proxy was seen to hold it."""
    withdrawn: int = 0
    """First write that switches it off."""
    gone: int = 0
    """No proxy was seen to hold it any more."""
    aborted: str = ""
    """Why a watch ended it early; empty if none did."""
    guarded: bool = False
    """It was a guard claim that ended it: until then everything was as it was proven, and counts."""

    @property
    def in_force_ms(self) -> float:
        """Milliseconds from the first write to proven."""
        return (self.proven - self.written) / 1e6

    def __str__(self) -> str:
        only = f", {self.request.only}" if self.request.only else ""
        return f"{self.request.fault} on {self.request.edge} ({self.side} side{only})"
