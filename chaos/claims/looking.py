"""When has a claim seen enough? A claim registered on an open window, looked at while its requests arrive (verdicts.md rules 4, 5).

Looks are taken after 50 requests, 56, 62 ... of those that were scheduled first and have all ended; the verdict itself is given
when the window has closed, by the same looks. Comparisons and means are not looked at: they ask for as many requests as were
planned.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Generic

from chaos.claims import gates
from chaos.claims.claim import Claim, Levels, Plan, S
from chaos.claims.explanation import counted, per_second
from chaos.errors import Inconclusive
from chaos.model import units
from chaos.model.outcome import Outcome
from chaos.model.window import Outlook, SoFar


class Looking(Generic[S]):
    """The looks at one claim. `subject_of` makes its subject from a beginning of the window."""

    def __init__(self, claim: Claim[S], levels: Levels, planned: int | None, subject_of: Callable[[SoFar], S]) -> None:
        self._claim = claim
        self._levels = levels
        self._planned = planned
        self._subject_of = subject_of
        self._due = claim.looks.first if claim.looks else planned or math.inf
        self._decided = False

    def enough(self, so_far: SoFar) -> bool:
        """Can the window end, as far as this claim is concerned? Once it can, it can."""
        seen = len(so_far.requests(self._claim.patience).samples)
        if not self._decided and seen >= self._due:
            looks = self._claim.looks
            self._decided = looks is None or self._decides(so_far)
            self._due = looks.first_after(seen) if looks else self._due
        return self._decided

    def _decides(self, so_far: SoFar) -> bool:
        try:
            subject = self._subject_of(so_far)
        except Inconclusive:
            return True  # an edge that nobody observes
        if self._claim.refusal(subject):
            return True  # more requests will not change it
        if gates.doubt(subject) or self._claim.doubt(subject):
            return False
        return self._claim.judge(subject, self._levels).outcome is not Outcome.INCONCLUSIVE


def outlook_of(text: str, plan: Plan, outlook: Outlook) -> str:
    """`to_succeed(at_least="99%") needs 299 requests if nothing is bad: 2.99 s at 100/s`, said before they are sent."""
    if plan.requests is None:
        return f"{text}: {plan.unknown}"
    takes = f": {units.seconds(plan.requests / outlook.rate)} at {per_second(outlook.rate)}" if outlook.rate else ""
    effect = f", {plan.design_effect:.2g} times what independent ones would take" if plan.design_effect > 1 else ""
    return f"{text} needs {counted(plan.requests, 'request')} if {plan.provided}{effect}{takes}{_bursts(plan)}"


def guard_outlook_of(claim: Claim[S], plan: Plan, outlook: Outlook) -> str:
    """`to_succeed(at_least="99%") is looked at from 50 requests under a fault on: 500 ms at 100/s; it needs 367 ... to be held`."""
    first = claim.looks.first if claim.looks else 0
    after = f": {units.seconds(first / outlook.rate)} at {per_second(outlook.rate)}" if outlook.rate else ""
    held = f"it needs {counted(plan.requests, 'request')} if {plan.provided}" if plan.requests else plan.unknown
    return f"{claim.text} can end a fault from {counted(first, 'request')} under it on{after}; to be held {held}"


def _bursts(plan: Plan) -> str:
    if plan.good_for is None:
        return ""
    come = f"up to {plan.good_for:.3g} in a row" if plan.good_for > 1 else "singly"
    return f"; good for failures that come {come}"
