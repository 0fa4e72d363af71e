"""Do answers come in time? `to_respond_within(d, at="p95")`: the share of requests slower than d is at most 5 %.

A request without response is slower than anything; an error response counts with its time, so the message tells how many
there were. A closed model asks more slowly while answers are slow, so slow times are under-sampled in it: its numbers can
show that the claim is violated, and that it holds only for an author who says `closed=True`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import compress
from typing import Literal, TypeVar

from chaos.claims import gates, shares
from chaos.claims.claim import Claim, Judgement, Levels, Plan, Vacuity, unless, written
from chaos.claims.columns import failures
from chaos.claims.explanation import counted, percent, timeline
from chaos.claims.naive import cannot_be_slow
from chaos.claims.subjects import WindowSubject, ordered_response_times, response_times
from chaos.errors import InvalidValue
from chaos.model import units
from chaos.model.outcome import Outcome
from chaos.model.window import Outlook, quantile_of
from chaos.stats.dependence import latency_design_effect
from chaos.stats.quantiles import Latencies
from chaos.stats.sequential import LATENCY_LOOKS, LatencyWatch
from chaos.stats.shares import FEWEST_EFFECTIVE, allowed_bad_share, judge_latencies

T = TypeVar("T")


class RespondWithin(Claim[WindowSubject]):
    """Quantile `at` of the latency is at most the claimed time."""

    def __init__(
        self, duration: str | timedelta, *, at: str = "p95", of: Literal["all", "ok"] = "all", closed: bool = False
    ) -> None:
        self.seconds = units.duration(duration).total_seconds()
        self.at = at
        self.q = quantile_of(at)
        self.allowed = allowed_bad_share(self.q)
        if of not in ("all", "ok"):
            raise InvalidValue(f'of is {of!r}: "all" requests, or only those that were "ok"')
        self.of = of
        self.closed = closed
        # How many were ok is not known beforehand, so that looks could not be taken at the same counts again.
        self.looks = LATENCY_LOOKS if of == "all" else None
        self.patience = self.seconds if of == "all" else math.inf
        self.text = written("to_respond_within", duration, at=at, of=unless("all", of), closed=unless(False, closed))

    def planned(self, outlook: Outlook) -> Plan:
        before, effect = b"", 1.0
        if outlook.steady is not None and len(outlook.steady.samples):
            steady = WindowSubject(outlook.steady)
            before = bytes(map(self.seconds.__lt__, response_times(steady)))
            effect = latency_design_effect(ordered_response_times(steady), bound=self.seconds)
        plan = shares.planned(self.allowed, LATENCY_LOOKS, outlook, before=before, design_effect=effect)
        fewest = math.ceil(FEWEST_EFFECTIVE * effect)
        return replace(plan, requests=max(fewest, plan.requests)) if plan.requests else plan

    def refusal(self, subject: WindowSubject) -> str:
        timeout = subject.window.timeout
        if self.seconds < timeout:
            return ""
        return (
            f"the load gives up after {units.seconds(timeout)}, so that no slower answer can be seen; "
            f"start it with a timeout above what is claimed: load(..., timeout=...)"
        )

    def doubt(self, subject: WindowSubject) -> str:
        if self.of == "ok" and all(failures(subject.requests)):
            return f'none of {counted(len(subject.requests), "request")} was successful, so that of="ok" leaves none to judge'
        return gates.lag(subject, self.seconds)

    def vacuity(self, subject: WindowSubject) -> Vacuity:
        return cannot_be_slow(subject, self.seconds, self.q)

    def judge(self, subject: WindowSubject, levels: Levels) -> Judgement:
        requests, errors, missing = subject.requests, failures(subject.requests), shares.unsent(subject.window)
        good = bytes(map((1).__sub__, errors))

        def kept(column: Sequence[T]) -> Sequence[T]:
            return column if self.of == "all" else list(compress(column, good))

        times = kept(response_times(subject))
        slow = bytes(map(self.seconds.__lt__, times))
        latencies = ordered_response_times(subject) if self.of == "all" else Latencies.of(times)
        if subject.window.cut_short:
            missing = missing if self.of == "all" else bytes(compress(missing, shares.spread(good, missing, 1)))
            spread = shares.spread(times, missing, math.inf)
            decision = self._watched(spread, missing, levels, under_way=subject.window.under_way)
        else:
            decision = self._decided(latencies, missing.count(1), levels)
        judged = Judgement(
            outcome=decision.outcome,
            summary=self._summary(latencies, decision, errors),
            reason=shares.undecided(decision, subject.window),
            measured=latencies.quantile(self.q),
            threshold=self.seconds,
            unit="s",
            requests=decision.requests,
            figures={**shares.figures(decision), "quantile": self.q},
            details=(timeline(kept(requests["scheduled"]), slow, subject.window, f"slower than {units.seconds(self.seconds)}"),),
            culprits=frozenset(compress(kept(requests["sequence"]), slow)),
        )
        return judged if subject.window.open_model or self.closed else _of_closed_model(judged)

    def _decided(self, latencies: Latencies, missing: int, levels: Levels) -> shares.Decision:
        return judge_latencies(
            latencies, self.seconds, allowed=self.allowed, alpha_held=levels.held, alpha_violated=levels.violated, missing=missing
        )

    def _watched(self, times: Sequence[float], missing: bytes, levels: Levels, *, under_way: bool) -> shares.Decision:
        watch = LatencyWatch(self.seconds, allowed=self.allowed, alpha_held=levels.held, alpha_violated=levels.violated)
        return watch.advance(times, missing) if under_way else watch.close(times, missing)

    def _summary(self, latencies: Latencies, decision: shares.Decision, errors: bytes) -> str:
        """`p95 7.02 s, claimed 6.5 s; 98.7 % slower than 6.5 s, at least 97.1 % with 95 % confidence; 300 requests`."""
        share = (
            f"{percent(decision.share)} slower than {units.seconds(self.seconds)} ({percent(decision.allowed)} may be), "
            f"{shares.bound(decision, good=False)}"
        )
        which = " that were ok" if self.of == "ok" else ""
        failed = errors.count(1)
        wrong = f"; {percent(failed / len(errors))} of all were errors" if failed else ""
        return (
            f"{self.at} {units.seconds(latencies.quantile(self.q))}, claimed {units.seconds(self.seconds)}; {share}; "
            f"{counted(decision.requests, 'request')}{which}{shares.missing_of(decision)}{wrong}"
        )


def _of_closed_model(judged: Judgement) -> Judgement:
    if judged.outcome is not Outcome.HELD:
        return judged
    return replace(
        judged,
        outcome=Outcome.INCONCLUSIVE,
        reason="a closed model (users=) asks less often while answers are slow, and so sees too few of them; use rate=, "
        "or accept it with to_respond_within(..., closed=True)",
    )
