"""How often is a failed call tried again? `to_retry(at_most=, at_least=)` and `not_to_retry()`.

A thing is what the caller's application meant as one call: one line of its proxy's log with the mesh's retries inside. Where
every user request makes the same number of calls in steady, further ones are the application's own retries and count too.

`at_most` is deterministic: one call that was retried more often violates it, and it is held once so many calls failed
retriably that more retries would have shown. `at_least` is a share of the calls that had to be retried.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Final

from chaos.claims import shares
from chaos.claims.claim import Claim, Judgement, Levels, Plan, unless, written
from chaos.claims.explanation import counted, timeline_of, times
from chaos.claims.subjects import EdgeSubject, by_request
from chaos.errors import InvalidValue
from chaos.model import units
from chaos.model.calls import Attempt, Call
from chaos.model.injection import Side
from chaos.model.outcome import Outcome
from chaos.model.standards import Standards
from chaos.model.window import Outlook
from chaos.stats.sequential import SHARE_LOOKS
from chaos.stats.shares import allowed_bad_share

ENOUGH: Final = 59
"""Things that must have had the chance to break an "every one" claim before it is held: 95 % show with 95 % confidence."""
UNSAFE: Final = Standards().never_retried
_PER_TRY: Final = "per_try_timeout"
"""In Envoy's RESPONSE_CODE_DETAILS when the timeout of one attempt ended the call (`upstream_per_try_timeout`)."""
_RETRIABLE_GRPC: Final = frozenset({1, 4, 8, 13, 14})
"""What Envoy's retry_on can name: cancelled, deadline-exceeded, resource-exhausted, internal, unavailable."""

CALLER_SIDE: Final = (
    "the fault acts in the caller's proxy before the router (at=\"caller\"), so the mesh's own retries, timeouts and breakers "
    'never see it and this would say nothing of them; inject it with at="callee"'
)


class Retry(Claim[EdgeSubject]):
    """No call is retried too often, and those that have to be are retried often enough."""

    looks = SHARE_LOOKS

    def __init__(
        self,
        *,
        at_most: int | None = None,
        at_least: int | None = None,
        share: str | float = "95%",
        never: Collection[str] = UNSAFE,
    ) -> None:
        if at_most is None and at_least is None:
            raise InvalidValue("to_retry() claims nothing: name at_most= or at_least=, to_retry(at_most=2)")
        self.at_most = _number(at_most, "at_most", lowest=0)
        self.at_least = _number(at_least, "at_least", lowest=1)
        if self.at_most is not None and self.at_least is not None and self.at_least > self.at_most:
            raise InvalidValue(f"to_retry(at_most={at_most}, at_least={at_least}): no number of retries is both")
        self.allowed = allowed_bad_share(units.share(share))
        self.never = _methods(never)
        shown = {"share": unless("95%", share), "never": unless(UNSAFE, tuple(never))}
        self.text = written("to_retry", at_most=at_most, at_least=at_least, **shown)

    def planned(self, outlook: Outlook) -> Plan:
        return Plan(requests=ENOUGH, provided="every call fails retriably at first")

    def refusal(self, subject: EdgeSubject) -> str:
        return CALLER_SIDE if subject.side is Side.CALLER else ""

    def judge(self, subject: EdgeSubject, levels: Levels) -> Judgement:
        meant = units_of(subject)
        parts = [self._safe(meant)]
        if self.at_most is not None:
            parts.append(self._not_too_often(meant, self.at_most))
        if self.at_least is not None:
            parts.append(self._often_enough(meant, self.at_least, subject, levels))
        together = _together([part for part in parts if part is not None], _counted_how(subject))
        if not together.culprits:
            return together
        against = timeline_of(together.culprits, subject, "of user requests against it")
        return replace(together, details=(*together.details, against))

    def _safe(self, meant: Sequence[Unit]) -> Judgement | None:
        """Only a violation is worth saying."""
        twice = [unit for unit in meant if unit.method in self.never and not unit.grpc and unit.surely]
        if not twice:
            return None
        return Judgement(
            outcome=Outcome.VIOLATED,
            summary=f"{counted(len(twice), f'{twice[0].method} call')} retried, and one violates: it may do its work twice",
            measured=max(unit.surely for unit in twice),
            threshold=0,
            unit="retries",
            requests=len(meant),
            figures={"unsafe": len(twice)},
            culprits=frozenset(unit.sequence for unit in twice),
        )

    def _not_too_often(self, meant: Sequence[Unit], limit: int) -> Judgement:
        over = [unit for unit in meant if unit.surely > limit]
        unclear = [unit for unit in meant if unit.surely <= limit < unit.possibly]
        tempted = sum(unit.failed_first for unit in meant)
        most = max((unit.surely for unit in meant), default=0)
        summary = (
            f"{'up to ' if most else ''}{_retries(most)} of a call, claimed at most {limit}; {counted(len(meant), 'call')}, "
            f"{tempted} of which failed retriably at first"
        )
        reason = ""
        if over:
            outcome = Outcome.VIOLATED
            summary += f"; {counted(len(over), 'call')} retried too often, and one violates"
        elif unclear:
            outcome = Outcome.INCONCLUSIVE
            requests = counted(len({unit.sequence for unit in unclear}), "user request")
            reason = (
                f"{requests} made more calls than in steady, and it cannot be told which of them were retried; let the load ask "
                "for something that makes one call on this edge, or claim to_amplify(at_most=)"
            )
        elif tempted < ENOUGH:
            outcome = Outcome.INCONCLUSIVE
            reason = f"too few: {ENOUGH} calls that fail retriably at first are needed; inject an abort, or make the window longer"
        else:
            outcome = Outcome.HELD
        return Judgement(
            outcome=outcome,
            summary=summary,
            reason=reason,
            measured=most,
            threshold=limit,
            unit="retries",
            requests=len(meant),
            figures={"most": most, "limit": limit, "over": len(over), "unclear": len(unclear), "failed_first": tempted},
            culprits=frozenset(unit.sequence for unit in over),
        )

    def _often_enough(self, meant: Sequence[Unit], least: int, subject: EdgeSubject, levels: Levels) -> Judgement:
        """Calls that succeeded before had no need to be retried so often."""
        eligible = [unit for unit in meant if unit.failed_first and (unit.surely >= least or not unit.succeeded)]
        if not eligible:
            return Judgement(
                outcome=Outcome.INCONCLUSIVE,
                summary=f"none of {counted(len(meant), 'call')} failed retriably and was in need of so many retries",
                reason="nothing had to be retried; inject an abort that the retry policy acts on",
                threshold=least,
                unit="retries",
                requests=0,
            )
        bad = bytes(unit.possibly < least for unit in eligible)
        unclear = bytes(unit.surely < least <= unit.possibly for unit in eligible)
        decision = shares.decide(
            bytes(compress(bad, map((1).__sub__, unclear))),
            subject.window,
            levels,
            allowed=self.allowed,
            missing=unclear if 1 in unclear else b"",
        )
        return shares.judgement(
            decision,
            subject.window,
            verb=f"of the calls that failed were retried {times(least)} or more",
            thing="failed call",
            absent="that cannot be told from others",
            against=frozenset(unit.sequence for unit, is_bad in zip(eligible, bad, strict=True) if is_bad),
        )


class NotRetry(Retry):
    """No call is tried again."""

    def __init__(self) -> None:
        super().__init__(at_most=0)
        self.text = written("not_to_retry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What the application meant as one call."""

    sequence: int
    """Of the user request that caused it."""
    method: str
    grpc: bool
    surely: int
    """Retries it had for certain."""
    possibly: int
    """Retries it may have had: more only where several calls were meant, and it cannot be told which of them came again."""
    failed_first: bool
    """The first attempt failed in a way that a retry policy can act on."""
    succeeded: bool
    """In the end."""


def units_of(subject: EdgeSubject) -> list[Unit]:
    """One per user request where each makes one call in steady, else one per line of the log."""
    fan_out = subject.fan_out
    if fan_out is None:
        return [_of_line(call, call.retries) for call in subject.calls]
    if fan_out == 1:
        return [_of_request(calls) for calls in by_request(subject.calls)]
    return [unit for calls in by_request(subject.calls) for unit in _of_lines(calls, fan_out)]


def _of_request(calls: Sequence[Call]) -> Unit:
    """Every further call is the application's own retry."""
    retries = _attempts(calls) - 1
    return Unit(
        sequence=calls[0].sequence,
        method=calls[0].method,
        grpc=calls[0].grpc is not None,
        surely=retries,
        possibly=retries,
        failed_first=_failed_first(calls[0]),
        succeeded=not all(map(_failed_retriably, calls)),
    )


def _of_lines(calls: Sequence[Call], meant: int) -> list[Unit]:
    """More calls than were meant: each of them may have been the one that came again."""
    again = _attempts(calls) - meant if len(calls) > meant else 0
    return [_of_line(call, max(call.retries, again)) for call in calls]


def _of_line(call: Call, possibly: int) -> Unit:
    return Unit(
        sequence=call.sequence,
        method=call.method,
        grpc=call.grpc is not None,
        surely=call.retries,
        possibly=possibly,
        failed_first=_failed_first(call),
        succeeded=not _failed_retriably(call),
    )


def _attempts(calls: Iterable[Call]) -> int:
    """A call that was answered before any host was asked (breaker, fault of the caller's proxy) is one all the same."""
    return sum(max(1, call.tries) for call in calls)


def _failed_first(call: Call) -> bool:
    """An attempt that ended because the caller left, or the time of the whole call was over, can be followed by no other."""
    if call.tries > 1:
        return True
    if "DC" in call.flags or ("UT" in call.flags and _PER_TRY not in call.details):
        return False
    return call.tries == 1 and _failed_retriably(call.attempts[0] if call.attempts else call)


def _failed_retriably(seen: Call | Attempt) -> bool:
    """No answer (reset, timeout, connection lost), a 5xx, or a gRPC status that Envoy can retry on."""
    return not seen.status or seen.status >= 500 or seen.grpc in _RETRIABLE_GRPC


def _retries(number: int) -> str:
    return "1 retry" if number == 1 else f"{number or 'no'} retries"


def _counted_how(subject: EdgeSubject) -> str:
    if subject.fan_out is not None:
        return ""
    why = "the calls per user request vary in steady" if subject.steady else "there is no steady window to count calls in"
    return f"only the mesh's retries are counted, not the application's: {why}"


def _together(parts: Sequence[Judgement], note: str) -> Judgement:
    """Violated before inconclusive before held; the summaries of all."""
    outcome = Outcome.combined(part.outcome for part in parts)
    worst = next(part for part in parts if part.outcome is outcome)
    return Judgement(
        outcome=worst.outcome,
        summary="; ".join(part.summary for part in parts),
        reason=worst.reason,
        measured=worst.measured,
        threshold=worst.threshold,
        unit=worst.unit,
        requests=worst.requests,
        figures={name: value for part in parts for name, value in part.figures.items()},
        details=(note,) if note else (),
        culprits=frozenset().union(*(part.culprits for part in parts)),
    )


def _number(value: int | None, name: str, *, lowest: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
        raise InvalidValue(f"{name} is {value!r}: give a whole number of retries, at least {lowest}, {name}={max(lowest, 2)}")
    return value


def _methods(never: Collection[str]) -> frozenset[str]:
    if isinstance(never, str) or not all(isinstance(method, str) and method.isupper() for method in never):
        raise InvalidValue(f'never is {never!r}: give methods in upper case in a tuple, never=("POST",)')
    return frozenset(never)
