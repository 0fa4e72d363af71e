"""When has a claim seen enough? A claim registered on an open window, looked at while its requests arrive (verdicts.md rules 4, 5).

Looks are taken after 50 requests, 56, 62 ... of those that were scheduled first and have all ended; the verdict itself is given
when the window has closed, by the same looks. Comparisons and claims on edges are not looked at: they ask for as many requests as
were planned.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Generic

from chaos.claims import gates
from chaos.claims.claim import Claim, Levels, S
from chaos.claims.explanation import counted, per_second
from chaos.claims.subjects import WindowSubject
from chaos.model import units
from chaos.model.outcome import Outcome
from chaos.model.window import Outlook, WindowEvidence


class Looking(Generic[S]):
    """The looks at one claim."""

    def __init__(self, claim: Claim[S], levels: Levels, planned: int | None) -> None:
        self._claim = claim
        self._levels = levels
        self._planned = planned
        self._due = claim.looks.first if claim.looks else 0
        self._decided = False

    def enough(self, so_far: WindowEvidence) -> bool:
        """Can the window end, as far as this claim is concerned?"""
        seen = len(so_far.samples)
        looks = self._claim.looks
        if looks is None:
            return self._planned is not None and seen >= self._planned
        while not self._decided and self._due <= seen:
            self._decided = self._decides(replace(so_far.beginning(self._due), cut_short=True))
            self._due = looks.after(self._due)
        return self._decided

    def _decides(self, evidence: WindowEvidence) -> bool:
        """Only claims on user requests are looked at: what went over edges is read when the window has closed."""
        subject: S = WindowSubject(evidence)  # type: ignore[assignment]
        if self._claim.refusal(subject):
            return True  # more requests will not change it
        if gates.doubt(subject) or self._claim.doubt(subject):
            return False
        return self._claim.judge(subject, self._levels).outcome is not Outcome.INCONCLUSIVE


def outlook_of(text: str, planned: int | None, outlook: Outlook) -> str:
    """`to_succeed(at_least="99%") needs 299 requests if none is bad: 3 s at 100/s`, said before they are sent."""
    if planned is None:
        return f"{text}: nobody can tell yet how many requests it needs"
    takes = f": {units.seconds(planned / outlook.rate)} at {per_second(outlook.rate)}" if outlook.rate else ""
    return f"{text} needs {counted(planned, 'request')} if nothing is bad{takes}"
