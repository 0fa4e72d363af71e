"""How often may a verdict be false? The error levels, fixed before anything is measured.

A run is green only if every claim holds, so a false "held" cannot grow with the number of claims. A false "violated" can
(one is enough to turn a run red): its level is divided so that a whole run shows one with at most 5 %.
"""

from __future__ import annotations

from typing import Final

from chaos.errors import InvalidValue
from chaos.model.standards import Standards

ALPHA_HELD: Final = Standards().false_held
"""Level of a false "held", of each claim; also that of each one-sided bound that is printed."""

ALPHA_RUN: Final = Standards().false_violated
"""Level of any false "violated" in a whole run."""


def alpha_violated(*, experiments: int, claim: int, run: float = ALPHA_RUN) -> float:
    """Level of a false "violated" of claim number `claim` (from 1) in one of `experiments` selected experiments.

    1/(j (j+1)) adds up to 1 over all j, so the number of claims of an experiment need not be known beforehand.
    """
    if experiments < 1 or claim < 1:
        raise InvalidValue(f"experiments is {experiments} and claim is {claim}: both are counted from 1")
    return run / (experiments * claim * (claim + 1))
