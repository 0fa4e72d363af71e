"""What did the proxies write down? Streams of own traffic, read from log lines as they come in.

A proxy's log holds lines of the private path (`istio_chaos: call | attempt`, one at the start and one at the end of each
stream) and, where the mesh writes them, of its own listeners (`istio_chaos: sidecar`). Everything else is skipped unread.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from chaos.clock import Pairing
from chaos.model import marks

FORMS: Final = ("traceparent", "baggage", "b3")
"""The headers that a proxy writes down and a mark can be in."""
_FORMS: Final = {
    forms: forms for number in range(1, len(FORMS) + 1) for forms in map(frozenset, itertools.combinations(FORMS, number))
}
"""One of each, for all streams."""
What = Literal["call", "attempt", "outbound", "inbound"]


@dataclass(slots=True, kw_only=True)
class Stream:
    """One HTTP stream through one connection manager. Times are monotonic ns; `ended` 0 = under way."""

    what: What
    pod: str
    trace: str
    started: int
    ended: int = 0
    status: int = 0
    grpc: int | None = None
    flags: frozenset[str] = frozenset()
    details: str = ""
    tries: int = 0
    method: str = ""
    path: str = ""
    route: str = ""
    private_path: str = ""
    host: str = ""
    """attempt: the replica; outbound: the upstream host."""
    cluster: str = ""
    """outbound: where the route led."""
    chaos: str = ""
    """The instruction our route gave it."""
    call: str = ""
    """Names the call, the same for its attempts."""
    forms: frozenset[str] = frozenset()
    """The headers that carried the mark."""


class Log:
    """All streams of one run's traffic, by proxy. Fed in any order of proxies, in file order within one."""

    def __init__(self, run: str, clock: Pairing) -> None:
        self._run = run.encode()
        self._prefix = run
        self.clock = clock
        """How wall-clock times of lines become ours."""
        self._started: dict[tuple[str, str], Stream] = {}
        """Under way, by (pod, stream)."""
        self._by_trace: dict[str, list[Stream]] = {}
        self._by_path: dict[str, list[Stream]] = {}

    def feed(self, pod: str, data: bytes) -> None:
        """Whole lines of one proxy's log, as they were appended."""
        for line in data.splitlines():
            if b'"istio_chaos"' in line and self._run in line:
                self._take(pod, json.loads(line))

    def streams(self, trace: str) -> list[Stream]:
        """Everything known about one trace, in the order it was read."""
        return self._by_trace.get(trace, [])

    def on(self, path: str) -> list[Stream]:
        """Calls and attempts on one private path, in the order they were read."""
        return self._by_path.get(path, [])

    def under_way(self, traces: set[str]) -> Iterator[Stream]:
        """Streams of these traces that were seen to start and not to end."""
        return (stream for stream in list(self._started.values()) if stream.trace in traces)

    def forget(self, prefix: str) -> None:
        """Drop the streams whose trace ids begin like this."""
        for trace in [trace for trace in self._by_trace if trace.startswith(prefix)]:
            del self._by_trace[trace]
        for path, streams in list(self._by_path.items()):
            kept = [stream for stream in streams if not stream.trace.startswith(prefix)]
            if kept:
                self._by_path[path] = kept
            else:
                del self._by_path[path]
        self._started = {key: stream for key, stream in self._started.items() if not stream.trace.startswith(prefix)}

    def _take(self, pod: str, line: Mapping[str, Any]) -> None:
        traces = {name: trace for name in FORMS if (trace := self._trace(line, name))}
        if not traces:
            return
        trace = next(iter(traces.values()))
        key = (pod, f"{line['istio_chaos']} {line.get('stream')}")
        ends = line.get("event") != "DownstreamStart"
        stream = self._started.pop(key, None) if ends else None
        if stream is None:
            stream = _started(pod, trace, line, self.clock, _FORMS[frozenset(traces)])
            self._by_trace.setdefault(trace, []).append(stream)
            if stream.private_path:
                self._by_path.setdefault(stream.private_path, []).append(stream)
        if ends:
            _finish(stream, line)
        else:
            self._started[key] = stream

    def _trace(self, line: Mapping[str, Any], form: str) -> str | None:
        found = marks.trace_in(str(line.get(form) or ""))
        return found if found and found.startswith(self._prefix) else None


def _started(pod: str, trace: str, line: Mapping[str, Any], clock: Pairing, forms: frozenset[str]) -> Stream:
    what = line["istio_chaos"]
    return Stream(
        what=line.get("side", "outbound") if what == "sidecar" else what,
        pod=pod,
        trace=trace,
        started=clock.monotonic_of(int(float(line["start"]) * 1e9)),
        method=_text(line, "method"),
        path=_text(line, "path"),
        private_path=_text(line, "private_path"),
        host=_text(line, "host"),
        chaos=_text(line, "chaos"),
        call=_text(line, "call"),
        forms=forms,
    )


def _finish(stream: Stream, line: Mapping[str, Any]) -> None:
    stream.ended = stream.started + _nanoseconds(line)
    stream.status = _number(line, "code") or 0
    stream.grpc = _number(line, "grpc")
    flags = _text(line, "flags")
    stream.flags = frozenset(flags.split(",")) if flags else frozenset()
    stream.details = _text(line, "details")
    stream.tries = _number(line, "tries" if "tries" in line else "attempts") or 0
    stream.route = _text(line, "route")
    stream.cluster = _text(line, "cluster")
    if not stream.host:
        stream.host = _text(line, "host")


def _nanoseconds(line: Mapping[str, Any]) -> int:
    exact = _number(line, "us") if "us" in line else _number(line, "duration_us")
    if exact is not None and exact >= 0:
        return exact * 1000
    # A stream whose response was never sent has no end in microseconds.
    return (_number(line, "ms") or 0) * 1_000_000


def _number(line: Mapping[str, Any], name: str) -> int | None:
    value = line.get(name)
    if isinstance(value, (int, float)):
        return int(value)
    return int(value) if isinstance(value, str) and value.lstrip("-").isdigit() else None


def _text(line: Mapping[str, Any], name: str) -> str:
    value = line.get(name)
    return "" if value is None or value == "-" else str(value)
