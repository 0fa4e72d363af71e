"""What follows from the evidence? A verdict per claim, and the ledger that an experiment's verdicts are written into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from chaos.errors import Inconclusive, Violated
from chaos.model.outcome import Outcome
from chaos.model.standards import Standards


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One judged claim. Everything a report needs, nothing that has to be computed again."""

    claim: str
    """As the author wrote it: `to_respond_within("6.5s", at="p95")`."""
    subject: str
    """What it was claimed of: `window 2 (fault)` or `productpage -> reviews in window 2 (fault)`."""
    outcome: Outcome
    summary: str
    """Measured value against threshold, bound with its confidence, number of requests: one line."""
    reason: str = ""
    """For inconclusive: what is missing and the next step. For violated: the likely cause, where the evidence shows one."""
    details: tuple[str, ...] = ()
    """Lines of evidence for people: policy of the edge, flags, timeline."""
    measured: float | None = None
    threshold: float | None = None
    unit: str = ""
    requests: int = 0
    figures: Mapping[str, object] = field(default_factory=dict)
    """Every figure of the decision (k, n, design effect, alpha ...), for report.json."""

    @property
    def message(self) -> str:
        """What is printed when it fails."""
        lines = [f"{self.subject}: {self.claim}: {self.outcome}", f"  {self.summary}"]
        lines += [f"  {self.reason}"] if self.reason else []
        return "\n".join([*lines, *(f"  {line}" for line in self.details)])

    def error(self) -> Violated | Inconclusive | None:
        """The exception this verdict is to an experiment."""
        if self.outcome is Outcome.VIOLATED:
            return Violated(self.message)
        return Inconclusive(self.message) if self.outcome is Outcome.INCONCLUSIVE else None


@dataclass(slots=True)
class Ledger:
    """The verdicts of one experiment, in order, and what its error levels depend on.

    `experiments` is K of the error budget: the number of experiments selected in the whole run, the same in every worker.
    """

    experiments: int = 1
    standards: Standards = field(default_factory=Standards)
    verdicts: list[Verdict] = field(default_factory=list)
    soft: list[Verdict] = field(default_factory=list)
    """Verdicts of `expect(..., soft=True)` that did not hold: raised together after the call phase."""
    unfinished: dict[int, str] = field(default_factory=dict)
    """`expect(x)` that no claim has followed yet, by id: an experiment that ends with one of these fails."""
    claims: int = 0
    looked_at: dict[str, bool] = field(default_factory=dict)
    """Kinds of windows whose evidence was looked at, by a claim or by hand; True when one of them had no doubts."""

    def look(self, kind: str, *, sound: bool) -> None:
        """Somebody reads the evidence of a window."""
        self.looked_at[kind] = self.looked_at.get(kind, False) or sound

    def number(self) -> int:
        """j of the next claim, from 1."""
        self.claims += 1
        return self.claims

    def settle(self, verdict: Verdict, *, soft: bool = False) -> Verdict:
        """Write a verdict down; raise what it is to the experiment, unless it is soft."""
        self.verdicts.append(verdict)
        error = verdict.error()
        if error is None:
            return verdict
        if not soft:
            raise error
        self.soft.append(verdict)
        return verdict
