"""Has a breaker reason to open, and can it? The arithmetic that every claim on circuit breakers stands on.

Outlier detection counts answers per (caller's proxy, cluster, host): so many bad ones in a row, and the host is out. How many
hosts may be out at once is a percentage that Envoy takes strictly. A limit (connections, requests ...) is per proxy and cluster.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from chaos.claims.claim import Claim, Levels
from chaos.claims.explanation import counted
from chaos.claims.retries import CALLER_SIDE
from chaos.claims.subjects import EdgeSubject
from chaos.envoy.policy import GATEWAY_ERRORS, EdgePolicy, Failure
from chaos.injection.side import failure as failure_of
from chaos.model import units
from chaos.model.breakers import Breaker, Circuit, Out, Try, Where
from chaos.model.fault import Fault
from chaos.model.injection import Side
from chaos.stats.runs import expected_draws
from chaos.stats.sequential import SHARE_LOOKS

NO_PATH = "no private path stands on this edge, so the state of its breakers is not seen; inject here, or observe it from the start"


class BreakerClaim(Claim[EdgeSubject]):
    """What claims on breakers under a fault have in common. Without one there is nothing to compare with."""

    looks = SHARE_LOOKS

    @abstractmethod
    def lacking(self, circuit: Circuit) -> str:
        """What the edge would need for such a claim, and does not have; empty if it has it."""

    def refusal(self, subject: EdgeSubject) -> str:
        if subject.side is Side.CALLER:
            return CALLER_SIDE
        return self.lacking(subject.seen.circuit) if subject.seen.circuit is not None else ""

    def doubt(self, subject: EdgeSubject) -> str:
        return "" if subject.seen.circuit is not None else NO_PATH

    def baseline(self, steady: EdgeSubject, levels: Levels) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One host as one caller's proxy sees it, under a fault."""

    breaker: Breaker
    where: Where
    host: str
    first: int
    """Start of the first attempt there on which the fault was drawn: the clock of a claim on opening."""
    tripped: int
    """End of the attempt that completed the row; 0 if none did."""
    longest: int
    """The longest row of bad answers."""
    outs: tuple[Out, ...]

    def __str__(self) -> str:
        return f"{self.host} in {self.where[0]}"


def pairs(circuit: Circuit) -> list[Pair]:
    """Every host that got a faulted attempt from a proxy with outlier detection."""
    return [
        pair
        for breaker in circuit.breakers
        if breaker.ejects
        for proxy in breaker.proxies
        for host in breaker.hosts
        if (pair := _pair(circuit, breaker, (proxy, breaker.cluster), host)) is not None
    ]


def _pair(circuit: Circuit, breaker: Breaker, where: Where, host: str) -> Pair | None:
    mine = [each for each in circuit.tries if (each.proxy, each.cluster, each.host) == (*where, host)]
    first = min((each.started for each in mine if each.faulted), default=0)
    if not first:
        return None
    rows = list(_rows(breaker, (each for each in mine if each.ended >= first)))
    return Pair(
        breaker=breaker,
        where=where,
        host=host,
        first=first,
        tripped=next((ended for ended, _, full in rows if full), 0),
        longest=max((length for _, length, _ in rows), default=0),
        outs=tuple(circuit.outs(where, host)),
    )


def _rows(breaker: Breaker, tries: Iterable[Try]) -> Iterator[tuple[int, int, bool]]:
    """After each answer: (when, how many bad ones in a row, enough to be put out)."""
    errors = gateway = 0
    for each in tries:
        errors = errors + 1 if each.status >= 500 else 0
        gateway = gateway + 1 if each.status in GATEWAY_ERRORS else 0
        full = 0 < breaker.consecutive_5xx <= errors or 0 < breaker.consecutive_gateway <= gateway
        yield each.ended, errors, full
        if full:
            errors = gateway = 0


def threshold(breaker: Breaker) -> str:
    """`5 x 5xx in a row`."""
    counts = [f"{breaker.consecutive_5xx} x 5xx"] if breaker.consecutive_5xx else []
    counts += [counted(breaker.consecutive_gateway, "gateway error")] if breaker.consecutive_gateway else []
    return " or ".join(counts) + " in a row"


def can_never_eject(breaker: Breaker) -> str:
    """Why outlier detection of this cluster can put no host out, with the number that would let it; empty if it can."""
    if not breaker.ejects or breaker.may_eject:
        return ""
    hosts = len(breaker.hosts)
    if not hosts:
        return f"{breaker.name}: it has no hosts, so that none can be put out"
    return (
        f"{breaker.name}: at most {breaker.max_ejection_percent} % of {counted(hosts, 'host')} may be out, which is none: "
        f"it can never open; set maxEjectionPercent to {math.ceil(100 / hosts)} or more"
    )


def foretold(breakers: Iterable[Breaker], policy: EdgePolicy, fault: Fault, grpc: bool) -> list[str]:
    """What a fault behind the router will do to each breaker that counts it, before it is injected."""
    failure = failure_of(fault, on_grpc=grpc)
    if failure.delay is not None and not (policy.timeout and policy.timeout < failure.delay):
        failure = replace(failure, delay=None)  # slow answers that nothing times out are good ones to outlier detection
    part = fault.abort or fault.delay
    share = part.percent / 100 if part is not None else 0.0
    return [line for breaker in breakers if (line := _foretold(breaker, failure, share))]


def _foretold(breaker: Breaker, failure: Failure, p: float) -> str:
    run = _row_needed(breaker, failure)
    if not run:
        return ""
    if never := can_never_eject(breaker):
        return never
    draws = expected_draws(p, run)
    told = f"{draws:.0f}" if draws < 1e6 else f"{draws:.1e}"
    return (
        f"{breaker.name}: puts a host out after {threshold(breaker)}, {told} attempt{'' if told == '1' else 's'} at it on average; "
        f"at most {breaker.may_eject} of {counted(len(breaker.hosts), 'host')}"
    )


def _row_needed(breaker: Breaker, failure: Failure) -> int:
    status = 504 if failure.delay is not None and failure.status is None else failure.http_counted
    if status is None or status < 500:
        return 0
    rows = [breaker.consecutive_5xx] if breaker.consecutive_5xx else []
    rows += [breaker.consecutive_gateway] if breaker.consecutive_gateway and status in GATEWAY_ERRORS else []
    return min(rows, default=0)


def limits(breakers: Iterable[Breaker]) -> str:
    """`ratings.bookinfo:9080: connections 1, pending requests 1`."""
    return "; ".join(
        f"{breaker.name}: {', '.join(f'{limit} {number}' for limit, number in breaker.limits.items())}"
        for breaker in breakers
        if breaker.limits
    )


def details(circuit: Circuit, began: int) -> tuple[str, ...]:
    """What every breaker did, in lines; times since `began`."""
    lines = [_told(pair, began) for pair in pairs(circuit)]
    if circuit.overflows:
        turned = ", ".join(f"{number} by the limit on {limit}" for limit, number in sorted(circuit.overflows.items()) if number)
        lines.append(f"turned away: {turned or 'nothing'} ({limits(circuit.breakers)})")
    return tuple(lines)


def _told(pair: Pair, began: int) -> str:
    said = [f"{pair}: {counted(pair.longest, 'bad answer')} in a row at most"]
    if pair.tripped:
        said.append(f"{threshold(pair.breaker)} reached after {_seconds(pair.tripped - pair.first)}")
    for out in pair.outs:
        lasted = f"back after {_seconds(out.back - out.seen)}" if out.back else f"still out {_seconds(out.last - out.seen)} later"
        since = f"at {_seconds(out.seen - began)}" if out.seen >= began else f"since {_seconds(began - out.seen)} before"
        said.append(f"out {since}, {lasted}")
    return ", ".join(said)


def _seconds(ns: int) -> str:
    return units.seconds(max(0, ns) / 1e9)


def overflowed(subject: EdgeSubject, where: Where) -> list[int]:
    """Starts of the calls that a limit of this proxy and cluster turned away (flag UO)."""
    return [call.started for call in subject.calls if "UO" in call.flags and (call.proxy, call.cluster or where[1]) == where]


def most_at_once(lives: Sequence[tuple[int, int]]) -> int:
    """The largest number of (start, end) that overlap."""
    moments = sorted([(start, 1) for start, _ in lives] + [(end, -1) for _, end in lives], key=lambda each: (each[0], each[1]))
    now = most = 0
    for _, step in moments:
        now += step
        most = max(most, now)
    return most
