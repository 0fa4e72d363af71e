"""May this evidence be judged at all? What every claim asks before any statistics (verdicts.md rule 1).

A window in which nothing happened, that is in doubt, whose requests were not sent, or whose fault was not proven, decides
nothing: the answer is inconclusive, never violated.
"""

from __future__ import annotations

import operator

from chaos.claims.explanation import percent
from chaos.claims.subjects import Subject, WindowSubject
from chaos.model import units
from chaos.model.window import latency_at

SENT_AT_LEAST = 0.99
"""Share of the scheduled requests that must have been sent."""
LAG_FLOOR = 0.002
"""Seconds by which a generator may always start late."""
LAG_SHARE = 0.05
"""Share of a claimed time by which it may start late."""


def doubt(subject: Subject) -> str:
    """Why no claim on this evidence can be decided, with the next step; empty if one can."""
    if subject.empty:
        return subject.empty
    if subject.window.doubts:
        return "; ".join(subject.window.doubts)
    return _unsent(subject) or _unproven(subject)


def _unsent(subject: Subject) -> str:
    window = subject.window
    due = window.scheduled - window.transition
    missing = window.missing
    if not due or due - missing >= SENT_AT_LEAST * due:
        return ""
    return (
        f"the generator was late: {missing} of {due} scheduled requests were not sent or not recorded, and at least "
        f"{percent(SENT_AT_LEAST)} must be; lower the rate, or give the load a machine with room"
    )


def _unproven(subject: Subject) -> str:
    for seen in subject.edges:
        if seen.proof is not None and not seen.proof.proven:
            return f"the injection on {seen.edge} is not proven: {seen.proof.reason}"
    return ""


def lag(subject: WindowSubject, threshold: float) -> str:
    """Why a claimed time of `threshold` seconds cannot be judged because requests started late; empty if they did not."""
    if not subject.window.open_model:
        return ""  # it has no schedule: every request starts when the one before it is answered
    requests = subject.requests
    late = list(map(operator.sub, requests["sent"], requests["scheduled"]))
    allowed = max(LAG_FLOOR, LAG_SHARE * threshold)
    if max(late) <= allowed * 1e9 or (p99 := latency_at(late, 0.99) / 1e9) <= allowed:
        return ""
    return (
        f"the generator was late: 1 % of the requests started {units.seconds(p99)} or more behind their schedule, and latencies "
        f"against {units.seconds(threshold)} allow {units.seconds(allowed)}; lower the rate, or give the load a machine with room"
    )
