"""Is it decided yet? Share claims watched while requests arrive, and those on windows that were stopped by looking.

At each look a bet against the claim and one for it are settled (mixture likelihood ratios, e-values). Whoever may stop at
any time sees a false bet multiply twentyfold in at most one run of twenty, so the first bet to pay decides, and finally.

The prefix that is handed in has to be in the order of the scheduled start, and only as long as all its requests are resolved: in
the order of completion, 50 % of requests that fail after 3 s were called held in every run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from chaos.model.outcome import Outcome
from chaos.stats.dependence import latency_design_effect, running_share_design_effect
from chaos.stats.levels import ALPHA_HELD
from chaos.stats.quantiles import Latencies
from chaos.stats.shares import (
    FEWEST_EFFECTIVE,
    REQUESTS_FOR_ALL,
    check_allowed,
    check_burst,
    check_expected,
    outcome_for_all,
    worst_case,
)

Grid = Sequence[tuple[float, float]]
"""Alternatives to the allowed share: (weight, odds of a bad request)."""

_HIGHEST_ODDS: Final = 9.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look at a claim showed; the last one taken is the decision so far."""

    outcome: Outcome
    bad: int
    """k of the `requests` that were recorded."""
    requests: int
    missing: int
    allowed: float
    design_effect: float
    log_e_held: float
    """ln of the bet that the bad share is below `allowed`: held from ln(1/alpha_held) on."""
    log_e_violated: float
    """ln of the bet that the bad share is above `allowed`: violated from ln(1/alpha_violated) on."""
    alpha_held: float
    alpha_violated: float

    @property
    def share(self) -> float:
        """The measured bad share; nan without requests."""
        return self.bad / self.requests if self.requests else math.nan

    @property
    def decided(self) -> bool:
        return self.outcome is not Outcome.INCONCLUSIVE


@dataclass(frozen=True, slots=True)
class Schedule:
    """After how many requests one looks: at the first count, then at the next whole number above `factor` times the last."""

    first: int
    factor: float

    def after(self, look: int) -> int:
        return int(look * self.factor) + 1

    def first_after(self, requests: int) -> int:
        """The next look that is due when so many have been seen."""
        due = self.first
        while due <= requests:
            due = self.after(due)
        return due


SHARE_LOOKS: Final = Schedule(50, 1.1)
LATENCY_LOOKS: Final = Schedule(500, 1.25)


@dataclass(frozen=True, slots=True)
class _Counts:
    bad: int
    scheduled: int
    missing: int
    design_effect: float
    enough: bool = True


class Watch:
    """The looks at one claim. Each of its methods takes the whole prefix so far, and returns the last look.

    With `alpha_held` 0 it is never held: a guard goes on looking for a violation however good it was so far.
    """

    def __init__(self, allowed: float, *, alpha_violated: float, alpha_held: float, schedule: Schedule) -> None:
        check_allowed(allowed)
        self._allowed = allowed
        self._alpha_held = alpha_held
        self._alpha_violated = alpha_violated
        self._schedule = schedule
        self._due = schedule.first
        self.last = self._look(_Counts(0, 0, 0, 1.0))

    def _advance(self, available: int, count: Callable[[int], _Counts]) -> Look:
        """Take the looks that are due with `available` requests, until one decides."""
        while not self.last.decided and self._due <= available:
            self.last = self._look(count(self._due))
            self._due = self._schedule.after(self._due)
        return self.last

    def _close(self, available: int, count: Callable[[int], _Counts]) -> Look:
        """The looks that are due, and one at the end, between two due ones."""
        self._advance(available, count)
        if not self.last.decided and available >= self._schedule.first:
            self.last = self._look(count(available))
        return self.last

    def _look(self, counts: _Counts) -> Look:
        bad, missing, allowed = counts.bad, counts.missing, self._allowed
        worst, best, total = (n / counts.design_effect for n in (bad + missing, bad, counts.scheduled))
        log_e_held = log_e(low_grid(allowed), worst, total, allowed) if allowed else -math.inf
        log_e_violated = log_e(high_grid(allowed), best, total, allowed) if allowed else -math.inf
        if not counts.enough:
            outcome = Outcome.INCONCLUSIVE
        elif allowed == 0:
            outcome = outcome_for_all(bad, missing, total)
        else:
            outcome = self._outcome(log_e_held, log_e_violated)
        if outcome is Outcome.HELD and not self._alpha_held:
            outcome = Outcome.INCONCLUSIVE
        return Look(
            outcome=outcome,
            bad=bad,
            requests=counts.scheduled - missing,
            missing=missing,
            allowed=allowed,
            design_effect=counts.design_effect,
            log_e_held=log_e_held,
            log_e_violated=log_e_violated,
            alpha_held=self._alpha_held,
            alpha_violated=self._alpha_violated,
        )

    def _outcome(self, log_e_held: float, log_e_violated: float) -> Outcome:
        if self._alpha_held and log_e_held >= -math.log(self._alpha_held):
            return Outcome.HELD
        return Outcome.VIOLATED if log_e_violated >= -math.log(self._alpha_violated) else Outcome.INCONCLUSIVE


class ShareWatch(Watch):
    """A claim on a share of bad requests, looked at after 50 requests, then 56, 62, 69 ...

    `burst` is the declared mean length of bursts of failures; undeclared bursts of 5 are called held at the boundary in more
    than half of the runs (simulated), so a message has to say that the verdict is for single failures only.
    """

    def __init__(self, allowed: float, *, alpha_violated: float, alpha_held: float = ALPHA_HELD, burst: float = 1.0) -> None:
        check_burst(burst)
        self._burst = burst
        super().__init__(allowed, alpha_violated=alpha_violated, alpha_held=alpha_held, schedule=SHARE_LOOKS)

    def advance(self, bad: bytes, unsent: bytes = b"") -> Look:
        """More has arrived: `bad` and `unsent` have one byte (0 or 1) per request of the resolved prefix."""
        return self._advance(len(bad), lambda n: self._count(bad[:n], unsent[:n]))

    def close(self, bad: bytes, unsent: bytes = b"") -> Look:
        """The window has ended: what is undecided now stays inconclusive."""
        return self._close(len(bad), lambda n: self._count(bad[:n], unsent[:n]))

    def _count(self, bad: bytes, unsent: bytes) -> _Counts:
        design_effect = running_share_design_effect(worst_case(bad, unsent), burst=self._burst)
        return _Counts(bad.count(1), len(bad), unsent.count(1), design_effect)


class LatencyWatch(Watch):
    """A claim on the share of latencies above `bound`, looked at after 500 requests, then 626, 783 ...

    The design effect never falls from one look to the next; under `FEWEST_EFFECTIVE` effective requests nothing is decided.
    """

    def __init__(self, bound: float, *, allowed: float, alpha_violated: float, alpha_held: float = ALPHA_HELD) -> None:
        self._bound = bound
        self._design_effect = 1.0
        super().__init__(allowed, alpha_violated=alpha_violated, alpha_held=alpha_held, schedule=LATENCY_LOOKS)

    def advance(self, latencies: Sequence[float], unsent: bytes = b"") -> Look:
        """More has arrived: one latency per request of the resolved prefix, +inf for unsent ones and for no response."""
        return self._advance(len(latencies), lambda n: self._count(latencies[:n], unsent[:n]))

    def close(self, latencies: Sequence[float], unsent: bytes = b"") -> Look:
        """The window has ended: what is undecided now stays inconclusive."""
        return self._close(len(latencies), lambda n: self._count(latencies[:n], unsent[:n]))

    def _count(self, values: Sequence[float], unsent: bytes) -> _Counts:
        latencies = Latencies.of(values)
        missing = unsent.count(1)
        self._design_effect = max(self._design_effect, latency_design_effect(latencies, bound=self._bound))
        enough = len(latencies) / self._design_effect >= FEWEST_EFFECTIVE
        return _Counts(latencies.above(self._bound) - missing, len(latencies), missing, self._design_effect, enough)


def planned_looks(
    allowed: float, schedule: Schedule, *, expected: float = 0.0, design_effect: float = 1.0, alpha_held: float = ALPHA_HELD
) -> int:
    """Requests at the look that decides for a claim if the bad share is `expected`: 69 for 95 %, 367 for 99 %, 3,669 for 99.9 %.

    Raises InvalidValue unless `expected` is 0 or below `allowed`.
    """
    check_allowed(allowed)
    check_expected(expected, allowed)
    due = schedule.first
    while not _decides(due / design_effect, expected, allowed, alpha_held):
        due = schedule.after(due)
    return due


def _decides(requests: float, expected: float, allowed: float, alpha_held: float) -> bool:
    if allowed == 0:
        return requests >= REQUESTS_FOR_ALL
    return log_e(low_grid(allowed), expected * requests, requests, allowed) >= -math.log(alpha_held)


def low_grid(allowed: float) -> Grid:
    """Alternatives of a system that is better than allowed."""
    odds = allowed / (1 - allowed)
    return ((0.4, 0.0), *((0.15, odds / divisor) for divisor in (8, 4, 2, math.sqrt(2))))


def high_grid(allowed: float) -> Grid:
    """Alternatives of a system that is worse than allowed: sqrt 2, 2, 4, 8 ... times its odds, up to the first of 9 or more."""
    odds = allowed / (1 - allowed)
    alternatives = [odds * math.sqrt(2)]
    while alternatives[-1] < _HIGHEST_ODDS:
        alternatives.append(2 * odds if len(alternatives) == 1 else 2 * alternatives[-1])
    return [(1 / len(alternatives), alternative) for alternative in alternatives]


def log_e(grid: Grid, bad: float, requests: float, allowed: float) -> float:
    """ln of the mean likelihood ratio of the grid's shares against `allowed`, for `bad` of `requests`."""
    good = requests - bad
    terms = []
    for weight, odds in grid:
        share = odds / (1 + odds)
        if share > 0:
            terms.append(math.log(weight) + bad * math.log(share / allowed) + good * math.log((1 - share) / (1 - allowed)))
        elif bad == 0:
            terms.append(math.log(weight) - good * math.log1p(-allowed))
    highest = max(terms)
    return highest + math.log(sum(math.exp(term - highest) for term in terms))
