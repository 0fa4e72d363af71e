"""What is known about one stretch of time? Samples, log streams and the lives of injections become `WindowEvidence`.

A request belongs to the window of its scheduled start, and every log line of its trace goes with it. Requests whose life
overlaps an unproven transition of an injection belong to none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from chaos.injection import fault_filter
from chaos.model.breakers import Breaker, Circuit, Look, Tally, Where
from chaos.model.bystanders import Bystanders
from chaos.model.calls import Call
from chaos.model.edge import Edge
from chaos.model.injection import InjectionRecord, InjectionRequest, Side
from chaos.model.marks import FlowMark
from chaos.model.samples import TIMED_OUT, Samples
from chaos.model.window import EdgeEvidence, Kind, Proof, WindowEvidence
from chaos.observe.calls import cancelled_from_above, private_calls, sidecar_calls
from chaos.observe.circuits import tries
from chaos.observe.lines import Log, Stream
from chaos.observe.proof import proof


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedEdge:
    """An edge whose calls can be told apart in the logs."""

    edge: Edge
    paths: frozenset[str] = frozenset()
    """Private paths of this edge; empty: the callers' own logs have to do."""
    pods: frozenset[str] = frozenset()
    """The callers' proxies."""
    callee_host: str = ""
    replicas: Mapping[str, tuple[str, ...]] | None = None
    """Per private path: the callee's hosts in the order of their index."""
    policy: tuple[str, ...] = ()
    policy_timeout: float | None = None
    longest_timeout: float = 0.0
    """Seconds: the longest timeout any route of the edge sets; 0 = none."""
    declared_retries: int = 0
    private_only: bool = False
    """The mesh writes down calls on private paths alone."""
    breakers: tuple[Breaker, ...] = ()
    """Of its private paths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What is asked of `gather`: which window of which load."""

    name: str
    start: int
    end: int
    mark: FlowMark
    samples: Samples
    """All of the load so far."""
    scheduled: int
    offered: float
    timeout: float
    open_model: bool
    doubts: tuple[str, ...] = ()
    cut_short: bool = False
    follows: bool = False
    """It lasts as long as the injections do, whichever begin and end in it: a guard's."""
    reached_by: Callable[[InjectionRequest], bool] = lambda _: True
    """Can an injection hit requests of this load at all?"""


def _kind(stretch: Stretch, injections: Sequence[InjectionRecord], reaching: Sequence[InjectionRecord]) -> Kind:
    """steady before the first injection, fault while one is on that reaches this load (else bystander), recovery after."""
    if any(_live(i, stretch.start, stretch.end) for i in injections):
        return "fault" if any(_live(i, stretch.start, stretch.end) for i in reaching) else "bystander"
    return "recovery" if any(i.written and i.written < stretch.end for i in injections) else "steady"


def _goes_past(injection: InjectionRecord, stretch: Stretch, log: Log, edges: Sequence[ObservedEdge]) -> bool:
    """Other loads of the experiment were hit meanwhile, so the injection acts; this one never calls on its edge."""
    observed = next((each for each in edges if each.edge == injection.request.edge), None)
    if observed is None:
        return False
    samples = stretch.samples.between(stretch.start, stretch.end)
    own = (stream for n in samples["sequence"] for stream in log.streams(stretch.mark.trace_id(n)))
    if any(stream.private_path in observed.paths for stream in own):
        return False
    return any(
        stream.started < stretch.end
        and (not stream.ended or stream.ended > stretch.start)  # a call that is held back begins no other
        and injection.number in _armed(stream, observed)
        for path in observed.paths
        for stream in log.on(path)
    )


def gather(
    stretch: Stretch,
    *,
    log: Log,
    injections: Sequence[InjectionRecord],
    edges: Sequence[ObservedEdge],
    resolve: Callable[[Edge], ObservedEdge | None],
    steady: WindowEvidence | None,
    tally: Tally = Tally(),  # noqa: B008 - frozen
    looks: Mapping[Where, Sequence[Look]] | None = None,
    bystanders: Callable[[Edge, int, int], Bystanders | None] = lambda *_: None,
    walked: Callable[[str, str], Edge | None] = lambda *_: None,
) -> WindowEvidence:
    """Everything known about the stretch. `resolve` finds edges that nobody named before (None: no such edge), `walked` those
    that a pod's proxy went over when it called a host.

    `tally` counts what breakers did in the window, `looks` at them are those of the whole experiment: they open and close in their
    own time. `bystanders` asks the mesh's telemetry of an edge in [start, end) ns; None where there is none.
    """
    reaching = [i for i in injections if stretch.reached_by(i.request) and not _goes_past(i, stretch, log, edges)]
    kind = _kind(stretch, injections, reaching)
    aside = tuple(i for i in injections if _live(i, stretch.start, stretch.end) and i not in reaching)
    injections = reaching
    scheduled = stretch.samples.between(stretch.start, stretch.end)
    samples = clear_of_transitions(scheduled, injections)
    live = tuple(i for i in injections if _live(i, stretch.start, stretch.end))
    seen_aside = _Aside(history=injections, tally=tally, looks=looks or {}, bystanders=bystanders, walked=walked)
    book = _Edges(stretch, samples, log, live, seen_aside, resolve, {observed.edge: observed for observed in edges})
    ended = [f"{i} was ended early: {i.aborted}" for i in live if i.aborted and not i.guarded]
    mixed = [] if stretch.follows else _mixed(stretch, injections)
    doubts = [*stretch.doubts, *mixed, *ended, *book.unproven()]
    return WindowEvidence(
        name=f"{stretch.name} ({kind})",
        kind=kind,
        start=stretch.start,
        end=stretch.end,
        samples=samples,
        scheduled=stretch.scheduled,
        transition=len(scheduled) - len(samples),
        offered=stretch.offered,
        timeout=stretch.timeout,
        open_model=stretch.open_model,
        doubts=tuple(doubts),
        edges=book,
        unnamed=book.unnamed,
        injections=live,
        aside=aside,
        steady=steady,
        cut_short=stretch.cut_short,
    )


def _live(injection: InjectionRecord, start: int, end: int) -> bool:
    """On at some moment of the window; whether it was on during all of it is `_mixed`'s question."""
    return bool(injection.written) and injection.written < end and not (injection.gone and injection.gone <= start)


def _mixed(stretch: Stretch, injections: Sequence[InjectionRecord]) -> list[str]:
    found = []
    for injection in injections:
        if not _live(injection, stretch.start, stretch.end):
            continue
        if not injection.proven or injection.proven > stretch.start or (injection.withdrawn and injection.withdrawn < stretch.end):
            found.append(
                f"{injection} began or ended inside this window, which is neither with nor without it; "
                "take one window while it is on and another after it"
            )
    return found


def clear_of_transitions(samples: Samples, injections: Sequence[InjectionRecord]) -> Samples:
    """Requests of which no part met an injection that was neither proven in force nor proven gone."""
    lives = zip(samples["scheduled"], samples["ended"], strict=True)
    return samples.where([not _in_transition(scheduled, ended, injections) for scheduled, ended in lives])


def _in_transition(scheduled: int, ended: int, injections: Sequence[InjectionRecord]) -> bool:
    for injection in injections:
        for first, last in ((injection.written, injection.proven), (injection.withdrawn, injection.gone)):
            if first and scheduled <= (last or ended) and ended >= first:
                return True
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Aside:
    """What is known besides samples and log lines."""

    history: Sequence[InjectionRecord]
    tally: Tally
    looks: Mapping[Where, Sequence[Look]]
    bystanders: Callable[[Edge, int, int], Bystanders | None]
    walked: Callable[[str, str], Edge | None]


class _Edges(Mapping[Edge, EdgeEvidence]):
    """Evidence by edge, gathered when it is asked for. Iterates over the edges that were named before the load."""

    def __init__(
        self,
        stretch: Stretch,
        samples: Samples,
        log: Log,
        live: Sequence[InjectionRecord],
        aside: _Aside,
        resolve: Callable[[Edge], ObservedEdge | None],
        known: Mapping[Edge, ObservedEdge],
    ) -> None:
        self._known = dict(known)
        self._live = live
        self._aside = aside
        self._resolve = resolve
        self._stretch = stretch
        self._made: dict[Edge, EdgeEvidence] = {}
        self._mark = stretch.mark
        self._samples = samples
        self._log = log
        self._streams: list[tuple[int, Stream]] | None = None

    def __getitem__(self, edge: Edge) -> EdgeEvidence:
        if edge not in self._made:
            observed = self._known.get(edge) or self._resolve(edge)
            if observed is None:
                raise KeyError(edge)
            # The same edge may be spelt with or without its namespace.
            if observed.edge in self._known:
                observed = self._known[observed.edge]
            self._made[edge] = self._evidence(observed)
        return self._made[edge]

    def __contains__(self, edge: object) -> bool:
        try:
            self[edge]  # type: ignore[index]
        except KeyError:
            return False
        return True

    def __iter__(self) -> Iterator[Edge]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def unnamed(self) -> tuple[EdgeEvidence, ...]:
        """What the callers' own logs show of edges that nobody named."""
        outbound = (stream for _, stream in self._all_streams() if stream.what == "outbound")
        calls = {(stream.pod, stream.cluster.rpartition("|")[2]) for stream in outbound}
        named = {(pod, observed.callee_host) for observed in self._known.values() for pod in observed.pods}
        edges = dict.fromkeys(edge for pod, host in sorted(calls - named) if (edge := self._aside.walked(pod, host)))
        return tuple(self[edge] for edge in edges if edge in self)

    def unproven(self) -> list[str]:
        """Reasons why an injection of this window has not been shown to act."""
        found = []
        for injection in self._live:
            seen = self.get(injection.request.edge)
            if seen is None:
                found.append(f"{injection}: nothing was observed on its edge")
                continue
            judged = self._proof(injection, seen.calls)
            if not judged.proven:
                found.append(f"{injection} is not proven: {judged.reason if seen.calls else seen.none}")
        return found

    def _proof(self, injection: InjectionRecord, calls: Sequence[Call]) -> Proof:
        number, at_caller = injection.number, injection.side is Side.CALLER
        units_ = calls if at_caller else [attempt for call in calls for attempt in call.attempts]
        observed = self._known[injection.request.edge]
        since = [
            stream
            for path in observed.paths
            for stream in self._log.on(path)
            if (stream.what == "call") is at_caller and stream.ended and number in _armed(stream, observed)
        ]
        passed = sum(1 for _, stream in self._all_streams() if stream.what == "call" and stream.private_path in observed.paths)
        return proof(injection, [unit for unit in units_ if number in unit.armed], since=since, passed=passed)

    def _lost(self, observed: ObservedEdge) -> str:
        """How far the run's own requests were seen, when none came over this edge, and why that may be."""
        caller = observed.edge.caller.name if observed.edge.caller else ""
        before = {path for known in self._known.values() if known.edge.callee.name == caller for path in known.paths}
        streams = [stream for _, stream in self._all_streams()]
        not_forwarded = "does not forward traceparent, baggage or the B3 headers"
        if any(_came_to(stream, observed.pods, before) for stream in streams):
            return (
                f"their mark came to {caller or 'the caller'}, and was on no call from there to {observed.edge.callee}: either it "
                f"makes none for these requests, or it {not_forwarded}"
            )
        seen = ", ".join(sorted({stream.pod for stream in streams})) or "no proxy's log"
        return (
            f"their mark was seen in {seen}: either no call is made here for these requests, or somebody on the way {not_forwarded}"
        )

    def _all_streams(self) -> list[tuple[int, Stream]]:
        if self._streams is None:
            mark, log = self._mark, self._log
            self._streams = [(n, s) for n in self._samples["sequence"] for s in log.streams(mark.trace_id(n))]
        return self._streams

    def _evidence(self, observed: ObservedEdge) -> EdgeEvidence:
        streams = self._all_streams()
        # What took the private path names our cluster in the callers' own logs, so that no call is counted twice.
        private = private_calls(streams, observed.paths, lambda stream: _armed(stream, observed))
        plain = sidecar_calls(streams, observed.pods, observed.callee_host)
        cuts = self._cuts()
        calls = [
            replace(call, cancelled=True) if cancelled_from_above(call, cuts) else call
            for call in sorted([*private, *plain], key=lambda call: (call.sequence, call.started))
        ]
        # Bystanders go the plain way, where nothing of the private path's own happens to them.
        privately = bool(observed.paths) and not (plain and not private)
        proofs = [self._proof(i, calls) for i in self._live if i.request.edge == observed.edge]
        return EdgeEvidence(
            edge=observed.edge,
            source="private path" if privately else "access log",
            calls=tuple(calls),
            proof=min(proofs, key=lambda p: p.proven, default=None),
            ejections=self._aside.tally.ejections.get(observed.edge) if privately else None,
            policy=observed.policy,
            policy_timeout=observed.policy_timeout,
            declared_retries=observed.declared_retries,
            private_only=observed.private_only,
            forms=frozenset().union(*(s.forms for _, s in streams if s.what == "call" and s.private_path in observed.paths)),
            lost="" if calls else self._lost(observed),
            circuit=self._circuit(observed) if privately else None,
            bystanders=self._aside.bystanders(observed.edge, self._stretch.start, self._stretch.end),
        )

    def _circuit(self, observed: ObservedEdge) -> Circuit:
        mine = [i for i in self._aside.history if i.request.edge == observed.edge and i.written]
        live = {i.number for i in self._live}
        meant = frozenset(i.number for i in mine if i.number in live) or frozenset(i.number for i in mine[-1:])
        where = {(proxy, breaker.cluster) for breaker in observed.breakers for proxy in breaker.proxies}
        return Circuit(
            breakers=observed.breakers,
            looks={place: looks for place, looks in self._aside.looks.items() if place in where},
            tries=tries(self._log, observed.paths, lambda stream: _armed(stream, observed), meant),
            gone=max((i.gone for i in mine), default=0) if all(i.gone for i in mine) else 0,
            overflows=self._aside.tally.overflows.get(observed.edge),
        )

    def _cuts(self) -> dict[tuple[str, int], list[int]]:
        cuts: dict[tuple[str, int], list[int]] = defaultdict(list)
        gave_up = {
            sequence: ended
            for sequence, ended, error in zip(
                self._samples["sequence"], self._samples["ended"], self._samples["error"], strict=True
            )
            if self._samples.tables.texts[error] == TIMED_OUT
        }
        for sequence, stream in self._all_streams():
            if stream.what == "inbound" and "DC" in stream.flags:
                cuts[stream.pod, sequence].append(stream.ended)
            elif sequence in gave_up:
                cuts[stream.pod, sequence].append(gave_up[sequence])
        return cuts


def _armed(stream: Stream, observed: ObservedEdge) -> frozenset[int]:
    if stream.what == "call":
        return fault_filter.drawn(stream.chaos, None)
    hosts = (observed.replicas or {}).get(stream.private_path, ())
    return fault_filter.drawn(stream.chaos, hosts.index(stream.host)) if stream.host in hosts else frozenset()


def _came_to(stream: Stream, pods: frozenset[str], before: Collection[str]) -> bool:
    """Was it served by one of these pods: by their own logs, or those of the private paths that lead there?"""
    return (stream.what == "inbound" and stream.pod in pods) or (stream.what == "attempt" and stream.private_path in before)
