"""What happened, experiment by experiment? The events of a run, put together; every format of report is made from this."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from chaos.model.events import (
    ClaimPlanned,
    DoubtForeseen,
    Event,
    ExperimentFinished,
    ExperimentStarted,
    InjectionGone,
    InjectionPlanned,
    InjectionProven,
    LoadPlanned,
    LoadStarted,
    Noted,
    PathPlanned,
    RunFinished,
    RunStarted,
    UndoFailure,
    VerdictGiven,
    WindowClosed,
    WindowPlanned,
)

Planned = LoadPlanned | PathPlanned | WindowPlanned | InjectionPlanned | ClaimPlanned | DoubtForeseen
"""What a plan tells instead of doing it."""

INTERRUPTED: Final = "interrupted"
"""Outcome of an experiment that began and never came to an end."""


@dataclass(slots=True)
class Injected:
    """One injection: how it began, and how it ended if it did."""

    proven: InjectionProven
    gone: InjectionGone | None = None

    def __str__(self) -> str:
        only = f", {self.proven.only}" if self.proven.only else ""
        return f"{self.proven.fault} on {self.proven.edge} ({self.proven.side} side{only})"


@dataclass(slots=True)
class Told:
    """One experiment."""

    name: str
    hypothesis: str
    process: str
    started: float
    outcome: str = INTERRUPTED
    message: str = ""
    seconds: float | None = None
    loads: list[LoadStarted] = field(default_factory=list)
    windows: list[WindowClosed] = field(default_factory=list)
    injections: list[Injected] = field(default_factory=list)
    verdicts: list[VerdictGiven] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    undo_failures: list[str] = field(default_factory=list)
    plan: list[Planned] = field(default_factory=list)
    """In the order of the test, but for loads, which come first: they are told when they have ended."""

    @property
    def shown_windows(self) -> list[WindowClosed]:
        """Those that its key numbers are about: under a fault if there was one, else all."""
        return [w for w in self.windows if w.kind == "fault"] or self.windows

    @property
    def requests(self) -> int:
        return sum(window.requests for window in self.shown_windows)

    @property
    def error_share(self) -> float | None:
        return sum(window.errors for window in self.shown_windows) / self.requests if self.requests else None

    @property
    def p95(self) -> float | None:
        """Seconds: the worst of the windows; None where requests were never answered or there were none."""
        known = [window.p95 for window in self.shown_windows if window.requests]
        return max(value for value in known if value is not None) if known and None not in known else None


class Story:
    """All of a run. Feed it with `handle`."""

    def __init__(self) -> None:
        self.run = ""
        self.mesh: Mapping[str, Any] = {}
        self.topology = ""
        self.versions: Mapping[str, str] = {}
        self.processes: list[str] = []
        self.started: float | None = None
        self.ended: float | None = None
        self.experiments: list[Told] = []
        self._current: dict[tuple[str, str], Told] = {}

    @classmethod
    def of(cls, events: Iterable[tuple[str, Event]]) -> Story:
        story = cls()
        for process, event in events:
            story.handle(event, process)
        return story

    @property
    def outcomes(self) -> Counter[str]:
        """How many experiments came to what."""
        return Counter(told.outcome for told in self.experiments)

    def handle(self, event: Event, process: str) -> None:
        self.started = event.at if self.started is None else self.started
        self.ended = event.at
        match event:
            case RunStarted():
                self._begin(event, process)
            case ExperimentStarted():
                told = Told(event.experiment, event.hypothesis, process, event.at)
                self.experiments.append(told)
                self._current[process, event.experiment] = told
            case RunFinished():
                pass
            case _:
                self._tell(event, process)

    def _begin(self, event: RunStarted, process: str) -> None:
        self.run, self.topology, self.versions = event.run, event.topology, event.versions
        self.mesh = self.mesh or event.mesh
        self.processes.append(process)

    def _tell(self, event: Event, process: str) -> None:
        told = self._current.get((process, getattr(event, "experiment", "")))
        if told is None:
            return
        match event:
            case LoadStarted():
                told.loads.append(event)
            case WindowClosed():
                told.windows.append(event)
            case InjectionProven():
                told.injections.append(Injected(event))
            case InjectionGone():
                for injected in told.injections:
                    if injected.proven.number == event.number:
                        injected.gone = event
            case VerdictGiven():
                told.verdicts.append(event)
            case LoadPlanned():
                told.plan.insert(sum(isinstance(each, LoadPlanned) and each.number < event.number for each in told.plan), event)
            case PathPlanned() | WindowPlanned() | InjectionPlanned() | ClaimPlanned() | DoubtForeseen():
                told.plan.append(event)
            case Noted():
                told.notes.append(event.text)
            case UndoFailure():
                told.undo_failures.append(event.message)
            case ExperimentFinished():
                told.outcome, told.seconds, told.message = event.outcome, event.seconds, event.message
