"""Is a failed host given time before it is asked again? `to_space_retries(at_least=)`.

A thing is what the caller's application meant as one call, with retries: those of the mesh, and the application's own where every
user request makes one call in steady. Every gap between the end of an attempt and the start of the next counts: one that is too
short violates the claim, and it is held once so many calls were retried that a short one would have shown.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from chaos.claims.claim import Claim, Judgement, Levels, Plan, written
from chaos.claims.explanation import counted, timeline_of
from chaos.claims.retries import CALLER_SIDE, ENOUGH
from chaos.claims.subjects import EdgeSubject, by_request
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
_AT_ONCE = "the application asks again by itself; let it wait before it does, longer each time and with jitter"


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
        meant = [gaps for gaps in map(_gaps, _meant(subject)) if gaps]
        retried = len(meant)
        short = [[gap for gap in gaps if gap.seconds < self.seconds] for gaps in meant]
        too_soon = [gaps for gaps in short if gaps]
        gaps = [gap.seconds for each in meant for gap in each]
        culprits = frozenset(gaps[0].sequence for gaps in too_soon)
        smallest = min(gaps, default=None)
        told = f"shortest gap {_text(smallest)}, median {_text(latency_at(gaps, 0.5))}, " if smallest is not None else ""
        summary = f"{told}claimed at least {units.seconds(self.seconds)}; {counted(retried, 'retried call')}"
        reason = ""
        if too_soon:
            outcome = Outcome.VIOLATED
            summary += f", {len(too_soon)} of them retried sooner, and one violates"
        elif retried < ENOUGH:
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
            requests=retried,
            figures={"retried": retried, "short": len(too_soon), "gaps": len(gaps)},
            details=(
                *_reasons([gap for each in too_soon for gap in each]),
                *([timeline_of(culprits, subject, "retried sooner")] if too_soon else []),
            ),
            culprits=culprits,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gap:
    """Between the end of an attempt and the start of the next."""

    sequence: int
    """Of the user request."""
    seconds: float
    by_the_mesh: bool


def _meant(subject: EdgeSubject) -> list[list[Call]]:
    """What the application meant as one call: all calls of a user request, or each where several are meant or nobody knows."""
    return by_request(subject.calls) if subject.fan_out == 1 else [[call] for call in subject.calls]


def _gaps(calls: Sequence[Call]) -> list[_Gap]:
    tries = [(call, each) for call in calls for each in (call.attempts or (call,))]
    return [
        _Gap(sequence=call.sequence, seconds=(after.started - before.ended) / 1e9, by_the_mesh=call is again)
        for (call, before), (again, after) in pairwise(tries)
    ]


def _reasons(short: Collection[_Gap]) -> list[str]:
    """Why a retry came so soon, by who made it."""
    who = {gap.by_the_mesh for gap in short}
    return [text for by_the_mesh, text in ((True, _JITTER), (False, _AT_ONCE)) if by_the_mesh in who]


def _text(seconds: float) -> str:
    return units.seconds(max(0.0, seconds))
