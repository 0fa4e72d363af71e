"""Did the fault take effect? Draws and hits of one injection (verdicts.md rule 8).

A window proves an injection by its own draws. Where a policy keeps requests away from the fault (the bad replica is ejected, the
breaker is open) a window may have few or none: then what was drawn since the injection began counts, provided that the window's
calls took the private path and nothing in it speaks against the fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from chaos.model import units
from chaos.model.injection import InjectionRecord, Side
from chaos.model.window import Proof
from chaos.stats.proof import ALPHA_SHARE, prove


class Drawn(Protocol):
    """A call or an attempt on which a fault was drawn."""

    @property
    def flags(self) -> frozenset[str]:
        """Envoy's response flags."""


def proof(injection: InjectionRecord, drew: Sequence[Drawn], *, since: Sequence[Drawn] = (), passed: int = 0) -> Proof:
    """Judge every kind of fault of the injection by its own flag; all have to be proven.

    `drew` in the window, `since` the injection began (the window's own included); `passed`: the window's calls on the private path.
    """
    kinds = [_of_kind(injection, kind, drew, since, passed) for kind in ("delay", "abort", "throttle")]
    found = [kind for kind in kinds if kind is not None]
    return Proof(
        injection=injection,
        drawn=len(drew),
        hit={kind: hit for kind, hit, _, _ in found},
        proven=all(proven for _, _, proven, _ in found),
        reason="; ".join(reason for *_, reason in found),
    )


def _of_kind(
    injection: InjectionRecord, kind: str, drew: Sequence[Drawn], since: Sequence[Drawn], passed: int
) -> tuple[str, int, bool, str] | None:
    """(kind, hits in the window, proven, reason); None if the injection has no such fault."""
    fault = injection.request.fault
    part = {"delay": fault.delay, "abort": fault.abort, "throttle": fault.throttle}[kind]
    if part is None:
        return None
    probability = units.probability(getattr(part, "percent", 100.0))
    hit, counted = _hits(kind, drew)
    judged = prove(hit, counted, probability)
    where = "calls" if injection.side is Side.CALLER else "attempts"
    told = f"{kind}: {hit} of {counted} {where} hit"
    if judged.proven:
        return kind, hit, True, told
    speaks_against = counted >= judged.needed or judged.tail < ALPHA_SHARE
    if passed and not speaks_against:
        before = prove(*_hits(kind, since), probability)
        if before.proven:
            return kind, hit, True, f"{told}, and {before.flagged} of {before.attempts} since it began"
    return kind, hit, False, f"{told}: {judged.reason}"


def _hits(kind: str, drew: Iterable[Drawn]) -> tuple[int, int]:
    """(hit, drawn) for one kind of fault."""
    counted = [d for d in drew if not (kind == "abort" and _left_while_delayed(d))]
    flag = {"delay": "DI", "abort": "FI"}.get(kind)
    # The rate limit sets no flag of its own: it acts on every response that passes.
    return (sum(flag in d.flags for d in counted) if flag else len(counted)), len(counted)


def _left_while_delayed(drawn: Drawn) -> bool:
    """The abort is drawn after the delay: who left during the delay was never drawn for it."""
    return "DI" in drawn.flags and "FI" not in drawn.flags and "DC" in drawn.flags
