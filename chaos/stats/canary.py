"""Is the candidate worse than the stable version under the same fault, and is it the fault that makes it so?

Four cells, measured at the same time with the same load: candidate and stable, under the fault and in steady state.
direct = CF - SF decides; the difference in differences CF - CS - SF + SS names the cause. Both by MOVER: ranking
differences in differences raises false alarms in 26 % of runs with identical distributions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from chaos.errors import InvalidValue
from chaos.stats.arms import Arm, needed_for_comparison
from chaos.stats.equivalence import COMPONENTS, QUANTILES
from chaos.stats.levels import ALPHA_HELD
from chaos.stats.mover import Contrast, contrast


class Difference(StrEnum):
    """What one comparison of the versions shows."""

    WORSE = "worse"
    BETTER = "better"
    NONE = "no difference"
    INCONCLUSIVE = "inconclusive"


class Advice(StrEnum):
    """What follows for the rollout."""

    PROMOTE = "promote"
    ROLL_BACK = "roll back"
    INCONCLUSIVE = "inconclusive"


class Cause(StrEnum):
    """Why the candidate is worse under the fault."""

    FAULT = "the fault"
    ALREADY_THERE = "already there"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryMargins:
    """How much worse is no difference. The defaults are a judgement."""

    share: float = 0.01
    """Of bad requests: 1 percentage point."""
    part_of_stable: float = 0.25
    """Of the stable version's quantile under the fault,"""
    least: float = 0.005
    """but at least so many seconds."""

    def __post_init__(self) -> None:
        if not (0 < self.share < 1 and self.part_of_stable >= 0 and self.least > 0):
            raise InvalidValue(f"{self}: the share lies between 0 and 1, the part of stable is not negative, the least above 0 s")

    def latency(self, stable: float) -> float:
        """Seconds, for a quantile of the stable version under the fault."""
        return max(self.part_of_stable * stable, self.least)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """The four windows of a canary."""

    candidate_fault: Arm
    candidate_steady: Arm
    stable_fault: Arm
    stable_steady: Arm

    @property
    def direct(self) -> Sequence[tuple[int, Arm]]:
        """Candidate less stable under the fault."""
        return ((1, self.candidate_fault), (-1, self.stable_fault))

    @property
    def difference_in_differences(self) -> Sequence[tuple[int, Arm]]:
        """What the fault adds to the difference of the versions."""
        return (
            (1, self.candidate_fault),
            (-1, self.candidate_steady),
            (-1, self.stable_fault),
            (1, self.stable_steady),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryDecision:
    """What was decided about a candidate, and the contrasts it rests on (share of bad, p50 and p95 in seconds)."""

    advice: Advice
    cause: Cause | None
    """Only for a candidate that is worse."""
    direct: tuple[Contrast, ...]
    difference_in_differences: tuple[Contrast, ...]
    alpha_held: float
    alpha_violated: float
    needed: int | None
    """Too few effective requests in a cell: about so many are needed in each."""


def judge_canary(
    cells: Cells, *, alpha_violated: float, alpha_held: float = ALPHA_HELD, margins: CanaryMargins | None = None
) -> CanaryDecision:
    """Promote only a candidate shown to be not worse; roll back one shown to be worse; else inconclusive."""
    margins = margins or CanaryMargins()
    levels = {"alpha_held": alpha_held, "alpha_violated": alpha_violated / COMPONENTS}
    arms = [arm for _, arm in cells.difference_in_differences]
    needed = needed_for_comparison(arms)
    direct: tuple[Contrast, ...] = ()
    in_differences: tuple[Contrast, ...] = ()
    if all(arm.requests and len(arm.latencies) for arm in arms):
        direct = tuple(_contrasts(cells.direct, cells.stable_fault, margins, levels))
        in_differences = tuple(_contrasts(cells.difference_in_differences, cells.stable_fault, margins, levels))
    advice = _advice(direct) if needed is None else Advice.INCONCLUSIVE
    return CanaryDecision(
        advice=advice,
        cause=_cause(direct, in_differences) if advice is Advice.ROLL_BACK else None,
        direct=direct,
        difference_in_differences=in_differences,
        alpha_held=alpha_held,
        alpha_violated=alpha_violated,
        needed=needed,
    )


def difference(contrast: Contrast) -> Difference:
    """What one contrast shows by itself."""
    if contrast.worse:
        return Difference.WORSE
    if contrast.at_held.upper < -contrast.margin:
        return Difference.BETTER
    return Difference.NONE if contrast.not_worse and contrast.not_better else Difference.INCONCLUSIVE


def _contrasts(
    terms: Sequence[tuple[int, Arm]], stable: Arm, margins: CanaryMargins, levels: Mapping[str, float]
) -> Iterator[Contrast]:
    shares = [(sign, arm.estimate_share) for sign, arm in terms]
    yield contrast("bad share", "share", shares, margin=margins.share, **levels)
    for name, q in QUANTILES:
        latencies = [(sign, arm.estimate_quantile(q)) for sign, arm in terms]
        yield contrast(name, "s", latencies, margin=margins.latency(stable.latencies.quantile(q)), **levels)


def _advice(direct: Sequence[Contrast]) -> Advice:
    if any(contrast.worse for contrast in direct):
        return Advice.ROLL_BACK
    return Advice.PROMOTE if direct and all(contrast.not_worse for contrast in direct) else Advice.INCONCLUSIVE


def _cause(direct: Sequence[Contrast], in_differences: Sequence[Contrast]) -> Cause:
    """Of the contrasts in which the candidate is worse: one that the fault made so is enough to name it."""
    causes = [by_fault for found, by_fault in zip(direct, in_differences, strict=True) if found.worse]
    if any(by_fault.worse for by_fault in causes):
        return Cause.FAULT
    return Cause.ALREADY_THERE if all(by_fault.not_worse for by_fault in causes) else Cause.UNKNOWN
