"""What does a claim look at? The requests of a window, or the calls on one edge of it, as columns of plain numbers.

`expect` makes a subject from the evidence of a closed window; gates, claims and explanations read nothing else.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self, runtime_checkable

from chaos.claims.columns import ordered_times, sent, times
from chaos.model.calls import Call
from chaos.model.injection import InjectionRecord, Side
from chaos.model.samples import Samples
from chaos.model.verdict import Ledger
from chaos.model.window import EdgeEvidence, Outlook, Window, WindowEvidence
from chaos.stats.quantiles import Latencies


@runtime_checkable
class Flowing(Protocol):  # pragma: no mutate block
    """Load that flows: what a claim on the time to come asks of it (`chaos.run.traffic` is one). Times are monotonic ns."""

    target: str

    @property
    def ledger(self) -> Ledger:
        """Where verdicts on it are written down."""

    @property
    def outlook(self) -> Outlook:
        """What is known before claims on it are watched."""

    @property
    def steady(self) -> WindowEvidence | None:
        """Its last window before the first injection; None if there was none."""

    def between(self, start: int, end: int) -> Window:
        """The window of the requests scheduled in [start, end). Returns when the last of them has ended."""

    def under(self, injection: InjectionRecord) -> WindowEvidence:
        """What is known of the time in which an injection was in force."""

    def requests(self, start: int, end: int) -> Samples:
        """Requests scheduled in [start, end) that have ended, whatever was going on."""

    def faulted(self, *, ended: bool = False, patience: float = math.inf) -> WindowEvidence:
        """Requests scheduled while a fault was in force: as far as all have ended, or (`ended`) once all have, with their calls.

        `patience`: who is under way for more seconds counts as slow. Raises Inconclusive when there was no fault.
        """

    def guard(self, guard: Guardian) -> None:
        """Look at it while faults are on, and end them when it gives a reason; settle it when the load ends."""


class Guardian(Protocol):  # pragma: no mutate block
    """A guard claim (`chaos.claims.guarding`)."""

    def look(self) -> str:
        """Why no fault may go on; empty if it may."""

    def conclude(self) -> None:
        """The load has ended. Raises what its verdict is to the experiment."""


@dataclass(frozen=True, slots=True)
class Subject(ABC):
    """What a claim is made of."""

    window: WindowEvidence
    requests: Samples = field(init=False, repr=False)
    """The user requests that were sent (unsent ones are `window.missing`)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "requests", sent(self.window.samples))

    @property
    @abstractmethod
    def name(self) -> str:
        """As messages call it."""

    @property
    @abstractmethod
    def empty(self) -> str:
        """Why nothing can be judged because nothing is there; empty text if something is."""

    @property
    @abstractmethod
    def edges(self) -> tuple[EdgeEvidence, ...]:
        """The edges whose evidence it rests on."""

    @property
    @abstractmethod
    def steady(self) -> Subject | None:
        """The same thing before the first injection; None where that was not recorded, or when this is it."""

    @abstractmethod
    def beginning(self, requests: int) -> Self:
        """Of the first so many user requests alone, as if the window had been meant to be that long."""


@dataclass(frozen=True, slots=True)
class WindowSubject(Subject):
    """All user requests of a window."""

    @property
    def name(self) -> str:
        return self.window.name

    @property
    def empty(self) -> str:
        if len(self.requests):
            return ""
        return f"no request was sent in it ({self.window.scheduled} were scheduled); make the window longer or the rate higher"

    @property
    def edges(self) -> tuple[EdgeEvidence, ...]:
        return tuple(self.window.edges.values())

    @property
    def steady(self) -> WindowSubject | None:
        before = self.window.steady
        return None if before is None or before is self.window else WindowSubject(before)

    def beginning(self, requests: int) -> WindowSubject:
        return WindowSubject(self.window.beginning(requests))


@dataclass(frozen=True, slots=True)
class EdgeSubject(Subject):
    """The calls on one edge that the user requests of a window caused."""

    seen: EdgeEvidence

    @property
    def name(self) -> str:
        return f"{self.seen.edge} in {self.window.name}"

    @property
    def empty(self) -> str:
        return "" if self.seen.calls else self.seen.none

    @property
    def edges(self) -> tuple[EdgeEvidence, ...]:
        return (self.seen,)

    @property
    def steady(self) -> EdgeSubject | None:
        before = self.window.steady
        if before is None or before is self.window or self.seen.edge not in before.edges:
            return None
        return EdgeSubject(before, before.edges[self.seen.edge])

    def beginning(self, requests: int) -> EdgeSubject:
        window = self.window.beginning(requests)
        return EdgeSubject(window, self.seen.caused_by(set(window.samples["sequence"])))

    @property
    def calls(self) -> tuple[Call, ...]:
        return self.seen.calls

    @property
    def injection(self) -> InjectionRecord | None:
        """The one that was live on this edge."""
        return injection_on(self.seen, self.window)

    @property
    def side(self) -> Side | None:
        return self.injection.side if self.injection else None

    @property
    def fan_out(self) -> int | None:
        """c: calls per user request in steady, if every user request makes the same number of them; else None."""
        if self.steady is None:
            return None
        calls = Counter(call.sequence for call in self.steady.calls)
        numbers = {calls[sequence] for sequence in self.steady.requests["sequence"]}
        return numbers.pop() if len(numbers) == 1 and 0 not in numbers else None


def injection_on(seen: EdgeEvidence, window: WindowEvidence) -> InjectionRecord | None:
    if seen.proof is not None:
        return seen.proof.injection
    return next((record for record in window.injections if record.request.edge == seen.edge), None)


def response_times(subject: Subject) -> Sequence[float]:
    """Seconds, in scheduled order; infinite where there was no response.

    From the scheduled start; in the closed model, which has no schedule that holds when answers are late, from the actual one.
    """
    return times(subject.requests, from_schedule=subject.window.open_model)


def ordered_response_times(subject: Subject) -> Latencies:
    """The same in order, sorted once for all claims on these requests."""
    return ordered_times(subject.requests, from_schedule=subject.window.open_model)


def hit_sequences(window: WindowEvidence) -> frozenset[int]:
    """User requests of which a fault of ours hit at least one call or attempt."""
    return frozenset(call.sequence for seen in window.edges.values() for call in seen.calls if call.faulted)


def calls_per_request(seen: EdgeEvidence | None, window: WindowEvidence) -> float:
    """Mean number of calls per user request; NaN where the edge was not observed."""
    return math.nan if seen is None else per_request(len(seen.calls), window)


def attempts_per_request(seen: EdgeEvidence, requests: Samples) -> list[int]:
    """How many attempts each of them caused on the edge, 0 included."""
    attempts: Counter[int] = Counter()
    for call in seen.calls:
        attempts[call.sequence] += call.tries
    return [attempts[sequence] for sequence in requests["sequence"]]


def per_request(number: int, window: WindowEvidence) -> float:
    """So many for each user request that was sent; NaN where none was."""
    requests = len(sent(window.samples))
    return number / requests if requests else math.nan


def by_request(calls: Iterable[Call]) -> list[list[Call]]:
    """Those of each user request that caused any."""
    together: dict[int, list[Call]] = defaultdict(list)
    for call in calls:
        together[call.sequence].append(call)
    return list(together.values())
