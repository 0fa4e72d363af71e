"""Does the caller stop waiting? `to_time_out_within(d)` on an edge whose calls are delayed.

A thing is one call that the fault delayed. It is good if mesh (flag UT) or application (flag DC) gave it up within d, bad if
it was alive beyond d. Calls that something else ended say nothing of patience and are left out, but counted; so is a DC that
only passes on that somebody above gave up.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Final

from chaos.claims import shares
from chaos.claims.claim import Claim, Judgement, Levels, Plan, Vacuity, written
from chaos.claims.explanation import counted, percent, timeline
from chaos.claims.subjects import EdgeSubject
from chaos.model import units
from chaos.model.calls import Call
from chaos.model.outcome import Outcome
from chaos.model.window import Outlook, latency_at
from chaos.stats.sequential import SHARE_LOOKS
from chaos.stats.shares import allowed_bad_share

_FACTOR: Final = 1.1
_MARGIN: Final = 0.05
"""A delay has to outlast the claimed time by so many seconds and a tenth, for a time-out to be told from an answer."""
EXCLUDED_AT_MOST: Final = 0.2
"""Share of the delayed calls that may have ended for other reasons."""
_OTHER_FAILURES: Final = ("FI", "UO", "UH", "UF")


class TimeOutWithin(Claim[EdgeSubject]):
    """At least so large a share of the delayed calls is given up in time."""

    looks = SHARE_LOOKS

    def __init__(self, duration: str | timedelta, *, at_least: str | float = "95%") -> None:
        self.seconds = units.duration(duration).total_seconds()
        self.allowed = allowed_bad_share(units.share(at_least, name="at_least"))
        self.text = written("to_time_out_within", duration, at_least=at_least)

    @property
    def needed_delay(self) -> float:
        """Seconds: 1.1 d + 50 ms."""
        return round(_FACTOR * self.seconds + _MARGIN, 9)  # 1.1 x 3.5 + 0.05 is 3.9000000000000004

    def planned(self, outlook: Outlook) -> Plan:
        return shares.planned(self.allowed, SHARE_LOOKS, outlook)

    def vacuity(self, subject: EdgeSubject) -> Vacuity:
        delay = _delay_on(subject)
        if delay >= self.needed_delay:
            return Vacuity()
        seen = f"its calls are delayed by {units.seconds(delay)}" if delay else "no delay is injected on this edge"
        needed = f"{units.seconds(self.needed_delay)} (1.1 x {units.seconds(self.seconds)} + 50 ms)"
        return Vacuity(
            certain=f"{seen}, and only one of {needed} or more shows whether a call is given up in time; inject a longer delay here"
        )

    def judge(self, subject: EdgeSubject, levels: Levels) -> Judgement:
        delayed = [call for call in subject.calls if _was_delayed(call)]
        reasons = list(map(self._excluded, delayed))
        eligible = [call for call, why in zip(delayed, reasons, strict=True) if not why]
        excluded = Counter(filter(None, reasons))
        if not eligible or len(delayed) - len(eligible) > EXCLUDED_AT_MOST * len(delayed):
            return self._nothing_to_judge(subject, len(delayed), len(eligible), excluded)
        bad = bytes(call.duration > self.seconds for call in eligible)
        decision = shares.decide(bad, subject.window, levels, allowed=self.allowed)
        alive = f"alive after {units.seconds(self.seconds)}"
        return shares.judgement(
            decision,
            subject.window,
            verb=f"of the delayed calls were given up within {units.seconds(self.seconds)}",
            thing="call",
            suffix=_given_up(eligible) + _excluded(excluded),
            details=(timeline([call.started for call in eligible], bad, subject.window, alive),),
            against=frozenset(call.sequence for call, is_bad in zip(eligible, bad, strict=True) if is_bad),
        )

    def _excluded(self, call: Call) -> str:
        """Why a delayed call tells nothing of its caller's patience; empty if it does."""
        if call.cancelled:
            return "cancelled from above"
        if "UT" in call.flags or "DC" in call.flags:
            return ""
        failure = next((flag for flag in _OTHER_FAILURES if flag in call.flags), None) or ("URX" if "URX" in call.flags else "")
        if failure:
            return failure
        if call.status >= 500:
            return f"status {call.status}"
        if call.duration > self.seconds or _abandoned_attempt(call):
            return ""
        return "answered in time"

    def _nothing_to_judge(self, subject: EdgeSubject, delayed: int, eligible: int, excluded: Counter[str]) -> Judgement:
        calls = counted(len(subject.calls), "call")
        if not delayed:
            reason = f"none of {calls} was delayed; inject a delay of at least {units.seconds(self.needed_delay)} on this edge"
        else:
            others = percent(1 - eligible / delayed)
            reason = (
                f"{others} of the delayed calls ended for other reasons ({percent(EXCLUDED_AT_MOST)} may), so that too few show "
                "whether they are given up; remove what ends them first"
            )
        return Judgement(
            outcome=Outcome.INCONCLUSIVE,
            summary=f"{delayed} of {calls} delayed, {eligible} to judge{_excluded(excluded)}",
            reason=reason,
            threshold=1 - self.allowed,
            unit="share",
            requests=eligible,
            figures={"delayed": delayed, "eligible": eligible, "excluded": dict(excluded)},
        )


def _delay_on(subject: EdgeSubject) -> float:
    """Seconds; 0 without one."""
    return subject.injection.request.fault.longest if subject.injection else 0.0


def _was_delayed(call: Call) -> bool:
    return "DI" in call.flags or any("DI" in attempt.flags for attempt in call.attempts)


def _abandoned_attempt(call: Call) -> bool:
    """A per-try timeout ended a delayed attempt, and a retry answered: given up as well, though the call ended well."""
    return any("DI" in attempt.flags and {"DC", "UT"} & attempt.flags for attempt in call.attempts)


def _given_up(calls: list[Call]) -> str:
    """`; median 3 s, 300 by the application (DC)`."""
    ended = [call for call in calls if {"UT", "DC"} & call.flags]
    if not ended:
        return "; none gave up"
    by = Counter("by the mesh (UT)" if "UT" in call.flags else "by the application (DC)" for call in ended)
    told = ", ".join(f"{number} {who}" for who, number in by.most_common())
    return f"; given up after {units.seconds(latency_at([call.duration for call in ended], 0.5))} in the median, {told}"


def _excluded(reasons: Counter[str]) -> str:
    if not reasons:
        return ""
    told = ", ".join(f"{number} {why}" for why, number in reasons.most_common())
    return f"; left out: {told}"
