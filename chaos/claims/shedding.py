"""Does the breaker shed load, and does the rest get through? `to_shed(at_least=)` under overload.

A thing is one call on the edge. Good is one that a limit turned away (flag UO) without asking a host; and of the others 95 % have
to succeed, since shedding that saves nobody is only failing.
"""

from __future__ import annotations

from typing import Final

from chaos.claims import breaking, shares
from chaos.claims.breaking import BreakerClaim
from chaos.claims.claim import Judgement, Levels, written
from chaos.claims.subjects import EdgeSubject
from chaos.model import units
from chaos.model.breakers import Circuit
from chaos.model.calls import Call
from chaos.model.outcome import Outcome
from chaos.stats.shares import allowed_bad_share

REST: Final = 0.05
"""Share of the calls that were let through which may fail."""


class Shed(BreakerClaim):
    """So large a share is turned away at once, and the rest is served."""

    def __init__(self, at_least: str | float) -> None:
        self.allowed = allowed_bad_share(units.share(at_least, name="at_least"))
        self.text = written("to_shed", at_least=at_least)

    def lacking(self, circuit: Circuit) -> str:
        if any(breaker.limits for breaker in circuit.breakers):
            return ""
        return "nothing is limited on this edge; set connectionPool limits in the DestinationRule of the callee"

    def judge(self, subject: EdgeSubject, levels: Levels) -> Judgement:
        circuit = subject.seen.circuit
        assert circuit is not None
        kept = [call for call in subject.calls if "UO" not in call.flags]
        shed = shares.judgement(
            shares.decide(bytes("UO" not in call.flags for call in subject.calls), subject.window, levels, allowed=self.allowed),
            subject.window,
            verb="were turned away",
            thing="call",
            details=breaking.details(circuit, subject.window.start),
        )
        if not kept:
            return shed
        failed = bytes(map(_failed, kept))
        rest = shares.judgement(
            shares.decide(failed, subject.window, levels, allowed=REST),
            subject.window,
            verb="of those let through succeeded",
            thing="call",
            against=frozenset(call.sequence for call, bad in zip(kept, failed, strict=True) if bad),
        )
        return _both(shed, rest)


def _both(shed: Judgement, rest: Judgement) -> Judgement:
    outcome = Outcome.combined([shed.outcome, rest.outcome])
    worst = shed if shed.outcome is outcome else rest
    return Judgement(
        outcome=outcome,
        summary=f"{shed.summary}; {rest.summary}",
        reason=worst.reason,
        measured=shed.measured,
        threshold=shed.threshold,
        unit=shed.unit,
        requests=shed.requests,
        figures={"shed": dict(shed.figures), "rest": dict(rest.figures)},
        details=shed.details,
        culprits=rest.culprits,
    )


def _failed(call: Call) -> bool:
    return not call.status or call.status >= 400 or bool(call.grpc)
