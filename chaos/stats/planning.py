"""How many requests does a claim need? Said before any load is sent.

Both figures are for independent requests and a fixed window; `design_effect` (that of the steady window) multiplies them.
Comparisons are planned by `equivalence.planned_requests`.
"""

from __future__ import annotations

import math
from itertools import count
from typing import Final

from chaos.stats import special
from chaos.stats.levels import ALPHA_HELD
from chaos.stats.shares import REQUESTS_FOR_ALL, check_allowed, check_expected, requests_for

POWER: Final = 0.9
"""How often a system that is as good as expected is to be called so."""


def planned_requests(
    allowed: float,
    *,
    expected: float = 0.0,
    design_effect: float = 1.0,
    power: float = POWER,
    alpha_held: float = ALPHA_HELD,
) -> int:
    """Requests for a claim that allows the bad share `allowed`, if `expected` is the true one (none by default).

    59 for 95 %, 299 for 99 %, 2,995 for 99.9 % and no failures. Raises InvalidValue unless `expected` is below `allowed`.
    """
    check_allowed(allowed)
    check_expected(expected, allowed)
    if allowed == 0:
        independent = REQUESTS_FOR_ALL
    elif expected == 0:
        independent = math.ceil(math.log(alpha_held) / math.log1p(-allowed))
    else:
        independent = _with_failures(allowed, expected, power, alpha_held)
    return math.ceil(independent * design_effect)


def _with_failures(allowed: float, expected: float, power: float, alpha_held: float) -> int:
    """From the normal approximation up, until the exact rule has the power.

    The most bad requests that still hold grow in steps, and the power only falls between two steps: after the first
    try, the starts of the steps are the only candidates.
    """
    spread = special.z(alpha_held) * math.sqrt(allowed * (1 - allowed)) + special.z(1 - power) * math.sqrt(
        expected * (1 - expected)
    )
    requests = math.ceil((spread / (allowed - expected)) ** 2)
    most_bad = max(_most_bad(requests, allowed, alpha_held), 0)
    for bad in count(most_bad):
        requests = max(requests, requests_for(bad, allowed, alpha_held=alpha_held))
        if special.at_most(bad, requests, expected) >= power:
            break
    return requests


def _most_bad(requests: int, allowed: float, alpha_held: float) -> int:
    """The most bad ones of so many requests with which the claim still holds; -1 if there is no such number."""
    held, not_held = -1, requests
    while not_held - held > 1:
        bad = (held + not_held) // 2
        held, not_held = (bad, not_held) if special.at_most(bad, requests, allowed) <= alpha_held else (held, bad)
    return held
