"""Is everything as before, soon enough after a fault? `to_recover(within=, after=injection)`, on load that flows.

The window that is judged begins `within` after the fault was proven gone and is as long as its comparison with the steady window
needs, at least ten seconds: recovered is who stays so. What was no fault, or hit nothing, shows no recovery.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import Final, Protocol, runtime_checkable

from chaos.claims import gates
from chaos.claims.claim import Judgement, Levels, written
from chaos.claims.columns import failures, sent
from chaos.claims.differences import By, Name, NotDifferFrom, arm, margins
from chaos.claims.subjects import Flowing, WindowSubject, attempts_per_request
from chaos.errors import ExperimentError, InvalidValue
from chaos.model import units
from chaos.model.injection import InjectionRecord
from chaos.model.outcome import Outcome
from chaos.model.samples import Samples
from chaos.model.window import Foreseen, Window, WindowEvidence, latencies
from chaos.stats.equivalence import planned_requests
from chaos.stats.means import judge_mean

_DEGRADED: Final = 0.1
"""A second of which more than this share is worse than before counts as degraded; described, never decided on."""
_SECOND: Final = 1_000_000_000


@runtime_checkable
class Ended(Protocol):  # pragma: no mutate block
    """An injection that has ended (`chaos.run.injecting` makes them)."""

    record: InjectionRecord


class Recover(NotDifferFrom):
    """From `within` after the fault was gone, the requests do not differ from those of the steady window."""

    method = "to_recover"

    def __init__(self, within: str | timedelta, *, after: Ended, traffic: Flowing, by: By | None = None) -> None:
        self.seconds = units.duration(within, name="within").total_seconds()
        self.record = _gone(after)
        self._traffic = traffic
        steady = _steady_of(traffic, self.record)
        self._standards = traffic.ledger.standards
        super().__init__(Window(steady.name, traffic.ledger, steady), by=by, standards=self._standards)
        self.text = written(self.method, within=within, after=Name("injection"), by=by)

    @property
    def stretch(self) -> tuple[int, int]:
        """[gone + within, gone + within + hold) in ns; hold is the standards', or longer where more requests are needed."""
        steady = WindowSubject(self.other.evidence)
        needed = planned_requests(arm(steady, missing_is_bad=False), margins=self.margins, alpha_held=self._standards.false_held)
        planned = needed or 0
        hold = max(self._standards.recovered_for, planned / steady.window.offered if steady.window.offered else 0.0)
        start = self.record.gone + int(self.seconds * _SECOND)
        return start, start + int(hold * _SECOND)

    def awaited(self) -> Window:
        """Waits until the stretch is over and its requests have ended."""
        self._traffic.ledger.look(self._under.kind, sound=not self._under.doubts)
        return self._traffic.between(*self.stretch)

    @cached_property
    def _under(self) -> WindowEvidence:
        """A fault that hit nothing shows no recovery."""
        return self._traffic.under(self.record)

    def refusal(self, subject: WindowSubject) -> str:
        if subject.window.injections:
            return f"{subject.window.injections[0]} is on meanwhile, and nobody recovers under a fault; end it first"
        return super().refusal(subject)

    def doubt(self, subject: WindowSubject) -> str:
        under = WindowSubject(self._under)
        missed = "" if self._under.injections else f"{self.record} could not hit the requests of this load"
        if doubt := missed or gates.doubt(under):
            return f"there is nothing to recover from: {under.name}: {doubt}"
        return super().doubt(subject)

    def judge(self, subject: WindowSubject, levels: Levels) -> Judgement:
        # Two ways to be violated share the level of one.
        half = replace(levels, violated=levels.violated / 2)
        judged = super().judge(subject, half)
        if stays := retry_load(subject, self.other.evidence, half.violated, margin=1 + self._standards.latency_margin):
            judged = replace(
                judged, outcome=Outcome.VIOLATED, reason="", summary=f"{judged.summary}; retry load stays: {'; '.join(stays)}"
            )
        seen = self._traffic.requests(self.record.gone, subject.window.end)
        taken = recovery_time(seen, self.record.gone, self.other.evidence)
        told = f"{self._described(taken, subject)}; claimed within {units.seconds(self.seconds)}"
        return replace(judged, details=(told, *judged.details), figures={**judged.figures, "recovery_time": taken})

    def _described(self, taken: float, subject: WindowSubject) -> str:
        if not taken:
            return f"as before from the moment {self.record} was gone"
        if taken >= (subject.window.end - self.record.gone) / _SECOND - 1:
            return f"still degraded {units.seconds(taken)} after {self.record} was gone, when this window ended"
        return f"degraded until {units.seconds(taken)} after {self.record} was gone"


def foreseen_recovery(within: str | timedelta, *, after: Ended, traffic: Flowing, by: By | None = None) -> Foreseen:
    """The same claim before anything is measured: its arguments are checked, and how long it waits is said."""
    seconds = units.duration(within, name="within").total_seconds()
    _gone(after)
    margins(by, traffic.ledger.standards)
    text = written(Recover.method, within=within, after=Name("injection"), by=by)
    lasts = traffic.ledger.standards.recovered_for
    begins, ends = units.seconds(seconds), units.seconds(lasts)
    said = f"{text} looks from {begins} after the fault was gone on, for {ends} or as long as it takes to tell"
    return Foreseen(claim=text, subject=repr(traffic), requests=None, said=said, seconds=seconds + lasts)


def retry_load(subject: WindowSubject, steady: WindowEvidence, alpha: float, *, margin: float = 1.25) -> list[str]:
    """Edges on which each user request is shown to cause over `margin` times the attempts it caused in steady.

    A metastable rest: nobody may notice it yet, and the next failure meets a callee without reserves.
    """
    edges = [(seen, steady.edges[seen.edge]) for seen in subject.edges if seen.edge in steady.edges]
    found = []
    for now, before in edges:
        usual = judge_mean(
            attempts_per_request(before, sent(steady.samples)),
            at_most=0.0,
            alpha_violated=alpha / len(edges),
            alpha_held=alpha / len(edges),
        )
        rest = judge_mean(
            attempts_per_request(now, subject.requests), at_most=margin * usual.upper, alpha_violated=alpha / len(edges)
        )
        if usual.mean and rest.outcome is Outcome.VIOLATED:
            found.append(
                f"{now.edge} has {rest.mean:.3g} attempts per user request, at least {rest.lower:.3g} (was {usual.mean:.3g})"
            )
    return found


def recovery_time(requests: Samples, gone: int, steady: WindowEvidence) -> float:
    """Seconds from `gone` to the last bad request in the last degraded second; 0.0 if no second was degraded.

    Bad is what failed, or took longer than 1.25 times the steady p95 (or 2.5 ms more). It describes, and decides nothing.
    """
    calm = sorted(latencies(steady.samples))
    p95 = calm[max(0, math.ceil(0.95 * len(calm)) - 1)] if calm else math.inf
    slow = max(1.25 * p95, p95 + 0.0025)
    bad = [wrong or time > slow for wrong, time in zip(failures(requests), latencies(requests), strict=True)]
    scheduled = requests["scheduled"]
    last = 0
    for second in sorted({(at - gone) // _SECOND for at in scheduled}):
        first, end = (bisect.bisect_left(scheduled, gone + s * _SECOND) for s in (second, second + 1))
        if sum(bad[first:end]) > _DEGRADED * (end - first):
            last = max(scheduled[i] for i in range(first, end) if bad[i]) - gone
    return last / _SECOND


def _gone(after: Ended) -> InjectionRecord:
    if not isinstance(after, Ended) or not isinstance(after.record, InjectionRecord):
        raise InvalidValue(
            f"after is {after!r}: name the injection that is to be recovered from, "
            'with inject(...) as injection: ...; expect(traffic).to_recover(within="5s", after=injection)'
        )
    if not after.record.gone:
        raise ExperimentError(f"{after.record} is still on: claim the recovery after its block, while the load still flows")
    return after.record


def _steady_of(traffic: Flowing, record: InjectionRecord) -> WindowEvidence:
    if traffic.steady is None:
        raise ExperimentError(
            f"{traffic.target} has no window before {record} to compare with: start the load first, and inject inside its block"
        )
    return traffic.steady
