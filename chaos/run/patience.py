"""How is a caller's patience measured? `mesh.effective_timeout(edge, traffic)` (verdicts.md rule 9).

One delay that outlasts every declared timeout, a few calls, and a look at when each of them was given up and by whom.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from chaos.errors import ExperimentError, Inconclusive
from chaos.model import units
from chaos.model.calls import Call
from chaos.model.edge import Edge
from chaos.model.fault import delay
from chaos.model.patience import WHO, EffectiveTimeout, Spread
from chaos.model.window import EdgeEvidence, WindowEvidence, latency_at

if TYPE_CHECKING:
    from chaos.run.traffic import Traffic

LEAST_DELAY: Final = 15.0
FACTOR: Final = 2
UNITS: Final = 5
"""Calls that must show it."""


def measured(edge: Edge, traffic: Traffic) -> EffectiveTimeout:
    """Injects once, under the load that flows. Raises Inconclusive where too few calls show it."""
    experiment = traffic.experiment
    experiment.observe(edge)
    declared = [seen.longest_timeout for seen in experiment.observed()]
    seconds = float(math.ceil(max(LEAST_DELAY, FACTOR * max(declared, default=0.0))))
    if traffic.timeout <= seconds:
        raise ExperimentError(
            f"effective_timeout({edge}) delays calls by {units.seconds(seconds)}, and the load gives up after "
            f'{units.seconds(traffic.timeout)}: start it with a longer one, load(..., timeout="{seconds * 2:g}s")'
        )
    with experiment.inject(delay(timedelta(seconds=seconds)), edge) as injection:
        evidence = traffic.window(timedelta(seconds=traffic.seconds_for(2 * UNITS))).evidence
    if evidence.doubts:
        raise Inconclusive(f"the effective timeout of {edge} was not measured: {evidence.doubts[0]}")
    return read(evidence.edges[injection.record.request.edge], evidence, seconds)


def read(seen: EdgeEvidence, window: WindowEvidence, delayed: float) -> EffectiveTimeout:
    """What the calls of a window under the delay show."""
    calls = list(filter(_was_delayed, seen.calls))
    own = [call for call in calls if not call.cancelled]
    given_up = {flag: _spread(group) for flag in WHO if (group := [c.duration for c in own if _flag(c) == flag])}
    waited = sum(not _flag(call) and call.duration >= 0.9 * delayed for call in own)
    cancelled = len(calls) - len(own)
    if (shown := sum(spread.calls for spread in given_up.values()) + waited + cancelled) < UNITS:
        raise Inconclusive(
            f"the effective timeout of {seen.edge} was not measured: {shown} of {len(seen.calls)} calls show it, and {UNITS} must; "
            "send load that makes more calls on this edge, and remove what ends them otherwise"
        )
    found = EffectiveTimeout(
        edge=seen.edge,
        delay=delayed,
        declared=seen.policy_timeout,
        given_up=given_up,
        waited=waited,
        cancelled=cancelled,
    )
    patience = found.seconds if given_up or waited else seen.policy_timeout or math.inf
    above = [other for other in window.edges.values() if other.edge.callee.name == getattr(seen.edge.caller, "name", None)]
    inversions = tuple(told for other in above if (told := _inversion(other, seen, patience)))
    return replace(found, inversions=inversions)


def _inversion(above: EdgeEvidence, seen: EdgeEvidence, patience: float) -> str:
    """`productpage gives up on reviews after 3 s, which may itself wait 10 s for ratings`; empty if it does not."""
    ended = [call.duration for call in above.calls if _flag(call) and not call.cancelled]
    limit = latency_at(ended, 0.5) if ended else above.policy_timeout
    if limit is None or limit >= patience:
        return ""
    longer = "for ever" if math.isinf(patience) else f"for {units.seconds(patience)}"
    caller = above.edge.caller or "the caller"
    return (
        f"inversion: {caller} gives {above.edge.callee} up after {units.seconds(limit)}, "
        f"which may itself wait {longer} for {seen.edge.callee}"
    )


def _flag(call: Call) -> str:
    return next((flag for flag in WHO if flag in call.flags), "")


def _was_delayed(call: Call) -> bool:
    return "DI" in call.flags or any("DI" in attempt.flags for attempt in call.attempts)


def _spread(durations: Iterable[float]) -> Spread:
    ordered = sorted(durations)
    return Spread(minimum=ordered[0], median=latency_at(ordered, 0.5), maximum=ordered[-1], calls=len(ordered))
