"""What can a judgement come to? Three outcomes; evidence that does not suffice is one of them, and it is not a pass."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Outcome(StrEnum):
    """Held (shown to be so), violated (shown not to be so), inconclusive (neither was shown)."""

    HELD = "held"
    VIOLATED = "violated"
    INCONCLUSIVE = "inconclusive"

    @property
    def negated(self) -> Outcome:
        """The outcome of the opposite claim: too little evidence for one is too little for the other."""
        return {Outcome.HELD: Outcome.VIOLATED, Outcome.VIOLATED: Outcome.HELD}.get(self, self)

    @classmethod
    def combined(cls, outcomes: Iterable[Outcome]) -> Outcome:
        """Of several claims together: violated over inconclusive over held; of none at all, inconclusive."""
        seen = set(outcomes)
        if cls.VIOLATED in seen:
            return cls.VIOLATED
        return cls.HELD if seen == {cls.HELD} else cls.INCONCLUSIVE
