"""Could the claim have failed? What the injections of a window do to the naive application (verdicts.md rule 1).

The naive application waits for ever, never retries and passes every error on. A claim that even it cannot break says
nothing about resilience; claims ask here in their `vacuity`, and `judging` refuses what is certain to be vacuous.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from chaos.claims.claim import Vacuity
from chaos.claims.explanation import percent
from chaos.claims.subjects import Subject, WindowSubject, calls_per_request, hit_sequences, injection_on, response_times
from chaos.claims.ways import before
from chaos.model import units
from chaos.model.edge import Edge
from chaos.model.injection import InjectionRecord, Side
from chaos.model.window import WindowEvidence, latency_at

_ROUNDING: Final = 1e-9  # 1 - 0.99 is 0.010000000000000009, and 1 % is meant


@dataclass(frozen=True, slots=True, kw_only=True)
class Naive:
    """What a naive application would show its users."""

    failing: float
    """Share of user requests that would be answered with an error."""
    delayed: float
    """Share of user requests that would meet a delay."""
    waiting: float
    """Seconds that such a request would gather at most."""


def naive(subject: Subject, ok: Collection[int] = ()) -> Naive | None:
    """None where that cannot be told: a throttle, or an edge whose calls per user request in steady are not known."""
    window = subject.window
    if not window.injections or any(record.request.fault.throttle for record in window.injections):
        return None
    every = _every_request_was_hit(window)
    succeeding = undelayed = 1.0
    waiting = 0.0
    for record in window.injections:
        c = _fan_out(record, window)
        if not c > 0:
            return None
        abort, delay = record.request.fault.abort, record.request.fault.delay
        if abort is not None and not (abort.grpc == 0 or (abort.status is not None and (abort.status < 400 or abort.status in ok))):
            succeeding *= 0.0 if every else _spared(abort.percent, c)
        if delay is not None:
            undelayed *= 0.0 if every else _spared(delay.percent, c)
            waiting += math.ceil(c - _ROUNDING) * delay.duration.total_seconds()
    return Naive(failing=1 - succeeding, delayed=1 - undelayed, waiting=waiting)


def cannot_fail(subject: WindowSubject, allowed: float, ok: Collection[int] = ()) -> Vacuity:
    """For claims that at most the share `allowed` of user requests goes wrong."""
    seen = naive(subject, ok)
    if seen is None:
        return Vacuity()
    touched = 1 - (1 - seen.failing) * (1 - seen.delayed)
    if touched <= allowed + _ROUNDING:
        harm = f"the fault can harm {percent(touched)} of the user requests, and {percent(allowed)} may fail"
        return Vacuity(certain=f"{harm}; raise percent")
    if seen.failing > allowed + _ROUNDING or seen.waiting >= subject.window.timeout:
        return Vacuity()
    patience = _declared_patience(subject.window)
    if any(delay >= timeout for _, delay, timeout in patience):
        return Vacuity()
    waits = f"the load waits {units.seconds(subject.window.timeout)} for requests that are delayed by {units.seconds(seen.waiting)}"
    if not patience:
        return Vacuity(possible=f"{waits}, no timeout is declared on the path: only an application that gives up sooner can fail")
    declared = ", ".join(f"{edge}: {units.seconds(timeout)}" for edge, _, timeout in patience)
    return Vacuity(certain=f"{waits}, and every timeout declared on the path is longer ({declared}); inject a longer delay")


def cannot_be_slow(subject: WindowSubject, seconds: float, q: float) -> Vacuity:
    """For claims that quantile `q` of the latency is at most `seconds`."""
    seen = naive(subject)
    if seen is None:
        return Vacuity()
    if seen.waiting and 1 - seen.delayed >= q - _ROUNDING:
        return Vacuity(
            certain=f"only {percent(seen.delayed)} of the user requests meet the delay, and p{q * 100:g} lies below them; "
            "raise percent, or claim a higher quantile"
        )
    steady = subject.steady
    if steady is None or steady.empty:
        return Vacuity()
    before = latency_at(response_times(steady), q)
    if before + seen.waiting > seconds:
        return Vacuity()
    was, claimed = f"p{q * 100:g} was {units.seconds(before)} in steady", f"{units.seconds(seconds)} is claimed"
    if not seen.waiting:
        return Vacuity(
            certain=f"{was}, the fault delays nothing, and {claimed}; an abort slows only an application that retries: "
            "claim what its users get"
        )
    return Vacuity(certain=f"{was}, the fault adds at most {units.seconds(seen.waiting)}, and {claimed}; inject a longer delay")


def _spared(share: float, c: float) -> float:
    """1 - h: the share of user requests none of whose c calls is hit."""
    return float((1 - units.probability(share)) ** c)


def _fan_out(record: InjectionRecord, window: WindowEvidence) -> float:
    """c: mean calls of the injection's edge per user request in steady; NaN if not known."""
    if window.steady is None:
        return math.nan
    edge = next((edge for edge, seen in window.edges.items() if injection_on(seen, window) == record), record.request.edge)
    return calls_per_request(window.steady.edges.get(edge), window.steady)


def _every_request_was_hit(window: WindowEvidence) -> bool:
    """So it is in `window.hit`, whatever the percentage was."""
    return hit_sequences(window).issuperset(window.samples["sequence"])


def _declared_patience(window: WindowEvidence) -> list[tuple[Edge, float, float]]:
    """(edge, seconds its calls are delayed by, its timeout) where a timeout is declared and the delay acts on it.

    That is the delayed edge itself, if the fault acts behind its router, and every edge above it on the path.
    """
    found = []
    for record in window.injections:
        delay = record.request.fault.delay
        if delay is None:
            continue
        seconds = delay.duration.total_seconds()
        total = math.ceil(_fan_out(record, window) - _ROUNDING) * seconds
        above = before(record.request.edge, window.edges)
        for seen in window.edges.values():
            if seen.policy_timeout is None:
                continue
            own = injection_on(seen, window) == record
            if own and record.side is Side.CALLEE:
                found.append((seen.edge, seconds, seen.policy_timeout))
            elif not own and seen.edge in above:
                found.append((seen.edge, total, seen.policy_timeout))
    return found
