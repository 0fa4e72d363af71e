"""What do breakers see of the attempts on an edge? The order in which each host's answers came, counted as Envoy counts them.

Facts (Envoy's outlier detection): a gRPC status counts by its HTTP counterpart, a time-out of the router as 504, a connection
that failed or was lost as 503. That the caller's caller went away is no answer of the host and does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from chaos.envoy.policy import counted_status
from chaos.model.breakers import Try
from chaos.observe.lines import Log, Stream

LOST = frozenset({"UF", "UC", "UR", "LR"})
"""Connect failure, connection lost, reset by the other side or here."""


def tries(log: Log, paths: Collection[str], armed: Callable[[Stream], frozenset[int]], numbers: frozenset[int]) -> tuple[Try, ...]:
    """Every attempt on these private paths that has ended, in that order. `numbers`: the injections that are meant."""
    streams = [stream for path in paths for stream in log.on(path) if stream.ended]
    calls = {(stream.pod, stream.call): stream for stream in streams if stream.what == "call"}
    by_call: dict[tuple[str, str], list[Stream]] = {}
    for stream in streams:
        if stream.what == "attempt":
            by_call.setdefault((stream.pod, stream.call), []).append(stream)
    found = [
        Try(
            proxy=attempt.pod,
            cluster=calls[key].cluster,
            host=attempt.host,
            started=attempt.started,
            ended=attempt.ended,
            status=status,
            faulted=bool(armed(attempt) & numbers),
        )
        for key, attempts in by_call.items()
        if key in calls
        for attempt, status in _counted(calls[key], sorted(attempts, key=lambda each: each.started))
    ]
    return tuple(sorted(found, key=lambda each: each.ended))


def _counted(call: Stream, attempts: Sequence[Stream]) -> Iterable[tuple[Stream, int]]:
    """The attempts that outlier detection hears of, with the status it counts."""
    for attempt in attempts:
        if attempt.flags & LOST:
            yield attempt, 503
        elif attempt.status:
            yield attempt, counted_status(attempt.status, attempt.grpc)
        elif attempt is not attempts[-1] or "UT" in call.flags:
            yield attempt, 504
