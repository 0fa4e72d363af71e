"""What happened, in order? The events of a run: everything a report, a progress line or a watcher is fed with.

A run emits them and never knows who listens. Each is a frozen value that turns into one JSON line (`as_json`) and back
(`from_json`), so that the processes of one run can write into files that are merged afterwards. `at` is wall-clock seconds.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Root of the events; `at` is when it happened (seconds since 1970)."""

    at: float = field(default_factory=time.time)

    def as_json(self) -> dict[str, Any]:
        return {"event": type(self).__name__, **{f.name: getattr(self, f.name) for f in dataclasses.fields(self)}}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A process of the run has its mesh."""

    run: str
    mesh: Mapping[str, Any]
    topology: str
    worker: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentStarted(Event):
    """One test begins."""

    experiment: str
    """The test's node id."""
    hypothesis: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadStarted(Event):
    """Traffic flows from now on."""

    experiment: str
    target: str
    model: str
    """`100/s` or `20 users`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowProgress(Event):
    """A long window is under way."""

    experiment: str
    window: str
    elapsed: float
    length: float
    """Seconds; 0 when its end is open."""
    requests: int
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowClosed(Event):
    """A window ended; its key numbers."""

    experiment: str
    window: str
    kind: str
    seconds: float
    target: str = ""
    """Of the load whose requests it labels."""
    started: float = 0.0
    """Wall-clock seconds; `at` is when its evidence was complete."""
    requests: int
    errors: int
    missing: int
    transition: int
    p50: float | None
    p95: float | None
    p99: float | None
    statuses: Mapping[str, int]
    timeline: tuple[Mapping[str, float], ...] = ()
    """Per second: requests, errors, p95."""
    edges: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectionProven(Event):
    """The fault is in force in every caller proxy."""

    experiment: str
    number: int
    fault: str
    edge: str
    side: str
    reason: str
    callers: tuple[str, ...]
    in_force_ms: float
    only: str = ""
    """Whom it hits, where that is not all own traffic at every replica: `1 replica, end-user: jason`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectionGone(Event):
    """No proxy holds the fault any more."""

    experiment: str
    number: int
    gone_ms: float
    aborted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictGiven(Event):
    """A claim was judged."""

    experiment: str
    claim: str
    subject: str
    outcome: str
    summary: str
    reason: str = ""
    details: tuple[str, ...] = ()
    measured: float | None = None
    threshold: float | None = None
    unit: str = ""
    requests: int = 0
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(Event):
    """A person or the experiment wrote something down."""

    experiment: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlanned(Event):
    """A load of a plan, told when its block has ended: nothing was sent."""

    experiment: str
    number: int
    target: str
    model: str
    """`100/s` or `20 users`."""
    enters: str
    """The pod whose proxy would be the first."""
    own: bool
    """False: bystander traffic, which no injection on own traffic hits."""
    seconds: float
    """From its beginning to its end, as its windows add up."""
    requests: int | None
    """None where answers decide on it (users)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPlanned(Event):
    """A window of a plan."""

    experiment: str
    load: int
    """Number of its load."""
    window: str
    seconds: float
    at_most: bool = False
    """It would end as soon as its claims are decided."""
    requests: int | None
    faults: tuple[int, ...] = ()
    """Numbers of the injections that would be on, and could hit its requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPlanned(Event):
    """A private path of a plan, for an edge that is observed or injected on: what would be written. Nothing was."""

    experiment: str
    edge: str
    callers: tuple[str, ...]
    """The pods whose proxies would hold it."""
    policy: tuple[str, ...]
    """In effect on the edge, one line per route and cluster."""
    objects: tuple[str, ...]
    """`EnvoyFilter bookinfo/istio-chaos-RUN-1-stage`: by kind, namespace and name."""
    deadline: float
    """Seconds after which anybody may remove them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectionPlanned(Event):
    """An injection of a plan, on a path of it: whom it would hit."""

    experiment: str
    number: int
    fault: str
    edge: str
    side: str
    reason: str
    """Why this side."""
    callers: tuple[str, ...]
    """The pods whose proxies would hold it."""
    traffic: str
    """`own` or `all`."""
    share: float
    """Of the calls on this edge, and of the callee's replicas, that it draws from: 0.3 for 30 %."""
    only: str = ""
    attempts: int
    """That it takes to be proven."""
    expires: float
    """Seconds after which it ends by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimPlanned(Event):
    """A claim of a plan."""

    experiment: str
    claim: str
    subject: str
    needs: int | None
    """Requests that decide it; None where nobody can tell beforehand."""
    planned: int | None
    """Requests that its window would have."""
    said: str
    """What it needs, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtForeseen(Event):
    """Why what is planned would show nothing, or not begin now."""

    experiment: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentFinished(Event):
    """One test ended. `outcome`: held, violated, inconclusive, failed, no claim, known weakness, skipped, planned ..."""

    experiment: str
    outcome: str
    seconds: float
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoFailure(Event):
    """Something of ours may still be there."""

    experiment: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """A process of the run has undone everything and ends."""

    run: str
    worker: str = ""


_KINDS = {cls.__name__: cls for cls in Event.__subclasses__()}


def from_json(line: Mapping[str, Any]) -> Event:
    """The inverse of `as_json`; lists become tuples where the event has tuples."""
    values = dict(line)
    cls = _KINDS[values.pop("event")]
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = tuple(value)
    return cls(**values)
