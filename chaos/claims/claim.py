"""What is a claim? The outline that every kind of claim fills in, one file per kind (docs/adding-a-claim.md).

`expect` builds the claim, which checks its arguments; `judging` asks it the questions below in their order, with the subject
made of a window's evidence; `explanation` adds what people need to read. A claim is pure: it reads its subject and returns.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

from chaos.claims.subjects import Subject
from chaos.model import units
from chaos.model.outcome import Outcome
from chaos.model.window import Outlook
from chaos.stats.sequential import Schedule

S = TypeVar("S", bound=Subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """The chances of a wrong verdict that one claim may take (verdicts.md section 0)."""

    held: float
    """Of calling held what is not so: the same for every claim, since a suite is green only if all hold."""
    violated: float
    """Of calling violated what is not so: a share of the whole run's budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a claim needs, said before any of it is sent (verdicts.md rule 4)."""

    requests: int | None = None
    """Requests that decide it, `provided` that; None where nobody can tell."""
    provided: str = "nothing is bad"
    unknown: str = "nobody can tell yet how many requests it needs"
    """Why there is no number."""
    design_effect: float = 1.0
    """So many times more than of independent requests, as they hang together in steady."""
    good_for: float | None = None
    """The longest mean burst of failures that it stands for; None where bursts do not matter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the statistics of one claim came to."""

    outcome: Outcome
    summary: str
    """Measured value against threshold, bound with its confidence, number of requests: one line."""
    reason: str = ""
    """For inconclusive: what is missing and the next step."""
    measured: float | None = None
    threshold: float | None = None
    unit: str = ""
    requests: int = 0
    figures: Mapping[str, object] = field(default_factory=dict)
    details: tuple[str, ...] = ()
    culprits: frozenset[int] = frozenset()
    """Sequence numbers of the user requests that speak against the claim: explanations look at their calls first."""


@dataclass(frozen=True, slots=True)
class Vacuity:
    """Could the claim have failed? Both empty: yes."""

    certain: str = ""
    """Why it cannot fail: refused unless the author insists."""
    possible: str = ""
    """Why it can hardly fail, as far as is known: shown with the verdict."""


class Claim(ABC, Generic[S]):
    """One kind of claim about one kind of subject. Arguments are checked when it is built."""

    text: str
    """As the author wrote it: `to_respond_within("6.5s", at="p95")`."""

    looks: Schedule | None = None
    """After how many requests it is judged while they arrive (verdicts.md rule 5); None: when the window has ended."""
    patience: float = math.inf
    """Seconds: a request that is under way for longer is bad, whatever becomes of it."""
    fixed: bool = False
    """It is judged on as many requests as were planned, also where other claims decide when the window ends."""

    def planned(self, outlook: Outlook) -> Plan:
        """The requests that decide it, as far as anybody can tell."""
        return Plan()

    def refusal(self, subject: S) -> str:
        """Why the result would say nothing about what the claim seems to test; empty if it would."""
        return ""

    def doubt(self, subject: S) -> str:
        """Why this kind of claim cannot be decided on this evidence, whatever the numbers say; empty if it can."""
        return ""

    def vacuity(self, subject: S) -> Vacuity:
        """Could it have failed under the injections of this window? Asked only if there are any."""
        return Vacuity()

    @abstractmethod
    def judge(self, subject: S, levels: Levels) -> Judgement:
        """The verdict of the numbers. The subject is not empty."""

    def baseline(self, steady: S, levels: Levels) -> Judgement | None:
        """The same claim before the first injection: where that is violated, nothing can be said of the fault.

        None where the claim has no meaning there.
        """
        return self.judge(steady, levels)


def written(method: str, *args: object, **kwargs: object) -> str:
    """`to_respond_within("6.5s", at="p95")`: a call as its author would write it; arguments that are None were not given."""
    parts = [_literal(value) for value in args]
    parts += [f"{name}={_literal(value)}" for name, value in kwargs.items() if value is not None]
    return f"{method}({', '.join(parts)})"


def unless(default: object, value: object) -> object:
    """The value of an argument that is shown only when it is not the default."""
    return None if value == default else value


def _literal(value: object) -> str:
    if isinstance(value, timedelta):
        return f'"{units.text_of(value)}"'
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_literal, value)) + ("," if len(value) == 1 else "") + ")"
    return repr(value)
