"""Was the fault really drawn? The proof that an injection, or a canary's weight, was in effect as configured.

"Applied" is not "in effect": of the attempts that passed the faulted route, as many must have been hit as the percentage
predicts. That every caller's proxy holds the configuration is the other half of the proof, and not this module's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from chaos.errors import InvalidValue
from chaos.stats import special

ALPHA_NONE: Final = 1e-3
"""With as many attempts as needed, the fault misses all of them by chance this rarely."""
ALPHA_SHARE: Final = 1e-4
"""A share of hits that the percentage explains less often than this is not the percentage's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Whether `flagged` of `attempts` show a fault of probability `probability` in effect."""

    flagged: int
    attempts: int
    probability: float
    needed: int
    """The attempts that this probability takes to be proven."""
    tail: float
    """Two-sided probability of a share of hits as far from `probability` as this one."""
    reason: str
    """Why it is not proven, with the next step; empty if it is."""

    @property
    def proven(self) -> bool:
        return not self.reason


def attempts_needed(probability: float) -> int:
    """6905, 688, 135, 66, 20, 10 for .1, 1, 5, 10, 30, 50 %; 1 for 100 %. Raises InvalidValue outside 0 < p <= 1."""
    if not 0 < probability <= 1:
        raise InvalidValue(f"the probability of a fault is {probability}: it lies above 0 and goes up to 1")
    return 1 if probability == 1 else math.ceil(math.log(ALPHA_NONE) / math.log1p(-probability))


def prove(flagged: int, attempts: int, probability: float) -> Proof:
    """`probability` as the proxy draws (`model.units.probability`); attempts are those of ours that drew.

    Raises InvalidValue for impossible counts.
    """
    if not 0 <= flagged <= attempts:
        raise InvalidValue(f"{flagged} of {attempts} attempts cannot have been hit")
    needed = attempts_needed(probability)
    tail = min(
        1.0,
        2 * min(special.at_most(flagged, attempts, probability), special.at_least(flagged, attempts, probability)),
    )
    return Proof(
        flagged=flagged,
        attempts=attempts,
        probability=probability,
        needed=needed,
        tail=tail,
        reason=_reason(flagged, attempts, probability, needed, tail),
    )


def _reason(flagged: int, attempts: int, probability: float, needed: int, tail: float) -> str:
    if attempts < needed:
        return f"only {attempts} attempts passed the fault, needs {needed} attempts at {probability:.4%}: send more, or longer"
    if flagged == 0:
        return f"none of {attempts} attempts was hit by a fault of {probability:.4%}: it is not in effect on their path"
    if tail < ALPHA_SHARE:
        return (
            f"{flagged} of {attempts} attempts were hit ({flagged / attempts:.4%}), which a fault of {probability:.4%} "
            "does not explain: part of the traffic takes another path, or another fault acts on it"
        )
    return ""
