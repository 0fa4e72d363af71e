"""Is a failed host given time before it is asked again? `to_space_retries(at_least=)`.

A thing is one call with retries. Every gap between the end of an attempt and the start of the next counts: one that is too
short violates the claim, and it is held once so many calls were retried that a short one would have shown.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from chaos.claims.claim import Claim, Judgement, Levels, Plan, written
from chaos.claims.explanation import counted
from chaos.claims.retries import CALLER_SIDE, ENOUGH
from chaos.claims.subjects import EdgeSubject
from chaos.model import units
from chaos.model.calls import Call
from chaos.model.injection import Side
from chaos.model.outcome import Outcome
from chaos.model.window import Outlook, latency_at
from chaos.stats.sequential import SHARE_LOOKS

_JITTER = (
    "Envoy's back-off is fully jittered: it waits a random time between 0 and base x (2^n - 1), so that no gap but 0 is certain; "
    "claim what the callee needs on the whole with to_amplify(at_most=)"
)


class SpaceRetries(Claim[EdgeSubject]):
    """No attempt of a call starts sooner after the last one has ended."""

    looks = SHARE_LOOKS

    def __init__(self, at_least: str | timedelta) -> None:
        self.seconds = units.duration(at_least, name="at_least").total_seconds()
        self.text = written("to_space_retries", at_least=at_least)

    def planned(self, outlook: Outlook) -> Plan:
        return Plan(requests=ENOUGH, provided="every call is retried")

    def refusal(self, subject: EdgeSubject) -> str:
        return CALLER_SIDE if subject.side is Side.CALLER else ""

    def doubt(self, subject: EdgeSubject) -> str:
        unseen = sum(call.tries > 1 and len(call.attempts) < call.tries for call in subject.calls)
        if not unseen:
            return ""
        return (
            f"the attempts of {counted(unseen, 'retried call')} were counted, not seen: only the private path tells their times; "
            f'inject on this edge, or name it when the load starts, load(..., observe=["{subject.seen.edge}"])'
        )

    def judge(self, subject: EdgeSubject, levels: Levels) -> Judgement:
        retried = [(call, min(_gaps(call))) for call in subject.calls if len(call.attempts) > 1]
        short = [call for call, gap in retried if gap < self.seconds]
        gaps = [gap for call, _ in retried for gap in _gaps(call)]
        smallest = min(gaps, default=None)
        told = f"shortest gap {_text(smallest)}, median {_text(latency_at(gaps, 0.5))}, " if smallest is not None else ""
        summary = f"{told}claimed at least {units.seconds(self.seconds)}; {counted(len(retried), 'retried call')}"
        reason = ""
        if short:
            outcome = Outcome.VIOLATED
            summary += f", {len(short)} of them retried sooner, and one violates"
        elif len(retried) < ENOUGH:
            outcome = Outcome.INCONCLUSIVE
            reason = f"too few: {ENOUGH} retried calls are needed; inject an abort that is retried, or make the window longer"
        else:
            outcome = Outcome.HELD
        return Judgement(
            outcome=outcome,
            summary=summary,
            reason=reason,
            measured=smallest,
            threshold=self.seconds,
            unit="s",
            requests=len(retried),
            figures={"retried": len(retried), "short": len(short), "gaps": len(gaps)},
            details=(_JITTER,) if short else (),
            culprits=frozenset(call.sequence for call in short),
        )


def _gaps(call: Call) -> list[float]:
    """Seconds from the end of each attempt to the start of the next."""
    return [(after.started - before.ended) / 1e9 for before, after in pairwise(call.attempts)]


def _text(seconds: float) -> str:
    return units.seconds(max(0.0, seconds))
