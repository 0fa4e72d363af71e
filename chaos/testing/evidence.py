"""How does one get evidence without a mesh? Small builders for requests, calls, edges and windows, to test claims with.

Everything has a default of a healthy system: 300 requests at 100 per second, answered with 200 after 20 ms. What a test is
about is given as one value for all, or as a function of the request's number:

    fault = window(requests(latency=lambda i: 7.0 if i % 2 else 0.02), kind="fault")
    expect(closed(fault)).to_respond_within("6.5s")
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeAlias, TypeVar

from chaos.claims.subjects import Guardian
from chaos.model.breakers import Breaker, Circuit, Look, Try
from chaos.model.calls import Attempt, Call
from chaos.model.edge import Edge
from chaos.model.fault import Fault
from chaos.model.injection import InjectionRecord, InjectionRequest, Side
from chaos.model.samples import Response, Samples, Tables
from chaos.model.verdict import Ledger
from chaos.model.window import EdgeEvidence, Kind, Outlook, Proof, Window, WindowEvidence

T = TypeVar("T")
Each: TypeAlias = T | Callable[[int], T]
"""One value for all, or a function of the number."""

SECOND = 1_000_000_000
_PROXY, _CLUSTER = "reviews-v2.bookinfo", "istio-chaos.test.1.0"


def requests(
    count: int = 300,
    *,
    rate: float = 100,
    first: int = 0,
    start: float = 100.0,
    latency: Each[float] = 0.02,
    status: Each[int] = 200,
    error: Each[str] = "",
    grpc: Each[int] = -1,
    response: Each[Response | None] = None,
    lag: Each[float] = 0.0,
    unsent: Collection[int] = (),
) -> Samples:
    """User requests at even distances. Times in seconds; `first` is the first sequence number, `unsent` counts from 0."""
    texts, responses = _Table(""), _Table[Response | None](None)
    rows = []
    for i in range(count):
        due = int((start + i / rate) * SECOND)
        sent = i not in unsent
        rows.append(
            {
                "sequence": first + i,
                "scheduled": due,
                "sent": due + int(_of(lag, i) * SECOND) if sent else 0,
                "ended": due + int(_of(latency, i) * SECOND) if sent else 0,
                "status": _of(status, i) if sent else 0,
                "grpc": _of(grpc, i),
                "error": texts.index(_of(error, i) if sent else "unsent"),
                "response": responses.index(_of(response, i)),
            }
        )
    return Samples.of(rows, Tables(texts.values, responses.values))


def call(
    sequence: int,
    *,
    started: int,
    seconds: float = 0.01,
    status: int = 200,
    flags: str = "",
    attempts: tuple[Attempt, ...] = (),
    tries: int | None = None,
    grpc: int | None = None,
    method: str = "GET",
    details: str = "",
    cancelled: bool = False,
) -> Call:
    """One call; `started` in monotonic ns, `flags` as Envoy writes them: "DI,UT"."""
    return Call(
        sequence=sequence,
        started=started,
        ended=started + int(seconds * SECOND),
        status=status,
        grpc=grpc,
        flags=_flags(flags),
        details=details,
        method=method,
        tries=tries if tries is not None else max(1, len(attempts)),
        attempts=attempts,
        cancelled=cancelled,
    )


def attempts(started: int, *tries: tuple[float, int, str], gap: float = 0.025) -> tuple[Attempt, ...]:
    """Attempts one after the other, each (seconds, status, flags), with `gap` seconds between them."""
    made = []
    for seconds, status, flags in tries:
        ended = started + int(seconds * SECOND)
        made.append(Attempt(started=started, ended=ended, status=status, flags=_flags(flags), host="127.0.0.9:9080"))
        started = ended + int(gap * SECOND)
    return tuple(made)


def calls(samples: Samples, one: Callable[[int, int], Call | Iterable[Call]] | None = None) -> tuple[Call, ...]:
    """What every user request called: `one(sequence, started)` gives the call, or the calls, of one of them."""
    made: list[Call] = []
    for sequence, scheduled in zip(samples["sequence"], samples["scheduled"], strict=True):
        seen = one(sequence, scheduled) if one else call(sequence, started=scheduled)
        made += [seen] if isinstance(seen, Call) else seen
    return tuple(sorted(made, key=lambda each: (each.sequence, each.started)))


def injection(fault: Fault, edge: str, *, side: Side = Side.CALLEE) -> InjectionRecord:
    """One that was in force."""
    request = InjectionRequest(fault=fault, edge=Edge.of(edge), side=side)
    return InjectionRecord(
        number=1,
        request=request,
        side=side,
        reason="asked for",
        callers=("caller.bookinfo",),
        written=1,
        proven=2,
        withdrawn=3,
        gone=4,
    )


def edge(
    name: str,
    calls: Iterable[Call] = (),
    *,
    injection: InjectionRecord | None = None,
    unproven: str = "",
    policy: tuple[str, ...] = ("default: no timeout, 2 retries on connect-failure",),
    **known: object,
) -> EdgeEvidence:
    """What went over one edge. `unproven`: why the injection on it is not proven; `known`: further fields of EdgeEvidence."""
    seen = EdgeEvidence(edge=Edge.of(name), source="private path", calls=tuple(calls), policy=policy)
    if injection is not None:
        hit = sum(made.faulted for made in seen.calls)
        proof = Proof(
            injection=injection,
            drawn=hit,
            hit={"delay": hit},
            proven=not unproven,
            reason=unproven or f"{hit} of {hit} attempts were hit",
        )
        seen = replace(seen, proof=proof)
    return replace(seen, **known)  # type: ignore[arg-type]


def circuit(
    answers: Mapping[str, Iterable[tuple[float, int]]],
    *,
    out: Mapping[str, Iterable[tuple[float, float]]] | None = None,
    until: float = 105.0,
    every: float = 0.2,
    gone: float = 0.0,
    faulted: bool = True,
    overflows: Mapping[str, int] | None = None,
    **policy: object,
) -> Circuit:
    """One breaker in one proxy: what each host answered (second, status), and when it was out (from, until: seconds).

    Looked at `every` so many seconds from second 100 to `until`. `policy`: fields of Breaker; if not given 3 x 5xx,
    one second, all hosts.
    """
    known: dict[str, object] = {"consecutive_5xx": 3, "interval": 1.0, "base_ejection": 1.0, "max_ejection_percent": 100, **policy}
    breaker = Breaker(cluster=_CLUSTER, name="ratings.bookinfo:9080", proxies=(_PROXY,), hosts=tuple(answers), **known)  # type: ignore[arg-type]
    times = [100 + i * every for i in range(int((until - 100) / every) + 1)]
    stretches = {host: tuple(stretch) for host, stretch in (out or {}).items()}
    looks = [
        Look(int(at * SECOND), frozenset(h for h, found in stretches.items() if any(start <= at < end for start, end in found)))
        for at in times
    ]
    tries = [
        Try(
            proxy=_PROXY,
            cluster=_CLUSTER,
            host=host,
            started=int(at * SECOND) - 1_000_000,
            ended=int(at * SECOND),
            status=status,
            faulted=faulted,
        )
        for host, given in answers.items()
        for at, status in given
    ]
    return Circuit(
        breakers=(breaker,),
        looks={(_PROXY, _CLUSTER): looks},
        tries=tuple(sorted(tries, key=lambda each: each.ended)),
        gone=int(gone * SECOND),
        overflows=overflows,
    )


def window(
    samples: Samples | None = None,
    *,
    kind: Kind = "fault",
    name: str = "",
    edges: Iterable[EdgeEvidence] = (),
    injections: Iterable[InjectionRecord] | None = None,
    steady: WindowEvidence | None = None,
    scheduled: int | None = None,
    offered: float | None = None,
    timeout: float = 30.0,
    **known: object,
) -> WindowEvidence:
    """A window over these requests. Its injections are those of its edges, unless given; `known`: further fields."""
    samples = requests() if samples is None else samples
    edges = tuple(edges)
    dues = samples["scheduled"]
    start, last = (dues[0], dues[-1]) if len(dues) else (100 * SECOND, 100 * SECOND)
    spacing = (last - start) / (len(dues) - 1) if len(dues) > 1 else SECOND
    of_edges = tuple(seen.proof.injection for seen in edges if seen.proof is not None)
    evidence = WindowEvidence(
        name=name or f"window {1 if kind == 'steady' else 2} ({kind}) of /productpage",
        kind=kind,
        start=start,
        end=last + int(spacing),
        samples=samples,
        scheduled=len(samples) if scheduled is None else scheduled,
        offered=SECOND / spacing if offered is None else offered,
        timeout=timeout,
        edges={seen.edge: seen for seen in edges},
        injections=of_edges if injections is None else tuple(injections),
        steady=steady,
    )
    return replace(evidence, **known)  # type: ignore[arg-type]


def closed(evidence: WindowEvidence, ledger: Ledger | None = None) -> Window:
    """The window that an experiment would hold after its block has ended."""
    return Window(evidence.name, ledger or Ledger(), evidence)


@dataclass(frozen=True, slots=True)
class Ended:
    """An injection whose block has ended, for `to_recover(after=...)`."""

    record: InjectionRecord


class Flowed:
    """Load that has flowed: `steady`, then `fault` (its injections say from when to when), then the requests `after` it."""

    def __init__(self, steady: WindowEvidence | None, fault: WindowEvidence, after: Samples, ledger: Ledger | None = None) -> None:
        self.target = "/productpage"
        self.ledger = ledger or Ledger()
        self.steady = steady
        self.guards: list[Guardian] = []
        self._fault = fault
        self._after = after

    @property
    def outlook(self) -> Outlook:
        return Outlook(rate=None, steady=self.steady, looked_at=True, tell=lambda _: None)

    def between(self, start: int, end: int) -> Window:
        found = self._after.between(start, end)
        name = "window 3 (recovery) of /productpage"
        return closed(window(found, kind="recovery", name=name, steady=self.steady, start=start, end=end), self.ledger)

    def under(self, injection: InjectionRecord) -> WindowEvidence:
        return self._fault

    def requests(self, start: int, end: int) -> Samples:
        return self._after.between(start, end)

    def faulted(self, *, ended: bool = False, patience: float = math.inf) -> WindowEvidence:
        return self._fault

    def guard(self, guard: Guardian) -> None:
        self.guards.append(guard)

    def __repr__(self) -> str:
        return f"<load on {self.target}>"


class _Table(Generic[T]):
    """Distinct values by index, as the load keeps texts and responses; index 0 is "none"."""

    def __init__(self, none: T) -> None:
        self.values = [none]

    def index(self, value: T) -> int:
        if value not in self.values:
            self.values.append(value)
        return self.values.index(value)


def _of(each: Each[T], number: int) -> T:
    return each(number) if callable(each) else each


def _flags(text: str) -> frozenset[str]:
    return frozenset(text.split(",")) if text else frozenset()
