"""What is traffic? The port that every load generator offers to the run.

A `Generator` is the long-lived thing behind it (one child process); a `Flow` is one stretch of load, from `load.__enter__`
to `__exit__`, that runs without pause. Windows are no business of a generator: it records every request with its
scheduled start, and whoever wants a window cuts it out of the samples afterwards.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from chaos.model.marks import FlowMark
from chaos.model.samples import Samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """One kind of request, sent over and over."""

    url: str
    """Where to connect to and what to ask for: `http://127.3.0.1:8080/productpage`."""
    host: str | None = None
    """The Host header, where it is not the address of the URL."""
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A user's own locustfile: `user` is the class, `host` the base URL it gets."""

    file: Path
    user: str | None
    host: str


@dataclass(frozen=True, slots=True)
class OpenModel:
    """Arrivals at a fixed rate (per second), whatever the answers do; latency counts from the scheduled start."""

    rate: float
    arrivals: Literal["even", "poisson"] = "even"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ClosedModel:
    """So many users, each waiting for its answer before it asks again."""

    users: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """Everything a generator has to know about one flow."""

    what: Requests | Script
    model: OpenModel | ClosedModel
    timeout: float
    """Seconds after which a request is given up."""
    mark: FlowMark


class Flow(ABC):
    """One stretch of load. All times are monotonic ns."""

    plan: LoadPlan
    started: int
    """Scheduled start of request 0."""

    @abstractmethod
    def samples(self) -> Samples:
        """Every request that has ended so far, in scheduled order (those still in flight are absent)."""

    @abstractmethod
    def scheduled(self, start: int, end: int) -> int:
        """How many requests the plan puts into [start, end): the denominator that nothing can fall out of."""

    @abstractmethod
    def planned(self, start: int, end: int) -> list[tuple[int, int]]:
        """(sequence, scheduled) of every arrival that the plan puts into [start, end). A closed model plans none."""

    @abstractmethod
    def resolved(self, until: int) -> bool:
        """True when every request scheduled before `until` has ended or was recorded as unsent."""

    @abstractmethod
    def check(self) -> None:
        """Raises LoadFailure, with the last lines of the generator, when it no longer runs."""

    @abstractmethod
    def stop(self) -> None:
        """No further arrivals; requests in flight are finished or given up after their timeout. Idempotent."""


class Generator(ABC):
    """The process behind the flows."""

    @abstractmethod
    def start(self, plan: LoadPlan) -> Flow:
        """Begin to send. Returns when the first request is scheduled. Raises LoadFailure, or InvalidValue for a bad script."""

    @abstractmethod
    def close(self) -> None:
        """End the process and everything it started. Idempotent."""
