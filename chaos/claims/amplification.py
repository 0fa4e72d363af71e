"""How much more work does a failure make? `to_amplify(at_most=)`: attempts at the callee per user request.

Every retry of every caller on the way down adds to it, so it is counted where it arrives: a thing is one user request with
all the attempts it caused on the edge, 0 included. A mean hides a rare storm: `per_request_at_most` claims of each one.
The message follows it down the way, and says which hop adds how much.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Final

from chaos.claims.claim import Claim, Judgement, Levels, Plan, written
from chaos.claims.explanation import arriving, confidence, counted, timeline_of, times
from chaos.claims.retries import CALLER_SIDE, ENOUGH
from chaos.claims.subjects import EdgeSubject, attempts_per_request, calls_per_request, per_request
from chaos.claims.ways import before, directly_before
from chaos.errors import InvalidValue
from chaos.model.edge import Edge
from chaos.model.injection import Side
from chaos.model.outcome import Outcome
from chaos.model.window import Outlook, WindowEvidence
from chaos.stats.means import MeanDecision, judge_mean

PLANNED: Final = 300
"""User requests whose mean can be told from a limit 0.04 away, where they make up to 4 attempts each."""

_MORE: Final = 1.05
_NEARLY: Final = 0.05
"""What is called more than usual, and what as good as a whole number."""


class Amplify(Claim[EdgeSubject]):
    """The mean number of attempts per user request stays within its bound, and that of each one if claimed."""

    fixed = True

    def __init__(self, *, at_most: float, per_request_at_most: int | None = None) -> None:
        if isinstance(at_most, bool) or not isinstance(at_most, (int, float)) or not 0 < at_most < math.inf:
            raise InvalidValue(f"at_most is {at_most!r}: give a number of attempts per user request above 0, at_most=1.5")
        if per_request_at_most is not None and (
            isinstance(per_request_at_most, bool) or not isinstance(per_request_at_most, int) or per_request_at_most < 1
        ):
            raise InvalidValue(f"per_request_at_most is {per_request_at_most!r}: give a whole number of attempts, at least 1")
        self.at_most = float(at_most)
        self.each = per_request_at_most
        self.text = written("to_amplify", at_most=at_most, per_request_at_most=per_request_at_most)

    def planned(self, outlook: Outlook) -> Plan:
        return Plan(requests=PLANNED, provided="the mean is not too near to it")

    def refusal(self, subject: EdgeSubject) -> str:
        return CALLER_SIDE if subject.side is Side.CALLER else ""

    def judge(self, subject: EdgeSubject, levels: Levels) -> Judgement:
        sequences = subject.requests["sequence"]
        values = attempts_per_request(subject.seen, subject.requests)
        decision = judge_mean(values, at_most=self.at_most, alpha_held=levels.held, alpha_violated=levels.violated)
        limit = math.inf if self.each is None else self.each
        storms = [sequence for sequence, number in zip(sequences, values, strict=True) if number > limit]
        above = storms or [sequence for sequence, number in zip(sequences, values, strict=True) if number > self.at_most]
        unsure = self._unsure(decision, subject.window)
        outcome = Outcome.VIOLATED if storms else Outcome.INCONCLUSIVE if unsure else decision.outcome
        return Judgement(
            outcome=outcome,
            summary=self._summary(decision, len(storms)),
            reason="" if storms else unsure,
            measured=decision.mean,
            threshold=self.at_most,
            unit="attempts per user request",
            requests=decision.requests,
            figures={**{name: value for name, value in asdict(decision).items() if name != "outcome"}, "storms": len(storms)},
            details=(
                along_the_way(subject),
                timeline_of(frozenset(above), subject, f"with more than {limit if storms else self.at_most:g} attempts"),
            ),
            culprits=frozenset(above),
        )

    def _unsure(self, decision: MeanDecision, window: WindowEvidence) -> str:
        """Why the mean decides nothing, with the next step; empty if it does."""
        if window.cut_short:
            return "the window was cut short, and a mean needs one whose length was fixed beforehand; repeat it"
        if decision.requests < ENOUGH:
            return f"too few: {ENOUGH} user requests are needed; make the window longer, or the rate higher"
        if decision.outcome is Outcome.INCONCLUSIVE:
            return "the mean varies too much to be told from what is claimed; make the window longer, or claim less"
        return ""

    def _summary(self, decision: MeanDecision, storms: int) -> str:
        bounds = {
            Outcome.HELD: f"at most {decision.upper:.3g} with {confidence(decision.alpha_held)} confidence",
            Outcome.VIOLATED: f"at least {decision.lower:.3g} with {confidence(decision.alpha_violated)} confidence",
            Outcome.INCONCLUSIVE: f"at most {decision.upper:.3g} with {confidence(decision.alpha_held)} confidence",
        }
        each = f" and {self.each} for each" if self.each is not None else ""
        many = f"; {counted(storms, 'user request')} above that, and one violates" if storms else ""
        return (
            f"{decision.mean:.3g} attempts per user request, {bounds[decision.outcome]}, {decision.maximum:.0f} for the worst; "
            f"claimed {self.at_most:g}{each}; {counted(decision.requests, 'user request')}{many}"
        )


def along_the_way(subject: EdgeSubject) -> str:
    """`-> front 1, front -> back 4 (front asks twice, its proxy tries each call twice); in steady 1, 1`, hop after hop.

    Retries of several hops multiply, and nobody on the way sees more than those of its own.
    """
    window, steady = subject.window, subject.window.steady
    hops = [*reversed(before(subject.seen.edge, window.edges)), subject.seen.edge]
    told = [_hop(edge, window, steady) for edge in hops]
    usual = [f"{_attempts(edge, steady):.3g}" for edge in hops] if steady and all(edge in steady.edges for edge in hops) else []
    return f"attempts per user request on the way: {', '.join(told)}" + (f"; in steady {', '.join(usual)}" if usual else "")


def _hop(edge: Edge, window: WindowEvidence, steady: WindowEvidence | None) -> str:
    """What the application adds, and what its proxy adds, where either does more than in steady."""
    now = _factors(edge, window)
    usual = _factors(edge, steady) if steady and edge in steady.edges else None
    asked, tried = (_grown(factor, usual[i] if usual else 1.0) for i, factor in enumerate(now))
    # Who asks how often is known only where the hop before it was observed.
    named = edge.caller if edge.caller and directly_before(edge, window.edges) else None
    added = [f"{named} asks {asked}" if named else f"asked {asked}"] if asked else []
    whose = "its" if named and asked else "the caller's"
    added += [f"{whose} proxy tries each call {tried}"] if tried else []
    return f"{edge} {_attempts(edge, window):.3g}" + (f" ({', '.join(added)})" if added else "")


def _factors(edge: Edge, window: WindowEvidence) -> tuple[float, float]:
    """Calls for each attempt that reached the caller (each user request, where that was not observed); attempts of each call."""
    calls = calls_per_request(window.edges[edge], window)
    arrived = arriving(edge, window)
    return calls / (arrived if arrived > 0 else 1.0), _attempts(edge, window) / calls if calls else math.nan


def _attempts(edge: Edge, window: WindowEvidence) -> float:
    return per_request(sum(call.tries for call in window.edges[edge].calls), window)


def _grown(factor: float, usual: float) -> str:
    """`twice`, `2.4 times`; empty where it is as usual, or where nobody can tell."""
    grown = factor / usual if usual else math.nan
    if not grown > _MORE:
        return ""
    return times(round(grown)) if abs(grown - round(grown)) < _NEARLY else f"{grown:.2g} times"
