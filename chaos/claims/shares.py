"""How is a claim on a share judged and told? What `to_succeed`, `to_return`, `to_time_out_within` ... have in common.

A claim says which of its things are bad (a user request, a call, a unit of retries), `chaos.stats` decides on the bits, and
the decision becomes a `Judgement` here, in the same words for every claim.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from itertools import compress
from typing import Final, TypeVar

from chaos.claims.claim import Judgement, Levels, Plan
from chaos.claims.explanation import confidence, counted, percent
from chaos.claims.subjects import Subject
from chaos.model import units
from chaos.model.outcome import Outcome
from chaos.model.window import Outlook, WindowEvidence
from chaos.stats import shares
from chaos.stats.dependence import share_design_effect
from chaos.stats.planning import planned_requests
from chaos.stats.sequential import Look, Schedule, ShareWatch, planned_looks
from chaos.stats.shares import ShareDecision

T = TypeVar("T")
_MANY: Final = 1_000_000
_NEVER: Final = 20.0
"""Odds above it, and logarithms below minus this, are told as such."""
Decision = ShareDecision | Look
"""On a window of fixed length, or on one that was stopped by looking."""


def unsent(window: WindowEvidence) -> bytes:
    """One byte per scheduled request, 1 = not sent or not recorded; empty if there is none.

    What left no record stands at the end: nobody knows where it belongs.
    """
    sent = window.samples["sent"]
    unrecorded = max(0, window.scheduled - window.transition - len(sent))
    if not unrecorded and not sent.count(0):
        return b""
    return bytes(0 if at else 1 for at in sent) + b"\1" * unrecorded


def planned(
    allowed: float,
    looks: Schedule,
    outlook: Outlook,
    *,
    before: bytes = b"",
    burst: float = 1.0,
    design_effect: float | None = None,
) -> Plan:
    """What decides for a claim if as many are bad as in steady, `before` (verdicts.md rules 4 and 5)."""
    bad, count = before.count(1), len(before)
    expected = bad / count if count else 0.0
    if bad and expected >= allowed:
        return Plan(
            unknown=f"as in steady ({bad} of {counted(count, 'request')} bad), where {percent(allowed)} may be, no number of "
            "requests would show that it holds"
        )
    effect = share_design_effect(before, burst=burst) if design_effect is None else design_effect
    needed = (
        planned_looks(allowed, looks, expected=expected, design_effect=effect, alpha_held=outlook.false_held)
        if outlook.looked_at
        else planned_requests(allowed, expected=expected, design_effect=effect, alpha_held=outlook.false_held)
    )
    provided = f"{percent(expected)} stay bad, as in steady" if bad else "nothing is bad"
    return Plan(requests=needed, provided=provided, design_effect=effect)


def spread(values: Sequence[T], missing: bytes, absent: T) -> Sequence[T]:
    """Values of the requests that were sent -> one per scheduled request, `absent` for those that were not."""
    if not missing:
        return values
    of_sent = iter(values)
    return [absent if gone else next(of_sent) for gone in missing]


def decide(
    bad: bytes, window: WindowEvidence, levels: Levels, *, allowed: float, burst: float = 1.0, missing: bytes = b""
) -> Decision:
    """On bits in the order of their start. `missing` marks the user requests among them that were never sent.

    A window that was stopped by looking, or cut short, is judged by the rule that allows for looks (verdicts.md rule 5).
    """
    bad = bytes(spread(bad, missing, 0))
    if window.cut_short:
        watch = ShareWatch(allowed, alpha_held=levels.held, alpha_violated=levels.violated, burst=burst)
        return watch.advance(bad, missing) if window.under_way else watch.close(bad, missing)
    return shares.judge(bad, allowed=allowed, alpha_held=levels.held, alpha_violated=levels.violated, burst=burst, unsent=missing)


def culprits(bad: bytes, subject: Subject) -> frozenset[int]:
    """The user requests whose bits (one per request that was sent) are set."""
    return frozenset(compress(subject.requests["sequence"], bad))


def bound(decision: Decision, *, good: bool) -> str:
    """`at least 99.25 % with 95 % confidence`: of the good share or of the bad one, the side that the verdict rests on."""
    if isinstance(decision, Look):
        return _bet(decision)
    low, high = (1 - decision.upper, 1 - decision.lower) if good else (decision.lower, decision.upper)
    sure = f"with {confidence(decision.alpha_shown)} confidence"
    if decision.outcome is Outcome.INCONCLUSIVE:
        return f"between {percent(low)} and {percent(high)} {sure} each"
    lower_side = good is (decision.outcome is Outcome.HELD)
    return f"at least {percent(low)} {sure}" if lower_side else f"at most {percent(high)} {sure}"


def _bet(look: Look) -> str:
    """Bounds would be wrong where one may stop at any time; the odds of the bets are what decides."""
    for_it = f"{_odds(look.log_e_held)} for it ({_odds(-math.log(look.alpha_held or 1))} decide)"
    against = f"{_odds(look.log_e_violated)} against it ({_odds(-math.log(look.alpha_violated))} decide)"
    told = {Outcome.HELD: for_it, Outcome.VIOLATED: against, Outcome.INCONCLUSIVE: f"{for_it}, {against}"}
    return f"judged as it arrived, since the window was cut short: odds of {told[look.outcome]}"


def _odds(log_e: float) -> str:
    if log_e > math.log(_MANY):
        return f"over {_MANY} to 1"
    return f"{math.exp(log_e):.3g} to 1" if log_e > -_NEVER else "0 to 1"


def missing_of(decision: Decision, absent: str = "not sent") -> str:
    """Tail of a summary; empty if nothing is missing."""
    return f", {decision.missing} more {absent}" if decision.missing else ""


def undecided(decision: Decision, window: WindowEvidence, thing: str = "request") -> str:
    """For inconclusive: what is missing, and the next step."""
    if decision.outcome is not Outcome.INCONCLUSIVE:
        return ""
    if isinstance(decision, Look):
        return f"too few until the window was cut short: {counted(decision.requests, thing)} did not decide; let it run longer"
    parts = []
    if decision.needed is None:
        parts.append("the measured share lies too near to the claimed one for any number to decide: claim less, or improve it")
    else:
        parts.append(_needed(decision, decision.needed, window, thing))
    if decision.design_effect > 1:
        parts.append(
            f"{counted(decision.requests, thing)} count as {decision.effective_requests:.0f}, since they depend on each other "
            f"(design effect {decision.design_effect:.2g})"
        )
    if decision.lower > decision.allowed:
        parts.append(
            f"it looks violated, but that is only said with {confidence(decision.alpha_violated)} confidence, so that false alarms "
            "stay rare in a whole run"
        )
    return "; ".join(parts)


def _needed(decision: ShareDecision, needed: int, window: WindowEvidence, thing: str) -> str:
    """`too few: about 900 requests would decide if the share stays as it is, a window of 9 s`."""
    have = decision.requests + decision.missing
    seconds = units.seconds(window.seconds * needed / have) if have else ""
    return f"too few: about {counted(needed, thing)} would decide if the share stays as it is, a window of {seconds}"


def figures(decision: Decision) -> dict[str, object]:
    """Every figure of the decision, for report.json."""
    seen = {name: value for name, value in asdict(decision).items() if name != "outcome"}
    if isinstance(decision, ShareDecision):
        seen |= {"lower": decision.lower, "upper": decision.upper, "longest_burst": decision.longest_burst}
    return seen


def judgement(
    decision: Decision,
    window: WindowEvidence,
    *,
    verb: str,
    thing: str = "request",
    absent: str = "not sent",
    suffix: str = "",
    details: tuple[str, ...] = (),
    against: frozenset[int] = frozenset(),
) -> Judgement:
    """`99.6 % succeeded, at least 99.25 % with 95 % confidence; claimed 99 %; 2400 requests, 9 bad`."""
    claimed = 1 - decision.allowed
    good = 1 - decision.share
    summary = (
        f"{percent(good)} {verb}, {bound(decision, good=True)}; claimed {percent(claimed)}; "
        f"{counted(decision.requests, thing)}, {decision.bad} bad{missing_of(decision, absent)}{suffix}"
    )
    return Judgement(
        outcome=decision.outcome,
        summary=summary,
        reason=undecided(decision, window, thing),
        measured=good,
        threshold=claimed,
        unit="share",
        requests=decision.requests,
        figures=figures(decision),
        details=details,
        culprits=against,
    )
