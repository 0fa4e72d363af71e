"""A stretch of time and everything that is known about it: what experiments read, and what claims judge.

`WindowEvidence` and `EdgeEvidence` are gathered by `chaos.observe` when a window closes; `Window` and `EdgeWindow` are what
an experiment holds. Their numbers know their window, so that a plain `assert` on one is explained, and so that reading one
that nothing stands behind raises `Inconclusive` instead of giving a number.
"""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from chaos.errors import Inconclusive, InvalidValue, nearest
from chaos.model import units
from chaos.model.breakers import Circuit
from chaos.model.bystanders import Bystanders
from chaos.model.calls import HIT, Call
from chaos.model.edge import Edge
from chaos.model.injection import InjectionRecord, Side
from chaos.model.samples import Samples
from chaos.model.verdict import Ledger

Kind = Literal["steady", "fault", "bystander", "recovery"]
"""bystander: a fault was on that could not hit the requests of this load."""


UNSENT_AT_MOST = 0.01
"""Share of the scheduled requests that may be missing before the window says more of the generator than of the system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Was the fault of an injection really drawn and hit, as often as its percentage predicts? (verdicts.md rule 8)"""

    injection: InjectionRecord
    drawn: int
    """Attempts (caller side: calls) of ours on which the fault drew."""
    hit: Mapping[str, int]
    """By kind of fault (`delay`, `abort`): how many of them carry its flag."""
    proven: bool
    reason: str
    """What is missing, and the next step; the figures when proven."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeEvidence:
    """What went over one edge because of the requests of one window."""

    edge: Edge
    source: Literal["private path", "access log"]
    calls: tuple[Call, ...]
    """In the order of the user requests that caused them, and of their start: so a part of a window is a part of its calls."""
    proof: Proof | None = None
    """Of the injection that was live on this edge in this window, if any."""
    ejections: int | None = None
    """Hosts ejected by outlier detection meanwhile; None = not observed."""
    policy: tuple[str, ...] = ()
    """The policy in effect, one line per route: timeout, retries, outlier detection, limits."""
    policy_timeout: float | None = None
    """Seconds: the smallest timeout or per-try timeout any route of the edge sets; None = none."""
    declared_retries: int = 0
    """The largest number of retries any route of the edge allows."""
    circuit: Circuit | None = None
    """What was seen of its circuit breakers; None where no private path stands."""
    bystanders: Bystanders | None = None
    """Everybody else's requests meanwhile, by the mesh's telemetry; None where it has none."""
    private_only: bool = False
    """Only calls on private paths are seen on this mesh."""
    forms: frozenset[str] = frozenset()
    """Headers in which the mark of own traffic came to the caller's proxy: traceparent, baggage, b3. Empty without calls."""
    lost: str = ""
    """Without calls: how far the mark was seen, and why it may have come no further."""

    @property
    def none(self) -> str:
        """What is said where there is no call."""
        passing = "on a cluster only calls on private paths are seen, which load with own=False never takes"
        told = ("no call of this window's requests went over it", passing if self.private_only else "", self.lost)
        return "; ".join(filter(None, told))

    def caused_by(self, sequences: Set[int]) -> EdgeEvidence:
        """The same with the calls of these user requests alone."""
        return replace(self, calls=tuple(call for call in self.calls if call.sequence in sequences))


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowEvidence:
    """The requests *scheduled* in [start, end) and every log line of their traces."""

    name: str
    """`window 2 (fault) of /productpage`."""
    kind: Kind
    start: int
    end: int
    samples: Samples
    scheduled: int
    """Requests the plan put into the window; those without a sample were not sent or not recorded."""
    transition: int = 0
    """Requests left out because their life overlaps an unproven transition of an injection."""
    offered: float
    """Requests per second that were meant to be sent; for the closed model those that were."""
    timeout: float
    """Seconds: the load's own."""
    open_model: bool = True
    doubts: tuple[str, ...] = ()
    """Reasons why no claim on this window can be decided (unproven injection, mixed window, generator late ...)."""
    edges: Mapping[Edge, EdgeEvidence] = field(default_factory=dict)
    unnamed: Callable[[], tuple[EdgeEvidence, ...]] = tuple
    """Gathers what went over edges that nobody named, where the mesh shows them."""
    injections: tuple[InjectionRecord, ...] = ()
    """Those in force during the whole window."""
    aside: tuple[InjectionRecord, ...] = ()
    """Those in force meanwhile that cannot hit the requests of this load."""
    steady: WindowEvidence | None = None
    """The steady window of the same load, before the first injection."""
    cut_short: bool = False
    """A guard or a look at the data ended it: only sequential rules may judge it."""
    under_way: bool = False
    """It goes on: only looks that are due are taken."""

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / 1e9

    @property
    def missing(self) -> int:
        """m of the rules: scheduled, but not sent or not recorded."""
        sent = self.samples["sent"]
        return max(0, self.scheduled - self.transition - (len(sent) - sent.count(0)))

    def beginning(self, requests: int) -> WindowEvidence:
        """Its first so many requests, as a window whose length was fixed beforehand."""
        scheduled = self.samples["scheduled"]
        if len(scheduled) <= requests:
            return replace(self, cut_short=False, under_way=False)
        unrecorded = max(0, self.scheduled - self.transition - len(scheduled))
        part = self.restricted([i < requests for i in range(len(scheduled))], f"(first {requests})")
        return replace(part, end=scheduled[requests], scheduled=requests + unrecorded, cut_short=False, under_way=False)

    def restricted(self, keep: Sequence[int], suffix: str) -> WindowEvidence:
        """The same window with some of its requests (0 or 1 per sample), and only their calls."""
        samples = self.samples.where(keep)
        wanted = set(samples["sequence"])
        edges = {edge: seen.caused_by(wanted) for edge, seen in self.edges.items()}
        name = f"{self.name} {suffix}"
        return replace(self, name=name, samples=samples, scheduled=len(samples), transition=0, edges=edges, unnamed=tuple)


class SoFar(Protocol):
    """A window that is still open: the beginning of its requests that cannot change any more."""

    def requests(self, patience: float = math.inf) -> WindowEvidence:
        """Without their calls. All of them have ended, or are under way for longer than so many seconds."""

    def calls(self) -> WindowEvidence:
        """Those of which every log line has been read too, with their calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """A claim that is not going to be judged, and what it would need."""

    claim: str
    subject: str
    requests: int | None
    """That decide it; None where nobody can tell beforehand."""
    said: str
    """The same in words."""
    seconds: float = 0.0
    """For which whoever claims it waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is known of a window while it is open: enough to say how long its claims will take."""

    rate: float | None
    """Requests per second; None where answers decide on it (closed model)."""
    steady: WindowEvidence | None
    """Of the same load, before the first injection."""
    looked_at: bool
    """Its claims are looked at while requests arrive, and it ends when all of them are decided."""
    tell: Callable[[str], None]
    """Says something to whoever waits for the window."""
    false_held: float = 0.05
    """Chance of a false "held" that its claims may take."""
    foresee: Callable[[Foreseen], None] | None = None
    """Of a window that is only planned: is told of its claims, and nobody judges them."""


class Count(int):
    """A number of things in a window."""

    what: str

    def __new__(cls, value: int, what: str) -> Count:
        counted = super().__new__(cls, value)
        counted.what = what
        return counted

    def __repr__(self) -> str:
        return f"{int(self)} ({self.what})"


class Measure(float):
    """A measured quantity of a window: seconds for latencies, per second for rates, a fraction for shares."""

    what: str

    def __new__(cls, value: float, what: str) -> Measure:
        measured = super().__new__(cls, value)
        measured.what = what
        return measured

    def __repr__(self) -> str:
        return f"{float(self):.6g} ({self.what})"


def quantile_of(text: str) -> float:
    """`"p95"` -> 0.95, `"p99.9"` -> 0.999. Raises InvalidValue."""
    try:
        number = float(text[1:]) / 100 if text.startswith("p") else math.nan
    except (ValueError, AttributeError, TypeError):
        number = math.nan
    if not 0 < number < 1:
        raise InvalidValue(f'{text!r} is no quantile: write "p50", "p95" or "p99.9"')
    return number


def latency_at(latencies: Sequence[float], q: float) -> float:
    """X_(ceil(q n)) of the sorted values: never interpolated."""
    return sorted(latencies)[max(0, math.ceil(q * len(latencies) - 1e-9) - 1)]


def latencies(samples: Samples) -> list[float]:
    """Seconds from the scheduled start to the last byte; infinite where there was no response."""
    times = [taken / 1e9 for taken in map(operator.sub, samples["ended"], samples["scheduled"])]
    if samples["status"].count(0):
        return [time if status else math.inf for time, status in zip(times, samples["status"], strict=True)]
    return times


def is_bad(samples: Samples, index: int, ok: frozenset[int] = frozenset()) -> bool:
    """No response, status >= 400 that is not in `ok`, a grpc-status that is not 0, or the user's own failure."""
    status, grpc = samples["status"][index], samples["grpc"][index]
    if not status or (status >= 400 and status not in ok):
        return True
    return grpc > 0 or bool(samples["error"][index])


class Window:
    """What an experiment holds. Open until its block ends; afterwards its numbers can be read and claims judged."""

    def __init__(self, name: str, ledger: Ledger, evidence: WindowEvidence | None = None, *, checked: bool = True) -> None:
        self.name = name
        self.ledger = ledger
        self.outlook: Outlook | None = None
        self._evidence = evidence
        self._checked = checked
        self._waiting: list[Callable[[Window], None]] = []
        self._watches: list[Callable[[SoFar], bool]] = []

    # -- life
    @property
    def closed(self) -> bool:
        return self._evidence is not None

    def close(self, evidence: WindowEvidence) -> None:
        """The run closes a window with what it gathered; claims registered while it was open are judged now.

        All of them are judged. What they raise is raised then: as it is if it is one, else in an ExceptionGroup.
        """
        self._evidence = evidence
        self.name = evidence.name
        waiting, self._waiting = self._waiting, []
        raised: list[Exception] = []
        for judge in waiting:
            try:
                judge(self)
            except Exception as error:
                raised.append(error)
        if len(raised) > 1:
            raise ExceptionGroup(f"{len(raised)} claims on {self.name} do not hold", raised)
        if raised:
            raise raised[0]

    def when_closed(self, judge: Callable[[Window], None]) -> None:
        self._waiting.append(judge)

    def watch(self, enough: Callable[[SoFar], bool]) -> None:
        """Ask it of what has been seen so far: does it suffice for a claim registered on this window?"""
        self._watches.append(enough)

    @property
    def watched(self) -> bool:
        """Is there a claim that says when it has seen enough?"""
        return bool(self._watches)

    def enough(self, so_far: SoFar) -> bool:
        """Do the requests so far suffice for every claim?"""
        return all(enough(so_far) for enough in self._watches)

    @property
    def evidence(self) -> WindowEvidence:
        if self._evidence is None:
            raise Inconclusive(f"{self.name} is still open: read its numbers after its block has ended")
        self.ledger.look(self._evidence.kind, sound=not self._evidence.doubts)
        return self._evidence

    @property
    def raw(self) -> Window:
        """The same window with unchecked numbers: they may stand on nothing."""
        return Window(self.name, self.ledger, self.evidence, checked=False)

    def _read(self) -> WindowEvidence:
        evidence = self.evidence
        if self._checked:
            if not len(evidence.samples):
                raise Inconclusive(f"{self.name} saw no request; `.raw` reads its numbers unchecked")
            if evidence.missing > UNSENT_AT_MOST * evidence.scheduled:
                raise Inconclusive(
                    f"{self.name}: {evidence.missing} of {evidence.scheduled} requests were not sent: the generator was late; "
                    "`.raw` reads its numbers unchecked"
                )
            if evidence.doubts:
                raise Inconclusive(f"{self.name}: {evidence.doubts[0]}; `.raw` reads its numbers unchecked")
        return evidence

    # -- numbers
    @property
    def requests(self) -> Count:
        """Requests scheduled in the window and sent."""
        evidence = self._read()
        return Count(sum(1 for sent in evidence.samples["sent"] if sent), f"requests in {self.name}")

    @property
    def errors(self) -> Count:
        """Requests without a response, with status >= 400, with a grpc-status other than 0, or failed by the user's own check."""
        samples = self._read().samples
        return Count(sum(is_bad(samples, i) for i in range(len(samples))), f"errors in {self.name}")

    @property
    def error_share(self) -> Measure:
        count = len(self._read().samples)
        return Measure(self.errors / count if count else math.nan, f"share of errors in {self.name}")

    def latency(self, at: str = "p95") -> Measure:
        """Seconds at a quantile, from the scheduled start; infinite when so many requests had no response."""
        q = quantile_of(at)
        values = latencies(self._read().samples)
        return Measure(latency_at(values, q) if values else math.nan, f"seconds, {at} latency of {self.name}")

    @property
    def rate(self) -> Measure:
        """Responses per second of the window."""
        evidence = self._read()
        return Measure(sum(1 for s in evidence.samples["status"] if s) / evidence.seconds, f"responses per second in {self.name}")

    @property
    def offered(self) -> Measure:
        """Requests per second that the load meant to send."""
        return Measure(self._read().offered, f"requests per second offered in {self.name}")

    # -- parts
    @property
    def hit(self) -> Window:
        """The user requests of which a fault hit at least one attempt."""
        return self._part(True)

    @property
    def spared(self) -> Window:
        """The user requests that no fault hit."""
        return self._part(False)

    def _part(self, wanted: bool) -> Window:
        evidence = self.evidence
        faulted = {call.sequence for seen in evidence.edges.values() for call in seen.calls if call.faulted}
        keep = [(sequence in faulted) is wanted for sequence in evidence.samples["sequence"]]
        part = evidence.restricted(keep, "(hit)" if wanted else "(spared)")
        return Window(part.name, self.ledger, part, checked=self._checked)

    def edge(self, edge: str | Edge) -> EdgeWindow:
        """What went over one edge because of this window's requests."""
        return EdgeWindow(self, Edge.of(edge), checked=self._checked)

    def __repr__(self) -> str:
        return f"<{self.name}{'' if self.closed else ', open'}>"


class EdgeWindow:
    """One edge in a window. Counts are of calls the caller made; its proxy's retries are attempts."""

    def __init__(self, window: Window, edge: Edge, *, checked: bool = True) -> None:
        self.window = window
        self.edge = edge
        self._checked = checked

    @property
    def name(self) -> str:
        return f"{self.edge} in {self.window.name}"

    @property
    def ledger(self) -> Ledger:
        return self.window.ledger

    @property
    def raw(self) -> EdgeWindow:
        return EdgeWindow(self.window.raw, self.edge, checked=False)

    @property
    def evidence(self) -> EdgeEvidence:
        return self.within(self.window.evidence)

    def within(self, evidence: WindowEvidence) -> EdgeEvidence:
        """What went over the edge there. Raises Inconclusive where it was not observed."""
        edges = evidence.edges
        if self.edge not in edges:
            raise Inconclusive(
                f"{self.edge} was not observed in {evidence.name}: name it when the load starts, "
                f'load(..., observe=["{self.edge}"])' + nearest(str(self.edge), map(str, edges))
            )
        return edges[self.edge]

    @property
    def side(self) -> Side | None:
        proof = self.evidence.proof
        return proof.injection.side if proof else None

    def _read(self) -> EdgeEvidence:
        if self._checked:
            self.window._read()
            if not self.evidence.calls:
                raise Inconclusive(f"{self.name}: {self.evidence.none}; `.raw` reads its numbers unchecked")
        return self.evidence

    def _count(self, what: str, number: Callable[[Call], int]) -> Count:
        return Count(sum(map(number, self._read().calls)), f"{what} on {self.name}")

    @property
    def requests(self) -> Count:
        """Calls the caller's application made."""
        return self._count("calls", lambda call: 1)

    @property
    def attempts(self) -> Count:
        """Tries at a host, the mesh's retries included."""
        return self._count("attempts", lambda call: call.tries)

    @property
    def retries(self) -> Count:
        """Tries after the first, made by the caller's proxy (not by its application)."""
        return self._count("mesh retries", lambda call: call.retries)

    @property
    def timeouts(self) -> Count:
        """Calls that the mesh's timeout ended (flag UT)."""
        return self._count("mesh timeouts", lambda call: "UT" in call.flags)

    @property
    def faults(self) -> Count:
        """Attempts (caller side: calls) that a fault of ours hit."""
        return self._count(
            "faults", lambda call: sum(bool(HIT & a.flags) for a in call.attempts) + bool(HIT & call.flags and not call.attempts)
        )

    @property
    def rejected(self) -> Count:
        """Calls turned away by a circuit breaker: overflow (UO) or no healthy host left (UH)."""
        return self._count("rejected calls", lambda call: bool({"UO", "UH"} & call.flags))

    @property
    def ejections(self) -> Count:
        """Hosts taken out by outlier detection. Raises Inconclusive where the mesh does not tell."""
        seen = self._read().ejections
        if seen is None:
            raise Inconclusive(f"{self.name}: ejections are only seen on the private path: observe or inject on this edge")
        return Count(seen, f"ejections on {self.name}")

    def latency(self, at: str = "p95") -> Measure:
        """Seconds at a quantile of the calls, as the caller's proxy timed them."""
        q = quantile_of(at)
        values = [call.duration for call in self._read().calls]
        return Measure(latency_at(values, q) if values else math.nan, f"seconds, {at} of calls on {self.name}")

    @property
    def bystanders(self) -> BystanderNumbers:
        """Everybody else's requests on this edge meanwhile, by the mesh's own telemetry (Prometheus).

        Raises Inconclusive where the mesh has none, or it has not seen enough of the window.
        """
        if self._checked:
            self.window._read()
        others = self.evidence.bystanders
        if others is None:
            raise Inconclusive(
                f"{self.name}: nothing is known of other requests: name the mesh's Prometheus in chaos.yaml, "
                'targets: {...: {prometheus: "http://..."}}, or send bystander load, load(..., own=False)'
            )
        if others.doubt and self._checked:
            raise Inconclusive(f"{self.name}: {others.doubt}")
        return BystanderNumbers(self.name, others)

    def flags(self) -> Counter[str]:
        """Histogram of response flags (`-` for none)."""
        return Counter(",".join(sorted(call.flags)) or "-" for call in self._read().calls)

    def __repr__(self) -> str:
        return f"<{self.name}>"


class BystanderNumbers:
    """Requests on an edge that are not this run's, between the scrapes that lie inside the window."""

    def __init__(self, name: str, seen: Bystanders) -> None:
        self.name = f"bystanders on {name}"
        self._seen = seen

    @property
    def requests(self) -> Count:
        return Count(self._seen.requests, f"requests of {self.name}")

    @property
    def errors(self) -> Count:
        """Answered with 5xx or a grpc-status of a failed server, or not at all."""
        return Count(self._seen.errors, f"errors of {self.name}")

    @property
    def error_share(self) -> Measure:
        return Measure(self._seen.error_share, f"share of errors of {self.name}")

    def latency(self, at: str = "p95") -> Measure:
        """Seconds at a quantile, rounded up to the bound of a histogram's bucket."""
        return Measure(self._seen.latency(quantile_of(at)), f"seconds, {at} latency of {self.name}")

    def __repr__(self) -> str:
        return f"<{self.name}>"


def describe(value: float | int) -> str:
    """A number of a window as people read it."""
    if isinstance(value, Measure) and "seconds" in value.what:
        return f"{units.seconds(value)} ({value.what})"
    return repr(value)
