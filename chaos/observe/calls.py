"""Which attempts belong to which call? Streams of the traces of one window become `Call`s on an edge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from chaos.model.calls import Attempt, Call
from chaos.observe.lines import Stream

CANCELLED_WITHIN = 50_000_000
"""ns: a caller gone this soon after its own caller was cancelled says nothing about its patience (verdicts.md rule 9)."""

Armed = Callable[[Stream], frozenset[int]]
"""Injections whose fault the filter drew on this stream."""


def private_calls(streams: Iterable[tuple[int, Stream]], paths: frozenset[str], armed: Armed) -> list[Call]:
    """Calls on the private paths named, from (sequence, stream) pairs, in the order they started."""
    calls: list[tuple[int, Stream]] = []
    attempts: Mapping[tuple[str, str], list[Stream]] = defaultdict(list)
    for sequence, stream in streams:
        if stream.private_path not in paths:
            continue
        if stream.what == "call":
            calls.append((sequence, stream))
        elif stream.what == "attempt":
            attempts[stream.pod, stream.call].append(stream)
    made = [_call(sequence, stream, attempts[stream.pod, stream.call], armed) for sequence, stream in calls]
    return sorted(made, key=lambda call: call.started)


def sidecar_calls(streams: Iterable[tuple[int, Stream]], pods: frozenset[str], callee_host: str) -> list[Call]:
    """Calls that the callers' own access logs show, where no private path stands."""
    made = [
        _call(sequence, stream, [], lambda _: frozenset())
        for sequence, stream in streams
        if stream.what == "outbound" and stream.pod in pods and stream.cluster.rpartition("|")[2] == callee_host
    ]
    return sorted(made, key=lambda call: call.started)


def cancelled_from_above(call: Call, parents: Mapping[tuple[str, int], list[int]]) -> bool:
    """Did it end because its own caller was cancelled?

    `parents` has, by (proxy, sequence), the moments at which an inbound stream of that proxy, or the load's own request, was cut.
    """
    if "DC" not in call.flags:
        return False
    cuts = parents.get((call.proxy, call.sequence), ())
    return any(call.ended - CANCELLED_WITHIN <= cut <= call.ended + CANCELLED_WITHIN // 10 for cut in cuts)


def _call(sequence: int, stream: Stream, attempts: list[Stream], armed: Armed) -> Call:
    tried = tuple(
        Attempt(
            started=a.started, ended=a.ended, status=a.status, grpc=a.grpc, flags=a.flags, host=a.host, armed=armed(a),
        )
        for a in sorted(attempts, key=lambda a: a.started)
    )  # fmt: skip
    return Call(
        sequence=sequence,
        started=stream.started,
        ended=stream.ended,
        status=stream.status,
        grpc=stream.grpc,
        flags=stream.flags,
        details=stream.details,
        method=stream.method,
        path=stream.path,
        route=stream.route,
        tries=stream.tries,
        attempts=tried,
        armed=armed(stream),
        proxy=stream.pod,
        cluster=stream.cluster,
    )
