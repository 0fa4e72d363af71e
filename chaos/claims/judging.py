"""In which order is a claim judged? From a claim and its subject to a verdict (verdicts.md rule 1).

Refusals and doubts come before any statistics, the steady gate before the claim itself: an experiment hears first what is
wrong with itself, then what is wrong with its evidence, and only then what is wrong with the system under test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chaos.claims import explanation, gates
from chaos.claims.claim import Claim, Judgement, Levels, S
from chaos.claims.subjects import Subject, WindowSubject
from chaos.errors import Refused, Vacuous
from chaos.model.outcome import Outcome
from chaos.model.verdict import Verdict


def verdict_on(claim: Claim[S], subject: S, levels: Levels, *, allow_vacuous: bool = False) -> Verdict:
    """Raises Refused where the claim would not show what it seems to show, Vacuous where it could not have failed."""
    where = f"{subject.name}: {claim.text}"
    if refused := claim.refusal(subject):
        raise Refused(f"{where}: {refused}")
    if doubt := _doubt(claim, subject):
        seen = () if subject.empty else explanation.details(subject, frozenset(), subject.window.unnamed())
        return replace(undecided(claim.text, subject.name, doubt), details=seen)
    steady: S | None = subject.steady  # type: ignore[assignment]  # of the same kind as its subject
    before = claim.baseline(steady, levels) if steady is not None and not _doubt(claim, steady) else None
    if steady is not None and before is not None and before.outcome is Outcome.VIOLATED:
        return _verdict(claim, subject, _steady_state_not_met(steady, before))
    warnings = [_not_shown_before(subject, before), _could_fail(claim, subject, where, allow_vacuous)]
    return _verdict(claim, subject, claim.judge(subject, levels), [warning for warning in warnings if warning])


def undecided(text: str, subject: str, reason: str) -> Verdict:
    """Inconclusive before anything was counted."""
    return Verdict(claim=text, subject=subject, outcome=Outcome.INCONCLUSIVE, summary="not judged", reason=reason)


def _doubt(claim: Claim[S], subject: S) -> str:
    return gates.doubt(subject) or claim.doubt(subject)


def _steady_state_not_met(steady: Subject, before: Judgement) -> Judgement:
    """What is broken before the fault is not broken by it."""
    return Judgement(
        outcome=Outcome.INCONCLUSIVE,
        summary="not judged",
        reason=f"steady state not met: without a fault, in {steady.name}, it is violated already: {before.summary}",
        figures={"steady": dict(before.figures)},
    )


def _not_shown_before(subject: Subject, before: Judgement | None) -> str:
    """Only of user requests: what an edge claim counts (delayed calls, retries) hardly occurs in steady."""
    if before is None or before.outcome is not Outcome.INCONCLUSIVE or not isinstance(subject, WindowSubject):
        return ""
    return f"steady state not shown: without a fault it is undecided, with {before.summary}"


def _could_fail(claim: Claim[S], subject: S, where: str, allow_vacuous: bool) -> str:
    """A line of warning, or empty."""
    if not subject.window.injections or allow_vacuous:
        return ""
    vacuity = claim.vacuity(subject)
    if vacuity.certain:
        raise Vacuous(f"{where}: cannot fail: {vacuity.certain}. To claim it all the same write expect(..., allow_vacuous=True)")
    return f"can hardly fail: {vacuity.possible}" if vacuity.possible else ""


def _verdict(claim: Claim[S], subject: S, judged: Judgement, warnings: Sequence[str] = ()) -> Verdict:
    violated = judged.outcome is Outcome.VIOLATED
    # Where nothing went wrong there is nothing to explain; what did go wrong could fail.
    told = violated or (judged.outcome is Outcome.INCONCLUSIVE and judged.figures.get("bad") != 0)
    unnamed = subject.window.unnamed() if told else ()
    causes = [explanation.likely_cause(subject, judged.culprits, unnamed) if told else ""]
    causes += [explanation.shared_with_the_fault(subject) if violated else ""]
    cause = "; ".join(filter(None, causes))
    return Verdict(
        claim=claim.text,
        subject=subject.name,
        outcome=judged.outcome,
        summary=judged.summary,
        reason=judged.reason or cause,
        details=(
            *([cause] if cause and judged.reason else []),
            *([] if violated else warnings),
            *judged.details,
            *explanation.details(subject, judged.culprits, unnamed),
        ),
        measured=judged.measured,
        threshold=judged.threshold,
        unit=judged.unit,
        requests=judged.requests,
        figures=judged.figures,
    )
