"""What does one window bring to a comparison? Its share of bad requests and its latencies, with limits at any level."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from chaos.stats.dependence import latency_design_effect, share_design_effect
from chaos.stats.mover import Estimate, Estimator, wilson
from chaos.stats.quantiles import Latencies
from chaos.stats.shares import FEWEST_EFFECTIVE, check_burst


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arm:
    """A window, or one version's part of it, as one side of a comparison."""

    bad: int
    requests: int
    latencies: Latencies
    """In seconds; of the same requests, or of those that a claim restricts itself to."""
    share_design_effect: float
    latency_design_effect: float

    @classmethod
    def of(cls, bad: bytes, latencies: Latencies, *, burst: float = 1.0) -> Arm:
        """`bad`: one byte per request by scheduled start, 1 = bad; `burst`: declared mean length of bursts."""
        check_burst(burst)
        return cls(
            bad=bad.count(1),
            requests=len(bad),
            latencies=latencies,
            share_design_effect=share_design_effect(bad, burst=burst),
            latency_design_effect=latency_design_effect(latencies),
        )

    @property
    def effective_requests(self) -> float:
        """What the window is worth in independent requests, for shares or for latencies, whichever is less."""
        return min(self._effective_for_share, self._effective_for_latency)

    @property
    def share(self) -> float:
        """The bad share; nan without requests."""
        return self.bad / self.requests if self.requests else math.nan

    def estimate_share(self, alpha: float) -> Estimate:
        """The bad share with Wilson's limits, each one-sided at `alpha`."""
        return Estimate(self.share, *wilson(self.share, self._effective_for_share, alpha))

    def estimate_quantile(self, q: float) -> Estimator:
        """Latency quantile q in seconds, with limits at the level it is called with."""
        return partial(self.latencies.estimate, q, self._effective_for_latency)

    @property
    def _effective_for_share(self) -> float:
        return self.requests / self.share_design_effect

    @property
    def _effective_for_latency(self) -> float:
        return len(self.latencies) / self.latency_design_effect


def needed_for_comparison(arms: Iterable[Arm]) -> int | None:
    """About how many requests each window needs before it can be compared; None if all have them."""
    short = [
        math.ceil(FEWEST_EFFECTIVE * max(arm.share_design_effect, arm.latency_design_effect))
        for arm in arms
        if arm.effective_requests < FEWEST_EFFECTIVE
    ]
    return max(short, default=None)
