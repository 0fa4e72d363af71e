"""What is a circuit breaker, and what was seen of it? Policy, looks at its state, and the attempts that decide on it.

Envoy keeps the state of outlier detection per proxy, cluster and host, and that of the limits (connections, pending requests,
requests, retries) per proxy and cluster. Ours are those of the private path: copies that own traffic has to itself.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chaos.model.edge import Edge

Where = tuple[str, str]
"""(proxy, cluster)"""
LONGEST_EJECTION = 300.0
"""Seconds: Envoy's max_ejection_time, which Istio does not set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """One cluster of the private path: when it takes out a host, and how much it lets through."""

    cluster: str
    name: str
    """As people know it: `ratings.bookinfo:9080 v1`."""
    proxies: tuple[str, ...]
    hosts: tuple[str, ...]
    consecutive_5xx: int = 0
    """0: not counted."""
    consecutive_gateway: int = 0
    interval: float = 10.0
    """Seconds between two looks of Envoy at whose ejection is over."""
    base_ejection: float = 30.0
    max_ejection_percent: int = 0
    limits: Mapping[str, int] = field(default_factory=dict)
    """connections, pending requests, requests, retries: those that are set."""

    @property
    def ejects(self) -> bool:
        """Does it have outlier detection that counts answers?"""
        return bool(self.consecutive_5xx or self.consecutive_gateway)

    @property
    def may_eject(self) -> int:
        """Hosts that may be out at once: strictly the percentage since Envoy 1.28, so 10 % of 9 hosts is none."""
        return len(self.hosts) * self.max_ejection_percent // 100 if self.ejects else 0

    def ejected_for(self, times: int) -> float:
        """Seconds of the ejection that is the `times`-th of a host: each is longer by the base."""
        return min(self.base_ejection * times, LONGEST_EJECTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How often breakers have acted on each edge so far, as the proxies count it; an edge whose proxies do not is absent."""

    ejections: Mapping[Edge, int] = field(default_factory=dict)
    overflows: Mapping[Edge, Mapping[str, int]] = field(default_factory=dict)
    """What was turned away, by the limit that did."""

    def since(self, before: Tally) -> Tally:
        """What was added."""
        return Tally(
            ejections={edge: count - before.ejections.get(edge, 0) for edge, count in self.ejections.items()},
            overflows={
                edge: {limit: count - before.overflows.get(edge, {}).get(limit, 0) for limit, count in counts.items()}
                for edge, counts in self.overflows.items()
            },
        )


@dataclass(frozen=True, slots=True)
class Look:
    """The hosts that were out when one proxy was asked."""

    at: int
    """Monotonic ns."""
    ejected: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One attempt at a host, as outlier detection sees it."""

    proxy: str
    cluster: str
    host: str
    started: int
    ended: int
    status: int
    """The HTTP status that is counted: a gRPC status by its counterpart, 504 for a time-out, 503 for a lost connection."""
    faulted: bool
    """A fault of ours was drawn on it."""


@dataclass(frozen=True, slots=True)
class Out:
    """A host was out: not yet at `before`, at `seen` it was; still at `last`, no longer at `back` (0: not seen to come back)."""

    before: int
    seen: int
    last: int
    back: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """What is known of the breakers of one edge, since the fault on it began."""

    breakers: tuple[Breaker, ...] = ()
    looks: Mapping[Where, Sequence[Look]] = field(default_factory=dict)
    """In the order of time; a proxy that was never asked is absent."""
    tries: tuple[Try, ...] = ()
    """In the order they ended."""
    gone: int = 0
    """When the last injection on the edge was proven gone; 0 while one is on, or if there was none."""
    overflows: Mapping[str, int] | None = None
    """What was turned away in the window, by the limit that did; None where the proxies keep no such counters."""

    def outs(self, where: Where, host: str) -> list[Out]:
        """The times in which a host was out, as far as looks tell."""
        found: list[Out] = []
        before = 0
        for look in self.looks.get(where, ()):
            out = host in look.ejected
            open_one = found[-1] if found and not found[-1].back else None
            if out and open_one is None:
                found.append(Out(before, look.at, look.at, 0))
            elif open_one is not None:
                found[-1] = Out(open_one.before, open_one.seen, look.at if out else open_one.last, 0 if out else look.at)
            before = look.at if not out else before
        return found

    def next_look(self, where: Where, at: int) -> Look | None:
        """The first look not before `at`."""
        looks = self.looks.get(where, ())
        index = bisect_left(looks, at, key=lambda look: look.at)
        return looks[index] if index < len(looks) else None
