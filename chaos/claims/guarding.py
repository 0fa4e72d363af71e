"""May the fault go on? `expect(traffic, guard=True)`: a claim that is watched while faults are on, and ends them if violated.

What is judged are the requests of the load that were scheduled while a fault of the experiment was in force, in their order, as
far as all of them have ended, by the rule that allows for looks (verdicts.md rule 5). The bet against the claim is never closed:
however good the requests were so far, a violation ends the fault. Held, violated or inconclusive is said when the load ends.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from chaos.claims import gates
from chaos.claims.claim import Claim, Judgement, Levels
from chaos.claims.judging import undecided, verdict_on
from chaos.claims.subjects import Flowing, WindowSubject
from chaos.errors import ExperimentError, Inconclusive
from chaos.model.outcome import Outcome
from chaos.model.verdict import Verdict
from chaos.model.window import WindowEvidence

_NEVER_HELD: Final = 0.0


class Guard:
    """One guard claim on one load."""

    def __init__(self, claim: Claim[WindowSubject], levels: Levels, traffic: Flowing) -> None:
        if claim.looks is None:
            raise ExperimentError(
                f"{claim.text} cannot be a guard: it is judged when a window has ended, and a guard while requests arrive"
            )
        self._claim = claim
        self._levels = levels
        self._traffic = traffic
        self._due = claim.looks.first
        self._looks = claim.looks
        self._broken: WindowEvidence | None = None
        self.verdict: Verdict | None = None

    def look(self) -> str:
        """Why no fault may go on; empty if it may. The answer to a violation is final."""
        if self._broken is not None:
            return ""  # it was said, and acted upon
        if unsteady := self._unsteady():
            return unsteady
        try:
            so_far = self._traffic.faulted(patience=self._claim.patience)
        except Inconclusive:
            return ""  # none of its requests was scheduled under the fault yet
        if len(so_far.samples) < self._due:
            return ""
        self._due = self._looks.first_after(len(so_far.samples))
        if (judged := self._judged(so_far)) is None or judged.outcome is not Outcome.VIOLATED:
            return ""
        self._broken = so_far
        return f"the guard {self._text} is violated: {judged.summary}"

    def _unsteady(self) -> str:
        """Broken before the fault: then it cannot tell when the fault breaks it, and guards nothing."""
        steady = self._traffic.steady
        if steady is None or (judged := self._judged(steady)) is None or judged.outcome is not Outcome.VIOLATED:
            return ""
        return f"the guard {self._text} is violated before any fault, in {steady.name}: {judged.summary}"

    def _judged(self, evidence: WindowEvidence) -> Judgement | None:
        subject = WindowSubject(evidence)
        if gates.doubt(subject) or self._claim.doubt(subject):
            return None
        return self._claim.judge(subject, replace(self._levels, held=_NEVER_HELD))

    @property
    def _text(self) -> str:
        return f"{self._claim.text} on {self._traffic.target}"

    def settled(self) -> Verdict:
        """The load has ended, or a fault because of this guard. Later ones change nothing."""
        if self.verdict is None:
            self.verdict = self._verdict()
        return self.verdict

    def _verdict(self) -> Verdict:
        text, name = f"{self._claim.text}, guard", f"what {self._traffic.target} got under faults"
        try:
            evidence = self._traffic.faulted(ended=True)
        except Inconclusive as missing:
            return undecided(text, name, str(missing))
        if self._broken is not None:
            evidence = replace(evidence.beginning(len(self._broken.samples)), cut_short=True)
        verdict = verdict_on(self._claim, WindowSubject(evidence), self._levels, allow_vacuous=True)
        return replace(verdict, claim=text)
