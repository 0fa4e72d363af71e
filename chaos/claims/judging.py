"""In which order is a claim judged? From a claim and its subject to a verdict (verdicts.md rule 1).

Refusals and doubts come before any statistics, the steady gate before the claim itself: an experiment hears first what is
wrong with itself, then what is wrong with its evidence, and only then what is wrong with the system under test.
"""

from __future__ import annotations

from chaos.claims import explanation, gates
from chaos.claims.claim import Claim, Judgement, Levels, S
from chaos.errors import Refused, Vacuous
from chaos.model.outcome import Outcome
from chaos.model.verdict import Verdict


def verdict_on(claim: Claim[S], subject: S, levels: Levels, *, allow_vacuous: bool = False) -> Verdict:
    """Raises Refused where the claim would not show what it seems to show, Vacuous where it could not have failed."""
    where = f"{subject.name}: {claim.text}"
    if refused := claim.refusal(subject):
        raise Refused(f"{where}: {refused}")
    if doubt := gates.doubt(subject) or claim.doubt(subject):
        return undecided(claim.text, subject.name, doubt)
    if unmet := _steady_gate(claim, subject, levels):
        return _verdict(claim, subject, unmet)
    warning = _could_fail(claim, subject, where, allow_vacuous)
    return _verdict(claim, subject, claim.judge(subject, levels), warning)


def undecided(text: str, subject: str, reason: str) -> Verdict:
    """Inconclusive before anything was counted."""
    return Verdict(claim=text, subject=subject, outcome=Outcome.INCONCLUSIVE, summary="not judged", reason=reason)


def _steady_gate(claim: Claim[S], subject: S, levels: Levels) -> Judgement | None:
    """What is broken before the fault is not broken by it."""
    steady = subject.steady
    if steady is None or gates.doubt(steady):
        return None
    before = claim.baseline(steady, levels)  # type: ignore[arg-type]  # a subject's steady is of its own type
    if before is None or before.outcome is not Outcome.VIOLATED:
        return None
    return Judgement(
        outcome=Outcome.INCONCLUSIVE,
        summary="not judged",
        reason=f"steady state not met: without a fault, in {steady.name}, it is violated already: {before.summary}",
        figures={"steady": dict(before.figures)},
    )


def _could_fail(claim: Claim[S], subject: S, where: str, allow_vacuous: bool) -> str:
    """A line of warning, or empty."""
    if not subject.window.injections or allow_vacuous:
        return ""
    vacuity = claim.vacuity(subject)
    if vacuity.certain:
        raise Vacuous(f"{where}: cannot fail: {vacuity.certain}. To claim it all the same write expect(..., allow_vacuous=True)")
    return f"can hardly fail: {vacuity.possible}" if vacuity.possible else ""


def _verdict(claim: Claim[S], subject: S, judged: Judgement, warning: str = "") -> Verdict:
    cause = "" if judged.outcome is Outcome.HELD else explanation.likely_cause(subject, judged.culprits)
    return Verdict(
        claim=claim.text,
        subject=subject.name,
        outcome=judged.outcome,
        summary=judged.summary,
        reason=judged.reason or cause,
        details=(
            *([cause] if cause and judged.reason else []),
            *([warning] if warning else []),
            *judged.details,
            *explanation.details(subject, judged.culprits),
        ),
        measured=judged.measured,
        threshold=judged.threshold,
        unit=judged.unit,
        requests=judged.requests,
        figures=judged.figures,
    )
