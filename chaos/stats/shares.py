"""Is the share of bad requests within what is allowed? The decision on a window whose length was fixed beforehand.

Exact binomial tails over effective counts k' = k/D and n' = n/D. "Held" is judged on the worst case (requests that were not
sent or not recorded count as bad), "violated" on the best one (they count as good). A window that was stopped by looking,
or cut short, is judged by `sequential` instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from chaos.errors import InvalidValue
from chaos.model.outcome import Outcome
from chaos.stats import special
from chaos.stats.dependence import latency_design_effect, share_design_effect
from chaos.stats.levels import ALPHA_HELD
from chaos.stats.quantiles import Latencies

REQUESTS_FOR_ALL: Final = 299
"""No number of requests shows 100 %. It is held with so many good ones that 99 % is shown with 95 % confidence."""
FEWEST_EFFECTIVE: Final = 50
"""Latencies worth fewer independent requests than this carry no verdict."""
_MOST_REQUESTS: Final = 100_000_000
_DECIMALS: Final = 12
_BURST_MARGIN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareDecision:
    """What was decided on a share of bad requests, and every figure behind it."""

    outcome: Outcome
    bad: int
    """k of the `requests` that were recorded."""
    requests: int
    missing: int
    """Scheduled, but not sent or not recorded."""
    allowed: float
    """theta0: the bad share allowed."""
    design_effect: float
    tail_held: float
    """P(so few bad) if the bad share were `allowed`: held if at most `alpha_held`."""
    tail_violated: float
    """P(so many bad) if the bad share were `allowed`: violated if at most `alpha_violated`."""
    alpha_held: float
    alpha_violated: float
    fewest_effective: int = 0
    """With fewer effective requests nothing is decided."""

    @property
    def share(self) -> float:
        """The measured bad share; nan without requests."""
        return self.bad / self.requests if self.requests else math.nan

    @property
    def effective_bad(self) -> float:
        return self.bad / self.design_effect

    @property
    def effective_requests(self) -> float:
        return self.requests / self.design_effect

    @property
    def alpha_shown(self) -> float:
        """Level of each bound that is printed. A guard's claim, which is never held, has the usual one."""
        return self.alpha_held or ALPHA_HELD

    @property
    def lower(self) -> float:
        """Lower bound of the bad share, one-sided at `alpha_shown`, missing requests taken for good."""
        return special.lower_bound(self.effective_bad, self._effective_total, self.alpha_shown)

    @property
    def upper(self) -> float:
        """Upper bound of the bad share, one-sided at `alpha_shown`, missing requests taken for bad."""
        return special.upper_bound((self.bad + self.missing) / self.design_effect, self._effective_total, self.alpha_shown)

    @property
    def needed(self) -> int | None:
        """Inconclusive: about so many requests would decide, if the bad share stays as measured. None: no number would."""
        if self.outcome is not Outcome.INCONCLUSIVE:
            return None
        by_tails = _needed(self)
        if self.effective_requests >= self.fewest_effective:
            return by_tails
        return max(by_tails or 0, math.ceil(self.fewest_effective * self.design_effect))

    @property
    def _effective_total(self) -> float:
        return (self.requests + self.missing) / self.design_effect

    @property
    def longest_burst(self) -> float:
        """L*: the longest mean burst of failures that a "held" is good for."""
        return longest_burst(self.requests, self.allowed)


def allowed_bad_share(at_least: float) -> float:
    """theta0 = 1 - at_least, without the rounding error that 1 - 0.99 leaves."""
    return round(1 - at_least, _DECIMALS)


def longest_burst(requests: int, allowed: float) -> float:
    """L* = max(1, n theta0 / 5). Bursts up to it raise false "held" verdicts from 5 to at most 7.5 % (simulated)."""
    return max(1.0, requests * allowed / _BURST_MARGIN)


def decide(
    bad: int,
    requests: int,
    *,
    allowed: float,
    alpha_violated: float,
    alpha_held: float = ALPHA_HELD,
    design_effect: float = 1.0,
    missing: int = 0,
) -> ShareDecision:
    """Held, violated or inconclusive: `bad` of `requests` recorded ones, against the bad share `allowed`.

    `allowed` = 0 is the claim of 100 %: one bad request violates it. Raises InvalidValue for impossible counts.
    """
    check_allowed(allowed)
    if not 0 <= bad <= requests or missing < 0 or design_effect < 1:
        raise InvalidValue(f"{bad} bad of {requests} requests ({missing} missing, design effect {design_effect}) cannot be")
    worst, best, total = (count / design_effect for count in (bad + missing, bad, requests + missing))
    tail_held = special.at_most(worst, total, allowed)
    tail_violated = special.at_least(best, total, allowed)
    if allowed == 0:
        outcome = outcome_for_all(bad, missing, total)
    else:
        outcome = _outcome(tail_held <= alpha_held, tail_violated <= alpha_violated)
    return ShareDecision(
        outcome=outcome,
        bad=bad,
        requests=requests,
        missing=missing,
        allowed=allowed,
        design_effect=design_effect,
        tail_held=tail_held,
        tail_violated=tail_violated,
        alpha_held=alpha_held,
        alpha_violated=alpha_violated,
    )


def judge(
    bad: bytes,
    *,
    allowed: float,
    alpha_violated: float,
    alpha_held: float = ALPHA_HELD,
    burst: float = 1.0,
    unsent: bytes = b"",
) -> ShareDecision:
    """`decide` on one byte per scheduled request, in that order: `bad` (1 = bad) and `unsent` (1 = not sent or recorded).

    `burst` is the declared mean length of bursts of failures. Raises InvalidValue for bits that cannot be.
    """
    check_burst(burst)
    missing = unsent.count(1)
    return decide(
        bad.count(1),
        len(bad) - missing,
        allowed=allowed,
        alpha_violated=alpha_violated,
        alpha_held=alpha_held,
        design_effect=share_design_effect(worst_case(bad, unsent), burst=burst),
        missing=missing,
    )


def judge_latencies(
    latencies: Latencies,
    bound: float,
    *,
    allowed: float,
    alpha_violated: float,
    alpha_held: float = ALPHA_HELD,
    missing: int = 0,
) -> ShareDecision:
    """`decide` on the share of latencies above `bound` (both in one unit); `missing` ones are not among them.

    Inconclusive with under `FEWEST_EFFECTIVE` effective requests, whatever the tails say.
    """
    decision = decide(
        latencies.above(bound),
        len(latencies),
        allowed=allowed,
        alpha_violated=alpha_violated,
        alpha_held=alpha_held,
        design_effect=latency_design_effect(latencies, bound=bound),
        missing=missing,
    )
    enough = decision.effective_requests >= FEWEST_EFFECTIVE
    return replace(decision, outcome=decision.outcome if enough else Outcome.INCONCLUSIVE, fewest_effective=FEWEST_EFFECTIVE)


def outcome_for_all(bad: int, missing: int, effective_requests: float) -> Outcome:
    """The claim of 100 %: one bad request violates it, `REQUESTS_FOR_ALL` good ones and none missing hold it."""
    if bad:
        return Outcome.VIOLATED
    return Outcome.HELD if not missing and effective_requests >= REQUESTS_FOR_ALL else Outcome.INCONCLUSIVE


def worst_case(bad: bytes, unsent: bytes) -> bytes:
    """The bits with unsent requests taken for bad ones. Raises InvalidValue for bits of different requests."""
    if not unsent:
        return bad
    union = int.from_bytes(bad) | int.from_bytes(unsent)
    if len(bad) != len(unsent) or int.from_bytes(bad) & int.from_bytes(unsent):
        raise InvalidValue(f"{len(bad)} bad bits and {len(unsent)} unsent bits: a request has one of each, and not both set")
    return union.to_bytes(len(bad))


def requests_for(bad: int, allowed: float, *, alpha_held: float = ALPHA_HELD) -> int:
    """The fewest independent requests that hold a claim with `bad` bad ones among them: 299, 473, 628, 773 for 99 %.

    Raises InvalidValue if no number does (a share of 0 cannot be shown: see `REQUESTS_FOR_ALL`).
    """
    found = fewest(lambda n: n > bad and special.at_most(bad, n, allowed) <= alpha_held)
    if found is None:
        raise InvalidValue(f"no number of requests shows a bad share of at most {allowed:g} with {bad} bad ones")
    return found


def check_allowed(allowed: float) -> None:
    """Raises InvalidValue unless `allowed` is a bad share that a claim can allow."""
    if not 0 <= allowed < 1:
        raise InvalidValue(f"the bad share allowed is {allowed}: it lies between 0 (a claim of 100 %) and 1, which is excluded")


def check_expected(expected: float, allowed: float) -> None:
    """Raises InvalidValue unless a claim that allows one share can be shown where the other is to be expected."""
    if expected and not 0 < expected < allowed:
        raise InvalidValue(f"a bad share of {expected:g} is expected and {allowed:g} allowed: no load can show that it holds")


def check_burst(burst: float) -> None:
    """Raises InvalidValue unless `burst` is a mean length of bursts."""
    if not 1 <= burst < math.inf:
        raise InvalidValue(f"burst is {burst}: the mean number of failures in a row is at least 1")


def _outcome(held: bool, violated: bool) -> Outcome:
    if held:
        return Outcome.HELD
    return Outcome.VIOLATED if violated else Outcome.INCONCLUSIVE


def _needed(decision: ShareDecision) -> int | None:
    """The requests, more than there were, with which the tails would decide."""
    allowed, design_effect = decision.allowed, decision.design_effect
    if allowed == 0:
        return None if decision.missing else math.ceil(REQUESTS_FOR_ALL * design_effect)
    scheduled = decision.requests + decision.missing
    worst = (decision.bad + decision.missing) / max(1, scheduled)
    best = decision.bad / max(1, scheduled)

    def held(n: int) -> bool:
        return special.at_most(worst * n / design_effect, n / design_effect, allowed) <= decision.alpha_held

    def violated(n: int) -> bool:
        return special.at_least(best * n / design_effect, n / design_effect, allowed) <= decision.alpha_violated

    if worst < allowed:
        return fewest(held, above=scheduled)
    return fewest(violated, above=scheduled) if best > allowed else None


def fewest(enough: Callable[[int], bool], *, above: int = 0) -> int | None:
    """The fewest requests (more than `above`) that are enough, up to a hundred million."""
    few, many = above, above + 1
    while not enough(many):
        if many > _MOST_REQUESTS:
            return None
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many
