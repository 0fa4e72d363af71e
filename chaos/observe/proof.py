"""Did the fault take effect? Draws and hits of one injection in one window (verdicts.md rule 8)."""

from __future__ import annotations

from collections.abc import Iterable

from chaos.model import units
from chaos.model.calls import Attempt, Call
from chaos.model.injection import InjectionRecord, Side
from chaos.model.window import Proof
from chaos.stats.proof import prove


def proof(injection: InjectionRecord, calls: Iterable[Call]) -> Proof:
    """Judge every kind of fault of the injection by its own flag; all have to be proven."""
    drew = list(_draws(injection, calls))
    fault = injection.request.fault
    where = "calls" if injection.side is Side.CALLER else "attempts"
    hits: dict[str, int] = {}
    reasons: list[str] = []
    proven = True
    for kind, flag, percent in (
        ("delay", "DI", fault.delay.percent if fault.delay else None),
        ("abort", "FI", fault.abort.percent if fault.abort else None),
        ("throttle", "", 100.0 if fault.throttle else None),
    ):
        if percent is None:
            continue
        counted = [d for d in drew if not (kind == "abort" and _reset_while_delayed(d))]
        # The rate limit sets no flag of its own: it acts on every response that passes.
        hits[kind] = sum(flag in d.flags for d in counted) if flag else len(counted)
        judged = prove(hits[kind], len(counted), units.probability(percent))
        proven = proven and judged.proven
        reasons.append(f"{kind}: {hits[kind]} of {len(counted)} {where} hit" + ("" if judged.proven else f": {judged.reason}"))
    return Proof(injection=injection, drawn=len(drew), hit=hits, proven=proven, reason="; ".join(reasons))


def _draws(injection: InjectionRecord, calls: Iterable[Call]) -> Iterable[Call | Attempt]:
    if injection.side is Side.CALLER:
        return [call for call in calls if injection.number in call.armed]
    return [attempt for call in calls for attempt in call.attempts if injection.number in attempt.armed]


def _reset_while_delayed(drawn: Call | Attempt) -> bool:
    """The abort is drawn after the delay: who left during the delay was never drawn for it."""
    return "DI" in drawn.flags and "FI" not in drawn.flags and "DC" in drawn.flags
