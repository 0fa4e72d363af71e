"""What happened on an edge? One `Call` per request of the caller, with the attempts its proxy made for it.

A call is one line of the caller's outbound log (mesh retries inside), an attempt one try at one host. Both come from the
access log of the private path (`chaos.observe` reads it); edges without one have calls from the sidecar's own log, whose
attempts are only counted.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at one host of the callee. Times are monotonic ns."""

    started: int
    ended: int
    status: int
    """HTTP status; 0 when there was no response."""
    grpc: int | None = None
    flags: frozenset[str] = frozenset()
    """Envoy's response flags: DI, FI, UT, UF, UC, DC ..."""
    host: str = ""
    """ip:port of the replica."""
    armed: frozenset[int] = frozenset()
    """Numbers of the injections whose fault drew on it (whether it hit or not)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request on the edge. Times are monotonic ns."""

    sequence: int
    """Number of the user request that caused it, within its load."""
    started: int
    ended: int
    status: int
    grpc: int | None = None
    flags: frozenset[str] = frozenset()
    """UT timeout, URX retry limit, UO overflow, UH no healthy host, UF connect failure, DC caller gone, FI, DI ..."""
    details: str = ""
    """Envoy's RESPONSE_CODE_DETAILS: why this status."""
    method: str = "GET"
    path: str = ""
    route: str = ""
    """Name of the route it took: tells which policy applied."""
    tries: int = 1
    """UPSTREAM_REQUEST_ATTEMPT_COUNT: 0 when no host was asked."""
    attempts: tuple[Attempt, ...] = ()
    """In order; empty where only `tries` is known (sidecar log)."""
    armed: frozenset[int] = frozenset()
    """Numbers of the caller-side injections whose fault drew on it."""
    proxy: str = ""
    """The caller's proxy: `reviews-v2.bookinfo`."""
    cluster: str = ""
    """Where its last attempt went: of a private path its copy, else the proxy's own."""
    cancelled: bool = False
    """Ended (DC) because its own parent request was cancelled within 50 ms before: that says nothing of the caller's patience."""

    @property
    def duration(self) -> float:
        """Seconds."""
        return (self.ended - self.started) / 1e9

    @property
    def retries(self) -> int:
        return max(0, self.tries - 1)

    @property
    def faulted(self) -> bool:
        """A fault really hit it, or one of its attempts: the flag is there, not only the draw."""
        return bool(HIT & self.flags) or any(HIT & attempt.flags for attempt in self.attempts)


HIT = frozenset({"FI", "DI"})
"""Flags of Envoy's fault filter: abort and delay injected."""
