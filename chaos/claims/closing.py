"""Is everybody let back in once the fault is over? `to_close_circuit(within=)`, on a window after the injection.

The clock starts when the fault was proven gone. Every host that was out then, or was put out later, has to be back by the deadline,
and no call may be turned away after it. An ejection lasts its base time as often as the host was ejected, and ends at Envoy's next
look: sooner is not to be had, and a claim that asks for it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from chaos.claims import breaking
from chaos.claims.breaking import NO_PATH
from chaos.claims.claim import Claim, Judgement, Levels, written
from chaos.claims.explanation import counted
from chaos.claims.subjects import EdgeSubject
from chaos.model import units
from chaos.model.breakers import Breaker, Circuit, Out, Where
from chaos.model.outcome import Outcome
from chaos.stats.sequential import SHARE_LOOKS

_NAMED: Final = 3
"""Hosts that a summary names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A host that was out at the end of the fault, or later."""

    breaker: Breaker
    where: Where
    host: str
    times: int
    """How often it has been ejected."""
    outs: tuple[Out, ...]

    @property
    def earliest(self) -> float:
        """Seconds from an ejection until Envoy may let it in again."""
        return self.breaker.ejected_for(self.times) + self.breaker.interval

    def __str__(self) -> str:
        return f"{self.host} in {self.where[0]}"


class CloseCircuit(Claim[EdgeSubject]):
    """Every open breaker closes in time."""

    looks = SHARE_LOOKS

    def __init__(self, within: str | timedelta) -> None:
        self.seconds = units.duration(within, name="within").total_seconds()
        self.text = written("to_close_circuit", within=within)

    def refusal(self, subject: EdgeSubject) -> str:
        if subject.injection is not None:
            return "the fault is still on in this window; take a window after its block, where breakers can close"
        longest = max(opened(subject.seen.circuit or Circuit()), key=lambda each: each.earliest, default=None)
        if longest is None or self.seconds >= longest.earliest:
            return ""
        breaker = longest.breaker
        return (
            f"{longest} was ejected {counted(longest.times, 'time')}: {units.seconds(breaker.base_ejection)} x {longest.times} and "
            f"up to {units.seconds(breaker.interval)} until Envoy looks again, so {units.seconds(longest.earliest)} is the least "
            "that can be claimed"
        )

    def doubt(self, subject: EdgeSubject) -> str:
        circuit = subject.seen.circuit
        if circuit is None:
            return NO_PATH
        if not circuit.gone:
            return "no injection on this edge has ended; nothing tells when its breakers should begin to close"
        if not opened(circuit) and not _turned_away(subject):
            return "no breaker of this edge was open when the fault ended, so that none could close; claim to_open_circuit under it"
        return ""

    def baseline(self, steady: EdgeSubject, levels: Levels) -> None:
        return None

    def judge(self, subject: EdgeSubject, levels: Levels) -> Judgement:
        circuit = subject.seen.circuit
        assert circuit is not None
        deadline = circuit.gone + int(self.seconds * 1e9)
        found = opened(circuit)
        states = [_state(circuit, each, deadline) for each in found]
        late = [call for call in subject.calls if "UO" in call.flags and call.started >= deadline]
        open_still = [str(each) for each, state in zip(found, states, strict=True) if state == "open"]
        unseen = [str(each) for each, state in zip(found, states, strict=True) if state == "unseen"]
        backs = [_closed_after(circuit, each) for each, state in zip(found, states, strict=True) if state == "closed"]
        taken = max(backs, default=0.0)
        reason = ""
        if open_still or late:
            outcome = Outcome.VIOLATED
            named = f" ({', '.join(open_still[:_NAMED])}{' ...' if len(open_still) > _NAMED else ''})" if open_still else ""
            summary = (
                f"{counted(len(open_still), 'host')} of {len(found)} still out{named}, "
                f"{counted(len(late), 'call')} turned away after it"
            )
        elif unseen:
            outcome = Outcome.INCONCLUSIVE
            summary = f"{len(backs)} of {counted(len(found), 'host')} back after {units.seconds(taken)}"
            beyond = f"{units.seconds(self.seconds)} after the fault"
            reason = f"{unseen[0]} was out when last looked at; the window has to reach beyond {beyond}"
        else:
            outcome = Outcome.HELD
            summary = f"{counted(len(found), 'host')} back {units.seconds(taken)} after the fault was gone at the latest"
        return Judgement(
            outcome=outcome,
            summary=f"{summary}; claimed within {units.seconds(self.seconds)}",
            reason=reason,
            measured=taken if backs else None,
            threshold=self.seconds,
            unit="s",
            requests=len(subject.calls),
            figures={"opened": len(found), "open": len(open_still), "turned_away_late": len(late)},
            details=breaking.details(circuit, circuit.gone),
            culprits=frozenset(call.sequence for call in late),
        )


def opened(circuit: Circuit) -> list[Opened]:
    """The hosts that were out when the last injection on the edge was gone, or have been since."""
    found = []
    for breaker in circuit.breakers:
        for proxy in breaker.proxies:
            for host in breaker.hosts:
                outs = tuple(circuit.outs((proxy, breaker.cluster), host))
                if circuit.gone and any(not out.back or out.back > circuit.gone for out in outs):
                    found.append(Opened(breaker=breaker, where=(proxy, breaker.cluster), host=host, times=len(outs), outs=outs))
    return found


def _state(circuit: Circuit, each: Opened, deadline: int) -> str:
    last = each.outs[-1]
    if last.back:
        if last.back <= deadline:
            return "closed"
        return "unseen" if last.last < deadline else "open"  # it came back between the two looks around the deadline
    return "open" if circuit.next_look(each.where, deadline) is not None else "unseen"


def _closed_after(circuit: Circuit, each: Opened) -> float:
    return max(0.0, (each.outs[-1].back - circuit.gone) / 1e9)


def _turned_away(subject: EdgeSubject) -> bool:
    """A limit turned calls away in this window, which then has to end."""
    return any("UO" in call.flags for call in subject.calls)
