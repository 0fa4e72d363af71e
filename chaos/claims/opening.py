"""Does the circuit open when it should, and stay closed when it should? `to_open_circuit(within=)`, `not_to_open_circuit()`.

Opening is the first ejection of a host, or the first call that a limit turned away, by (caller's proxy, host). The clock starts at
the first faulted attempt there. A host that had its row of bad answers has to be out in time, as far as its proxy may put hosts
out; one that stays in is a counterexample, and one is enough. Looks lie apart: what happened between two of them is not decided.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Literal

from chaos.claims import breaking
from chaos.claims.breaking import NO_PATH, BreakerClaim, Pair
from chaos.claims.claim import Claim, Judgement, Levels, Vacuity, written
from chaos.claims.explanation import counted
from chaos.claims.retries import CALLER_SIDE, ENOUGH
from chaos.claims.subjects import EdgeSubject
from chaos.model import units
from chaos.model.breakers import Breaker, Circuit, Where
from chaos.model.injection import Side
from chaos.model.outcome import Outcome
from chaos.stats.sequential import SHARE_LOOKS

State = Literal["open", "closed", "unseen"]
_QUEUED: Final = ("connections", "pending requests")


class OpenCircuit(BreakerClaim):
    """Every breaker that had reason to open did so in time."""

    def __init__(self, within: str | timedelta) -> None:
        self.seconds = units.duration(within, name="within").total_seconds()
        self.text = written("to_open_circuit", within=within)

    def lacking(self, circuit: Circuit) -> str:
        if _can_act(circuit):
            return ""
        return "no breaker stands on this edge: neither outlier detection nor a limit in the DestinationRule of the callee"

    def judge(self, subject: EdgeSubject, levels: Levels) -> Judgement:
        circuit = subject.seen.circuit
        assert circuit is not None
        found = breaking.pairs(circuit)
        parts = [part for breaker in circuit.breakers for part in self._of_breaker(subject, circuit, breaker, found)]
        judged = [part for part in parts if part is not None] or [_never_tempted(found)]
        outcome = Outcome.combined(part.outcome for part in judged)
        told = [part for part in judged if part.outcome is outcome]
        first = min((each.started for each in circuit.tries if each.faulted), default=subject.window.start)
        return Judgement(
            outcome=outcome,
            summary="; ".join(dict.fromkeys(part.summary for part in told)) + f"; claimed within {units.seconds(self.seconds)}",
            reason=next((part.reason for part in told if part.reason), ""),
            measured=max((part.measured for part in judged if part.measured is not None), default=None),
            threshold=self.seconds,
            unit="s",
            requests=len(subject.calls),
            figures={"breakers": len(judged), "ejections": subject.seen.ejections, "overflows": dict(circuit.overflows or {})},
            details=breaking.details(circuit, first),
            culprits=frozenset(),
        )

    def _of_breaker(
        self, subject: EdgeSubject, circuit: Circuit, breaker: Breaker, found: Sequence[Pair]
    ) -> list[Judgement | None]:
        by_proxy: dict[Where, list[Pair]] = defaultdict(list)
        for pair in found:
            if pair.breaker is breaker:
                by_proxy[pair.where].append(pair)
        if by_proxy:
            return [self._of_hosts(subject, circuit, where, mine) for where, mine in by_proxy.items()]
        if breaker.limits:
            return [self._of_limits(subject, breaker, (proxy, breaker.cluster)) for proxy in breaker.proxies]
        return []

    def _of_hosts(self, subject: EdgeSubject, circuit: Circuit, where: Where, found: Sequence[Pair]) -> Judgement | None:
        """None: no host of this proxy had its row of bad answers."""
        breaker, tripped = found[0].breaker, [pair for pair in found if pair.tripped]
        if not tripped:
            return None
        turned_away = breaking.overflowed(subject, where)
        states = [self._state(circuit, pair, turned_away) for pair in tripped]
        needed = max(1, min(len(tripped), breaker.may_eject))
        opened, possible = states.count("open"), len(states) - states.count("closed")
        name = f"{breaker.name} in {where[0]}"
        rows = f"{counted(len(tripped), 'host')} had {breaking.threshold(breaker)}"
        if opened >= needed:
            taken = max(self._took(pair) for pair, state in zip(tripped, states, strict=True) if state == "open")
            return Judgement(
                outcome=Outcome.HELD, measured=taken, summary=f"{name}: {rows}, {opened} out after {units.seconds(taken)} at most"
            )
        if possible < needed:
            never = breaking.can_never_eject(breaker)
            told = f"{name}: {rows}, {counted(opened, 'host')} out in time, {needed} had to be"
            return Judgement(outcome=Outcome.VIOLATED, summary=told, reason=never)
        return Judgement(
            outcome=Outcome.INCONCLUSIVE,
            summary=f"{name}: {rows}, {opened} seen out in time",
            reason=(
                f"the last looks at its hosts do not tell what they were {units.seconds(self.seconds)} after the first faulted "
                "attempt: make the window longer, or claim a time that is not so near to what it takes"
            ),
        )

    def _state(self, circuit: Circuit, pair: Pair, turned_away: Sequence[int]) -> State:
        """At the deadline: was it open by then?"""
        deadline = pair.first + int(self.seconds * 1e9)
        if any(out.seen <= deadline for out in pair.outs if out.seen >= pair.first) or any(
            pair.first <= at <= deadline for at in turned_away
        ):
            return "open"
        after = circuit.next_look(pair.where, deadline)
        if after is None or any(out.before < deadline < out.seen for out in pair.outs):
            return "unseen"
        return "closed"

    def _took(self, pair: Pair) -> float:
        return max(0.0, min((out.seen - pair.first for out in pair.outs if out.seen >= pair.first), default=0) / 1e9)

    def _of_limits(self, subject: EdgeSubject, breaker: Breaker, where: Where) -> Judgement | None:
        """A breaker that only limits opens with the first call it turns away."""
        mine = [call for call in subject.calls if call.proxy == where[0] and call.cluster in ("", breaker.cluster)]
        if not mine:
            return None
        name = f"{breaker.name} in {where[0]}"
        turned_away = breaking.overflowed(subject, where)
        first = min(call.started for call in mine)
        if turned_away and min(turned_away) - first <= self.seconds * 1e9:
            taken = (min(turned_away) - first) / 1e9
            return Judgement(
                outcome=Outcome.HELD,
                measured=taken,
                summary=f"{name}: turned the first of {counted(len(turned_away), 'call')} away after {units.seconds(taken)}",
            )
        most, room = breaking.most_at_once([(call.started, call.ended) for call in mine]), _room(breaker)
        if room is not None and most > room:
            return Judgement(
                outcome=Outcome.VIOLATED,
                summary=f"{name}: {most} calls at once where {room} may be, and none was turned away in time",
            )
        return Judgement(
            outcome=Outcome.INCONCLUSIVE,
            summary=f"{name}: {counted(most, 'call')} at once at most",
            reason=(
                f"its limits ({breaking.limits([breaker])}) were not reached by then; send more at once, or delay the callee longer"
            ),
        )


class NotOpenCircuit(Claim[EdgeSubject]):
    """No host was put out, and no call turned away."""

    looks = SHARE_LOOKS

    def __init__(self) -> None:
        self.text = written("not_to_open_circuit")

    def refusal(self, subject: EdgeSubject) -> str:
        return CALLER_SIDE if subject.side is Side.CALLER else ""

    def vacuity(self, subject: EdgeSubject) -> Vacuity:
        circuit = subject.seen.circuit
        if circuit is None or _can_act(circuit):
            return Vacuity()
        return Vacuity(certain="no breaker stands on this edge that could open")

    def judge(self, subject: EdgeSubject, levels: Levels) -> Judgement:
        seen, circuit = subject.seen, subject.seen.circuit or Circuit()
        turned_away = [call for call in subject.calls if "UO" in call.flags]
        ejected = max(seen.ejections or 0, _seen_out(circuit, subject.window.start, subject.window.end))
        unknown = seen.ejections is None and not circuit.looks and any(breaker.ejects for breaker in circuit.breakers)
        calls = counted(len(subject.calls), "call")
        summary = f"{counted(ejected, 'ejection')}, {counted(len(turned_away), 'call')} turned away; {calls}"
        reason = ""
        if ejected or turned_away:
            outcome = Outcome.VIOLATED
        elif unknown or seen.circuit is None:
            outcome = Outcome.INCONCLUSIVE
            reason = NO_PATH if seen.circuit is None else "the proxies keep no counter of ejections (pruned statistics)"
        elif len(subject.calls) < ENOUGH:
            outcome = Outcome.INCONCLUSIVE
            reason = f"too few: {ENOUGH} calls are needed; make the window longer"
        else:
            outcome = Outcome.HELD
        return Judgement(
            outcome=outcome,
            summary=summary,
            reason=reason,
            measured=ejected + len(turned_away),
            threshold=0,
            unit="openings",
            requests=len(subject.calls),
            figures={"ejections": seen.ejections, "turned_away": len(turned_away), "overflows": dict(circuit.overflows or {})},
            details=breaking.details(circuit, subject.window.start),
            culprits=frozenset(call.sequence for call in turned_away),
        )


def _can_act(circuit: Circuit) -> bool:
    return any(breaker.ejects or breaker.limits for breaker in circuit.breakers)


def _seen_out(circuit: Circuit, start: int, end: int) -> int:
    """Hosts that a look within the window showed to be out."""
    return len(
        {
            (where, host)
            for where, looks in circuit.looks.items()
            for look in looks
            if start <= look.at <= end
            for host in look.ejected
        }
    )


def _never_tempted(found: Sequence[Pair]) -> Judgement:
    """Nothing had reason to open."""
    if not found:
        reason = "no faulted attempt reached a host of a breaker; inject an abort on this edge that outlier detection counts"
        return Judgement(outcome=Outcome.INCONCLUSIVE, summary="nothing to open for", reason=reason)
    best = max(found, key=lambda pair: pair.longest)
    reason = (
        f"no host had {breaking.threshold(best.breaker)}, the longest row was {best.longest}; one answer that is well ends a row: "
        "fault all of its attempts (percent=100, replicas=), or send more"
    )
    return Judgement(outcome=Outcome.INCONCLUSIVE, summary=f"{best}: {best.longest} bad answers in a row at most", reason=reason)


def _room(breaker: Breaker) -> int | None:
    """How many calls there can be at once before one is turned away; None where only retries are limited."""
    rooms = [breaker.limits["requests"]] if "requests" in breaker.limits else []
    if all(limit in breaker.limits for limit in _QUEUED):
        rooms.append(sum(breaker.limits[limit] for limit in _QUEUED))
    return min(rooms, default=None)
