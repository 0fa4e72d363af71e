"""Is this window as good as that one? `not_to_differ_from(other)`, and its negation `to_differ_from(other)`.

"No significant difference" shows nothing, so both have to be shown: that success share, p50 and p95 lie within their margins,
or that one lies beyond. Missing requests are taken against whatever is to be shown. Results of different sides of an
injection are never compared, nor windows that were stopped by looking.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import compress
from typing import Final, Literal

from chaos.claims import gates, shares
from chaos.claims.claim import Claim, Judgement, Levels, Plan, unless, written
from chaos.claims.columns import failures
from chaos.claims.explanation import confidence, counted, percent, timeline
from chaos.claims.subjects import WindowSubject, injection_on, ordered_response_times, response_times
from chaos.errors import InvalidValue, nearest
from chaos.model import units
from chaos.model.edge import Edge
from chaos.model.injection import Side
from chaos.model.outcome import Outcome
from chaos.model.standards import Standards
from chaos.model.window import Outlook, Window, latency_at
from chaos.stats.arms import Arm
from chaos.stats.equivalence import QUANTILES, Equivalence, Margins, compare, planned_requests
from chaos.stats.mover import Contrast
from chaos.stats.quantiles import Latencies

Direction = Literal["worse", "both"]
By = Mapping[str, str | float | timedelta]

_MARGINS: Final = ("success", "latency")
_MARGINS_OF_A_TIME: Final = 4
"""A late start may take a twentieth of a claimed time, and as much as that would be of the margin: a fifth."""


class NotDifferFrom(Claim[WindowSubject]):
    """Success share, p50 and p95 are shown to lie within their margins of the other window's."""

    method = "not_to_differ_from"
    fixed = True

    def __init__(
        self, other: Window, *, by: By | None = None, direction: Direction = "worse", standards: Standards | None = None
    ) -> None:
        if not isinstance(other, Window):
            raise InvalidValue(f"{self.method}({other!r}): compare with a window, {self.method}(steady)")
        if direction not in ("worse", "both"):
            raise InvalidValue(f'direction is {direction!r}: "worse" than the other window, or "both" ways')
        self.other = other
        self.margins = margins(by, standards or Standards())
        self.both = direction == "both"
        self.text = written(self.method, Name(other.name), by=by, direction=unless("worse", direction))

    def planned(self, outlook: Outlook) -> Plan:
        if not self.other.closed:
            return Plan()
        other = arm(WindowSubject(self.other.evidence), missing_is_bad=False)
        needed = planned_requests(other, margins=self.margins, alpha_held=outlook.false_held)
        return Plan(requests=needed, provided="there is no difference", design_effect=other.latency_design_effect)

    def refusal(self, subject: WindowSubject) -> str:
        other = self.other.evidence
        if other is subject.window:
            return "a window does not differ from itself; compare it with another one"
        mine, theirs = _sides(subject), _sides(WindowSubject(other))
        for edge in mine.keys() & theirs.keys():
            if mine[edge] is not theirs[edge]:
                return (
                    f"on {edge} the fault acts at the {mine[edge]} in one and at the {theirs[edge]} in the other: different "
                    "policies act on them, and their results cannot be compared; inject both with the same at="
                )
        return ""

    def doubt(self, subject: WindowSubject) -> str:
        other = WindowSubject(self.other.evidence)
        if doubt := gates.doubt(other):
            return f"{other.name}: {doubt}"
        for one in (subject, other):
            if one.window.cut_short:
                return f"{one.name} was cut short, and a comparison needs windows whose length was fixed beforehand; repeat it"
            if gates.lag(one, 0.0) and (late := gates.lag(one, _judged_against(other, self.margins))):
                return f"{one.name}: {late}"
        return ""

    def baseline(self, steady: WindowSubject, levels: Levels) -> Judgement | None:
        """A comparison brings its own reference."""
        return None

    def judge(self, subject: WindowSubject, levels: Levels) -> Judgement:
        return _judged(self._compared(subject, held=levels.held, violated=levels.violated), subject, self.other)

    def _compared(self, subject: WindowSubject, *, held: float, violated: float) -> _Comparison:
        """Held or violated only if it is so whatever the missing requests were."""
        other = WindowSubject(self.other.evidence)
        pairs = [(arm(subject, missing_is_bad=bad), arm(other, missing_is_bad=not bad)) for bad in self._assumed(subject, other)]
        decisions = [
            compare(b, a, alpha_held=held, alpha_violated=violated, margins=self.margins, both_directions=self.both)
            for b, a in pairs
        ]
        agreed = {decision.outcome for decision in decisions}
        decided = decisions[0] if len(agreed) == 1 else replace(decisions[0], outcome=Outcome.INCONCLUSIVE)
        return _Comparison(decided=decided, subject=pairs[0][0], other=pairs[0][1], margins=self.margins)

    def _assumed(self, subject: WindowSubject, other: WindowSubject) -> tuple[bool, ...]:
        """Were missing requests of this window bad (and those of the other good), or the other way round? Both, to be sure."""
        return (False, True) if subject.window.missing or other.window.missing else (False,)


class DifferFrom(NotDifferFrom):
    """One of them is shown to lie beyond its margin: the negation, with its levels swapped."""

    method = "to_differ_from"

    def judge(self, subject: WindowSubject, levels: Levels) -> Judgement:
        comparison = self._compared(subject, held=levels.violated, violated=levels.held)
        judged = _judged(comparison, subject, self.other)
        return replace(judged, outcome=judged.outcome.negated)


@dataclass(frozen=True, slots=True)
class Name:
    """Shown in a claim as it is: a window has no literal."""

    text: str

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """What was decided, and of which windows."""

    decided: Equivalence
    subject: Arm
    other: Arm
    margins: Margins

    @property
    def planned(self) -> int | None:
        """Requests in each window that would show no difference, if there is none."""
        return planned_requests(self.other, margins=self.margins)


def margins(by: By | None, standards: Standards) -> Margins:
    """`{"success": "2%"}` percentage points, `{"latency": "50%"}` of p50 and p95, or `{"latency": "20ms"}`. Raises InvalidValue."""
    usual = replace(_relative(standards.latency_margin), share=standards.success_margin)
    if by is None:
        return usual
    form = 'give margins by what they are of, by={"success": "2%", "latency": "50%"} or by={"latency": "20ms"}'
    if not isinstance(by, Mapping) or not by:
        raise InvalidValue(f"by is {by!r}: {form}")
    for name in by:
        if name not in _MARGINS:
            raise InvalidValue(f"by has {name!r}{nearest(str(name), _MARGINS)}: {form}")
    found = replace(_latency_margins(by["latency"]), share=usual.share) if "latency" in by else usual
    if "success" not in by:
        return found
    success = by["success"]
    if isinstance(success, timedelta) or (drop := units.share(success, name='by["success"]')) >= 1:
        raise InvalidValue(f'by["success"] is {success!r}: a drop of the success share in percentage points, below 100, "2%"')
    return replace(found, share=drop)


def _latency_margins(margin: str | float | timedelta) -> Margins:
    """A relative margin is absolute for times below 10 ms, as the default of 25 % is; an absolute one is so for all."""
    if isinstance(margin, timedelta) or (isinstance(margin, str) and not margin.strip().endswith("%")):
        return Margins(small=math.inf, difference=units.duration(margin, name='by["latency"]').total_seconds())
    return _relative(units.share(margin, name='by["latency"]'))


def _relative(share: float) -> Margins:
    return Margins(ratio=1 + share, difference=share * Margins().small)


def _judged_against(other: WindowSubject, margins: Margins) -> float:
    """Seconds against which a late start is measured: with the margin of 25 % that is the median itself."""
    median = latency_at(response_times(other), 0.5)
    margin = margins.difference if median < margins.small else (margins.ratio - 1) * median
    return _MARGINS_OF_A_TIME * margin


def _sides(subject: WindowSubject) -> dict[Edge, Side]:
    return {seen.edge: record.side for seen in subject.edges if (record := injection_on(seen, subject.window))}


def arm(subject: WindowSubject, *, missing_is_bad: bool) -> Arm:
    """A window as one side of a comparison; missing requests failed, or were answered at once."""
    missing = shares.unsent(subject.window)
    bad = shares.spread(failures(subject.requests), missing, int(missing_is_bad))
    if not missing:
        return Arm.of(bytes(bad), ordered_response_times(subject))
    times = shares.spread(response_times(subject), missing, math.inf if missing_is_bad else 0.0)
    return Arm.of(bytes(bad), Latencies.of(times))


def _judged(comparison: _Comparison, subject: WindowSubject, other: Window) -> Judgement:
    decided = comparison.decided
    bad = failures(subject.requests)
    slow = bytes(map(comparison.other.latencies.quantile(0.95).__lt__, response_times(subject)))
    against = bytes(map(int.__or__, bad, slow)) if 1 in bad else slow
    components = [(component, component.name.removesuffix(" share")) for component in decided.components]
    parts = [_part(component, comparison, name) for component, name in components]
    return Judgement(
        outcome=decided.outcome,
        summary=f"{'; '.join(parts)}; {counted(comparison.subject.requests, 'request')} against {comparison.other.requests}",
        reason=_undecided(comparison) if decided.outcome is Outcome.INCONCLUSIVE else "",
        requests=comparison.subject.requests,
        figures=_figures(comparison),
        details=(
            *(_bounds(component, decided, name) for component, name in components),
            timeline(subject.requests["scheduled"], against, subject.window, f"failed, or slower than the p95 of {other.name}"),
        ),
        culprits=frozenset(compress(subject.requests["sequence"], against)),
    )


def _part(component: Contrast, comparison: _Comparison, name: str) -> str:
    """`p95 45 ms (was 40 ms)`."""
    if component.unit == "share":
        return f"{name} {percent(1 - comparison.subject.share)} (was {percent(1 - comparison.other.share)})"
    q = dict(QUANTILES)[name]
    now, before = comparison.subject.latencies.quantile(q), comparison.other.latencies.quantile(q)
    return f"{name} {units.seconds(now)} (was {units.seconds(before)})"


def _bounds(component: Contrast, decided: Equivalence, name: str) -> str:
    """`p95 is worse by 12 %, between 8 % and 16 % with 95 % confidence each; margin 25 %`."""
    estimate = component.at_held
    amounts = (estimate.lower, estimate.value, estimate.upper, component.margin)
    low, value, high, margin = (_difference(amount, component.unit) for amount in amounts)
    sure = f"with {confidence(decided.alpha_held)} confidence each"
    verdict = " - beyond it" if component.worse or (decided.both_directions and component.better) else ""
    return f"{name} worse by {value}, between {low} and {high} {sure}; margin {margin}{verdict}"


def _difference(value: float, unit: str) -> str:
    if math.isnan(value):
        return "an unknown amount"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if unit == "share":
        return f"{value * 100:.3g} points"
    if unit == "s":
        return f"{'-' if value < 0 else ''}{units.seconds(abs(value))}"
    return f"{math.expm1(value) * 100:.3g} %" if value < math.log(2) else f"a factor of {math.exp(min(value, 700)):.3g}"


def _undecided(comparison: _Comparison) -> str:
    have = min(comparison.subject.requests, comparison.other.requests)
    needed = comparison.decided.needed or comparison.planned
    if needed is None or needed <= have:
        return "the difference lies too near to a margin to be told from it; make both windows longer, or widen the margin"
    return f"too few: about {needed} requests are needed in each window, and the smaller one has {have}"


def _figures(comparison: _Comparison) -> dict[str, object]:
    decided = comparison.decided
    return {
        "requests": comparison.subject.requests,
        "requests_other": comparison.other.requests,
        "alpha_held": decided.alpha_held,
        "alpha_violated": decided.alpha_violated,
        **{
            component.name: {
                "value": component.value,
                "upper_held": component.at_held.upper,
                "lower_violated": component.at_violated.lower,
                "margin": component.margin,
                "unit": component.unit,
            }
            for component in decided.components
        },
    }
