"""Do the user requests succeed? `to_succeed`, and `to_sustain`, which says it of a rate.

Bad is a request without response, with a status from 400 that is not in `ok`, with a grpc-status other than 0, or failed by
the user's own check.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace

from chaos.claims import shares
from chaos.claims.claim import Claim, Judgement, Levels, Plan, Vacuity, unless, written
from chaos.claims.columns import failures
from chaos.claims.explanation import per_second, timeline
from chaos.claims.naive import cannot_fail
from chaos.claims.subjects import WindowSubject
from chaos.errors import InvalidValue
from chaos.model import units
from chaos.model.outcome import Outcome
from chaos.model.window import Outlook
from chaos.stats.sequential import SHARE_LOOKS
from chaos.stats.shares import allowed_bad_share, longest_burst


class Succeed(Claim[WindowSubject]):
    """At least so large a share of the requests succeeds."""

    looks = SHARE_LOOKS

    def __init__(self, at_least: str | float = "99%", *, ok: Collection[int] = (), burst: float = 1) -> None:
        self.allowed = allowed_bad_share(units.share(at_least, name="at_least"))
        self.ok = statuses(ok)
        self.burst = burst_length(burst)
        self.text = written("to_succeed", at_least=at_least, ok=unless((), tuple(ok)), burst=unless(1, burst))

    def planned(self, outlook: Outlook) -> Plan:
        return _planned(self.allowed, outlook, self.ok, self.burst)

    def vacuity(self, subject: WindowSubject) -> Vacuity:
        return cannot_fail(subject, self.allowed, self.ok)

    def judge(self, subject: WindowSubject, levels: Levels) -> Judgement:
        return _judged(subject, levels, allowed=self.allowed, ok=self.ok, burst=self.burst)


class Sustain(Claim[WindowSubject]):
    """So many requests per second succeed: the share that the claimed rate is of the offered one."""

    looks = SHARE_LOOKS

    def __init__(self, rate: str | float, *, ok: Collection[int] = (), burst: float = 1) -> None:
        self.rate = units.rate(rate)
        self.ok = statuses(ok)
        self.burst = burst_length(burst)
        self.text = written("to_sustain", rate=rate, ok=unless((), tuple(ok)), burst=unless(1, burst))

    def planned(self, outlook: Outlook) -> Plan:
        if outlook.rate is None or self.rate > outlook.rate:
            return Plan()
        return _planned(max(0.0, allowed_bad_share(self.rate / outlook.rate)), outlook, self.ok, self.burst)

    def refusal(self, subject: WindowSubject) -> str:
        offered = subject.window.offered
        if self.rate <= offered * (1 + 1e-9):
            return ""
        return f"the load offers {per_second(offered)}, and more cannot be seen; raise the rate of the load, or claim less"

    def vacuity(self, subject: WindowSubject) -> Vacuity:
        return cannot_fail(subject, self._allowed(subject), self.ok)

    def judge(self, subject: WindowSubject, levels: Levels) -> Judgement:
        offered = subject.window.offered
        seen = f"; claimed {per_second(self.rate)} of {per_second(offered)} offered"
        return _judged(subject, levels, allowed=self._allowed(subject), ok=self.ok, burst=self.burst, suffix=seen)

    def _allowed(self, subject: WindowSubject) -> float:
        return max(0.0, allowed_bad_share(self.rate / subject.window.offered))


def _planned(allowed: float, outlook: Outlook, ok: frozenset[int], burst: float) -> Plan:
    before = failures(WindowSubject(outlook.steady).requests, ok) if outlook.steady else b""
    plan = shares.planned(allowed, SHARE_LOOKS, outlook, before=before, burst=burst)
    return replace(plan, good_for=longest_burst(plan.requests, allowed)) if plan.requests and allowed else plan


def _judged(
    subject: WindowSubject, levels: Levels, *, allowed: float, ok: frozenset[int], burst: float, suffix: str = ""
) -> Judgement:
    bad = failures(subject.requests, ok)
    missing = shares.unsent(subject.window)
    decision = shares.decide(bad, subject.window, levels, allowed=allowed, burst=burst, missing=missing)
    return shares.judgement(
        decision,
        subject.window,
        verb="succeeded",
        suffix=suffix + good_for(decision),
        details=(timeline(subject.requests["scheduled"], bad, subject.window, "failed"),),
        against=shares.culprits(bad, subject),
    )


def good_for(decision: shares.Decision) -> str:
    """No formula sees bursts that did not happen: how long they may be for a "held" to stand."""
    if decision.outcome is not Outcome.HELD or not decision.allowed:
        return ""
    return f"; good for failures that come up to {longest_burst(decision.requests, decision.allowed):.3g} in a row"


def statuses(ok: Collection[int], *, name: str = "ok", lowest: int = 400) -> frozenset[int]:
    """HTTP statuses given as an argument. Raises InvalidValue that shows the form."""
    form = f"{name} is {ok!r}: give HTTP statuses {lowest} ... 599 in a tuple, {name}=({max(lowest, 404)},)"
    if isinstance(ok, (str, bytes)) or not isinstance(ok, Collection):
        raise InvalidValue(form)
    for status in ok:
        if isinstance(status, bool) or not isinstance(status, int) or not lowest <= status <= 599:
            raise InvalidValue(form)
    return frozenset(ok)


def burst_length(burst: float) -> float:
    """The mean length of bursts to be prepared for. Raises InvalidValue."""
    if isinstance(burst, bool) or not isinstance(burst, (int, float)) or not 1 <= burst < math.inf:
        raise InvalidValue(f"burst is {burst!r}: the mean number of failures in a row, a number from 1 (failures come singly)")
    return float(burst)
