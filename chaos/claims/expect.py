"""How is a claim made? `expect(window).to_...`: every claim there is, with its thresholds, on one screen.

`expect` picks what can be claimed of its subject; each method builds one `Claim` and has it judged: at once on a closed
window, when the block ends on an open one. `judging` does the work, `Ledger.settle` writes the verdict down and raises it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Final, Generic, Literal, ParamSpec, TypedDict, overload

from chaos.claims.amplification import Amplify
from chaos.claims.answers import Return
from chaos.claims.claim import Claim, Levels, Plan, S
from chaos.claims.closing import CloseCircuit
from chaos.claims.differences import By, DifferFrom, Direction, NotDifferFrom
from chaos.claims.guarding import Guard
from chaos.claims.judging import undecided, verdict_on
from chaos.claims.looking import Looking, guard_outlook_of, outlook_of
from chaos.claims.opening import NotOpenCircuit, OpenCircuit
from chaos.claims.recovery import Ended, Recover, foreseen_recovery
from chaos.claims.response_times import RespondWithin
from chaos.claims.retries import NotRetry, Retry
from chaos.claims.shedding import Shed
from chaos.claims.spacing import SpaceRetries
from chaos.claims.subjects import EdgeSubject, Flowing, WindowSubject
from chaos.claims.success import Succeed, Sustain
from chaos.claims.timeouts import TimeOutWithin
from chaos.errors import Inconclusive, InvalidValue, PlannedUpToHere
from chaos.model.outcome import Outcome
from chaos.model.verdict import Ledger, Verdict
from chaos.model.window import EdgeWindow, Foreseen, SoFar, Window, WindowEvidence
from chaos.stats.levels import alpha_violated

P = ParamSpec("P")
Duration = str | timedelta
"""`"2s"`, `"500ms"` or a timedelta."""
Share = str | float
"""`"99%"` up to `"100%"`, or a number between 0 and 1, both excluded."""

_expectations: Final = itertools.count()


class Pending:
    """The verdict of a claim on a window that was still open: there when its block has ended."""

    def __init__(self, claim: str, where: str, planned: int | None = None) -> None:
        self.claim = claim
        self.planned = planned
        """Requests that decide it if none of them is bad; None where nobody can tell beforehand."""
        self._where = where
        self._verdict: Verdict | None = None

    @property
    def verdict(self) -> Verdict:
        """Raises Inconclusive while there is none."""
        if self._verdict is None:
            raise Inconclusive(f"{self._where}: {self.claim} is not judged yet: read its verdict after the block has ended")
        return self._verdict

    @property
    def outcome(self) -> Outcome:
        return self.verdict.outcome

    def __repr__(self) -> str:
        return f"<{self.claim}: {self._verdict.outcome if self._verdict else 'pending'}>"


class Planned(Pending):
    """A claim of a plan, which nobody ever judges."""

    @property
    def verdict(self) -> Verdict:
        """Raises PlannedUpToHere."""
        raise PlannedUpToHere(f"the verdict of {self.claim} on {self._where}")

    def __getattr__(self, name: str) -> object:
        """In a run it may be a verdict, which has more to read."""
        if name in Verdict.__dataclass_fields__:
            return getattr(self.verdict, name)
        raise AttributeError(name)

    def __repr__(self) -> str:
        return f"<{self.claim}: planned>"


class _Expectation(Generic[S]):
    """What all subjects share: the ledger, and when a claim is judged."""

    def __init__(
        self,
        window: Window,
        name: Callable[[], str],
        subject: Callable[[WindowEvidence], S],
        so_far: Callable[[SoFar, float], WindowEvidence],
        *,
        soft: bool,
        allow_vacuous: bool,
    ) -> None:
        self._window = window
        self._name = name
        self._subject = subject
        self._so_far = so_far
        self._soft = soft
        self._allow_vacuous = allow_vacuous
        self._number = next(_expectations)
        self._ledger.unfinished[self._number] = f"expect({name()})"

    @property
    def _ledger(self) -> Ledger:
        return self._window.ledger

    def _claim(self, kind: Callable[P, Claim[S]], *args: P.args, **kwargs: P.kwargs) -> Verdict | Pending:
        self._ledger.unfinished.pop(self._number, None)
        claim = kind(*args, **kwargs)
        levels = _levels(self._ledger)
        if self._window.closed:
            return self._ledger.settle(self._judged(claim, levels), soft=self._soft)
        return self._registered(claim, levels)

    def _registered(self, claim: Claim[S], levels: Levels) -> Pending:
        """Says what it needs before any of it is sent."""
        outlook = self._window.outlook
        plan = claim.planned(outlook) if outlook else Plan()
        if outlook is not None and outlook.foresee is not None:
            said = outlook_of(claim.text, plan, outlook)
            return _planned(outlook.foresee, Foreseen(claim=claim.text, subject=self._name(), requests=plan.requests, said=said))
        pending = Pending(claim.text, self._window.name, plan.requests)
        if outlook is not None:
            outlook.tell(f"{self._name()}: {outlook_of(claim.text, plan, outlook)}")
        subject_of = lambda so_far: self._subject(self._so_far(so_far, claim.patience))  # noqa: E731
        self._window.watch(Looking(claim, levels, pending.planned, subject_of).enough)
        self._window.when_closed(lambda _: self._settle_later(pending, claim, levels))
        return pending

    def _settle_later(self, pending: Pending, claim: Claim[S], levels: Levels) -> None:
        pending._verdict = self._judged(claim, levels, planned=pending.planned)
        self._ledger.settle(pending._verdict, soft=self._soft)

    def _judged(self, claim: Claim[S], levels: Levels, *, planned: int | None = None) -> Verdict:
        try:
            subject = self._subject(self._window.evidence)
            if claim.fixed and planned is not None and subject.window.cut_short:
                subject = subject.beginning(planned)
            return verdict_on(claim, subject, levels, allow_vacuous=self._allow_vacuous)
        except Inconclusive as missing:  # evidence that was not gathered: an edge nobody observed, a window still open
            return undecided(claim.text, self._name(), str(missing))


class WindowClaims(_Expectation[WindowSubject]):
    """What can be claimed of the user requests of a window (docs/reference/claims.md)."""

    def to_succeed(self, at_least: Share | None = None, *, ok: Collection[int] = (), burst: float = 1) -> Verdict | Pending:
        """At least so many requests (99 %, if the ini file says nothing else) are answered without an error.

        `ok`: statuses from 400 that count as success. `burst`: mean length of bursts of failures to be prepared for.
        """
        return self._claim(Succeed, _share(at_least, self._ledger), ok=ok, burst=burst)

    def to_respond_within(
        self, duration: Duration, *, at: str = "p95", of: Literal["all", "ok"] = "all", closed: bool = False
    ) -> Verdict | Pending:
        """The latency at a quantile, from the scheduled start to the last byte, is at most `duration`.

        `of="ok"` looks at successful requests only. `closed=True` accepts that `users=` leaves slow times under-sampled.
        """
        return self._claim(RespondWithin, duration, at=at, of=of, closed=closed)

    def to_return(
        self,
        *,
        status: int | Collection[int] | None = None,
        containing: str | bytes | None = None,
        json: Mapping[str, object] | None = None,
        header: Mapping[str, str | None] | None = None,
        at_least: Share | None = None,
    ) -> Verdict | Pending:
        """At least so many requests (99 %, as in `to_succeed`) get an answer that has everything named here.

        `json` maps paths to values: `{"reviews[0].rating.stars": 5}`. `header` maps names to values, None = absent.
        """
        share = _share(at_least, self._ledger)
        return self._claim(Return, status=status, containing=containing, json=json, header=header, at_least=share)

    def to_sustain(self, rate: str | float, *, ok: Collection[int] = (), burst: float = 1) -> Verdict | Pending:
        """At least so many requests per second, of those the load offers, are answered without an error."""
        return self._claim(Sustain, rate, ok=ok, burst=burst)

    def not_to_differ_from(self, other: Window, *, by: By | None = None, direction: Direction = "worse") -> Verdict | Pending:
        """Shown to be as good as `other`, within margins: 1 percentage point of success, 25 % of p50 and of p95.

        `by` replaces margins: `{"success": "2%", "latency": "50%"}` or `{"latency": "20ms"}`.
        """
        return self._claim(NotDifferFrom, other, by=by, direction=direction, standards=self._ledger.standards)

    def to_differ_from(self, other: Window, *, by: By | None = None, direction: Direction = "worse") -> Verdict | Pending:
        """Shown to be worse than `other` (or different, with `direction="both"`) by more than a margin."""
        return self._claim(DifferFrom, other, by=by, direction=direction, standards=self._ledger.standards)


class EdgeClaims(_Expectation[EdgeSubject]):
    """What can be claimed of the calls on an edge in a window (docs/reference/claims.md)."""

    def to_time_out_within(self, duration: Duration, *, at_least: Share = "95%") -> Verdict | Pending:
        """At least so many of the delayed calls are given up, by mesh or application, within `duration`."""
        return self._claim(TimeOutWithin, duration, at_least=at_least)

    def to_retry(
        self,
        *,
        at_most: int | None = None,
        at_least: int | None = None,
        share: Share = "95%",
        never: Collection[str] | None = None,
    ) -> Verdict | Pending:
        """No call is retried more often than `at_most`; `share` of those that failed are retried `at_least` times.

        `never`: methods of which one retry violates the claim: POST and PATCH, if the ini file says nothing else (gRPC calls,
        which are all POST, are not meant).
        """
        unsafe = self._ledger.standards.never_retried if never is None else never
        return self._claim(Retry, at_most=at_most, at_least=at_least, share=share, never=unsafe)

    def not_to_retry(self) -> Verdict | Pending:
        """No failed call is tried again."""
        return self._claim(NotRetry)

    def to_space_retries(self, at_least: Duration) -> Verdict | Pending:
        """Between the end of an attempt and the start of the next of the same call lies at least so much time, always."""
        return self._claim(SpaceRetries, at_least)

    def to_open_circuit(self, within: Duration) -> Verdict | Pending:
        """Every host that failed often enough in a row is put out `within` this time of its first faulted attempt.

        A breaker that has only limits opens with the first call it turns away.
        """
        return self._claim(OpenCircuit, within)

    def not_to_open_circuit(self) -> Verdict | Pending:
        """No host is put out, and no call turned away by a limit."""
        return self._claim(NotOpenCircuit)

    def to_close_circuit(self, within: Duration) -> Verdict | Pending:
        """After the injection: every host that was out is back `within` this time of its end, and no call is turned away then."""
        return self._claim(CloseCircuit, within)

    def to_shed(self, at_least: Share) -> Verdict | Pending:
        """At least so many calls are turned away by a limit (flag UO), and 95 % of the others succeed."""
        return self._claim(Shed, at_least)

    def to_amplify(self, *, at_most: float, per_request_at_most: int | None = None) -> Verdict | Pending:
        """The mean number of attempts at the callee per user request is at most so large; and that of each one."""
        return self._claim(Amplify, at_most=at_most, per_request_at_most=per_request_at_most)


class TrafficClaims:
    """What can be claimed of load while it flows (docs/reference/claims.md)."""

    def __init__(self, traffic: Flowing, *, soft: bool, allow_vacuous: bool) -> None:
        self._traffic = traffic
        self._options: _Options = {"soft": soft, "allow_vacuous": allow_vacuous}
        self._number = next(_expectations)
        traffic.ledger.unfinished[self._number] = f"expect({traffic!r})"

    def to_recover(self, within: Duration, *, after: Ended, by: By | None = None) -> Verdict | Pending:
        """From `within` after the injection was gone, the requests are as good as before it (`not_to_differ_from`), and stay so.

        Waits for a window that begins then and lasts 10 s, or as long as it takes to tell.
        """
        self._traffic.ledger.unfinished.pop(self._number, None)
        if (foresee := self._traffic.outlook.foresee) is not None:
            self._traffic.ledger.number()
            return _planned(foresee, foreseen_recovery(within, after=after, traffic=self._traffic, by=by))
        claim = Recover(within, after=after, traffic=self._traffic, by=by)
        return _of_window(claim.awaited(), **self._options)._claim(lambda: claim)


class GuardClaims:
    """What can be watched while faults are on, and ends them when it is violated (docs/reference/claims.md)."""

    def __init__(self, traffic: Flowing, *, soft: bool) -> None:
        self._traffic = traffic
        self._soft = soft
        self._number = next(_expectations)
        traffic.ledger.unfinished[self._number] = f"expect({traffic!r}, guard=True)"

    def to_succeed(self, at_least: Share | None = None, *, ok: Collection[int] = (), burst: float = 1) -> Pending:
        """No fault goes on once fewer of the requests under it than `at_least` are shown to succeed."""
        return self._watched(Succeed(_share(at_least, self._traffic.ledger), ok=ok, burst=burst))

    def to_respond_within(self, duration: Duration, *, at: str = "p95") -> Pending:
        """No fault goes on once the latency at a quantile, of the requests under it, is shown to be longer. Takes 500 requests."""
        return self._watched(RespondWithin(duration, at=at))

    def to_return(
        self,
        *,
        status: int | Collection[int] | None = None,
        containing: str | bytes | None = None,
        json: Mapping[str, object] | None = None,
        header: Mapping[str, str | None] | None = None,
        at_least: Share | None = None,
    ) -> Pending:
        """No fault goes on once fewer of the answers under it than `at_least` are shown to have everything named here."""
        share = _share(at_least, self._traffic.ledger)
        return self._watched(Return(status=status, containing=containing, json=json, header=header, at_least=share))

    def _watched(self, claim: Claim[WindowSubject]) -> Pending:
        ledger = self._traffic.ledger
        ledger.unfinished.pop(self._number, None)
        outlook = self._traffic.outlook
        said = guard_outlook_of(claim, plan := claim.planned(outlook), outlook)
        if outlook.foresee is not None:
            ledger.number()
            told = Foreseen(claim=f"{claim.text}, guard", subject=repr(self._traffic), requests=plan.requests, said=said)
            return _planned(outlook.foresee, told)
        outlook.tell(f"guard on {self._traffic.target}: {said}")
        guard = _Settling(claim, _levels(ledger), self._traffic, soft=self._soft)
        self._traffic.guard(guard)
        return guard.pending


class _Settling(Guard):
    """A guard whose verdict is written down when its load ends."""

    def __init__(self, claim: Claim[WindowSubject], levels: Levels, traffic: Flowing, *, soft: bool) -> None:
        super().__init__(claim, levels, traffic)
        self.pending = Pending(f"{claim.text}, guard", repr(traffic))
        self._ledger = traffic.ledger
        self._soft = soft

    def conclude(self) -> None:
        if self.pending._verdict is None:
            self.pending._verdict = self.settled()
            self._ledger.settle(self.pending._verdict, soft=self._soft)


def _planned(foresee: Callable[[Foreseen], None], claim: Foreseen) -> Planned:
    foresee(claim)
    return Planned(claim.claim, claim.subject, claim.requests)


def _share(at_least: Share | None, ledger: Ledger) -> Share:
    return ledger.standards.at_least if at_least is None else at_least


def _levels(ledger: Ledger) -> Levels:
    standards = ledger.standards
    budget = alpha_violated(experiments=ledger.experiments, claim=ledger.number(), run=standards.false_violated)
    return Levels(held=standards.false_held, violated=budget)


class _Options(TypedDict):
    soft: bool
    allow_vacuous: bool


@overload
def expect(subject: Window, *, soft: bool = False, allow_vacuous: bool = False) -> WindowClaims: ...
@overload
def expect(subject: EdgeWindow, *, soft: bool = False, allow_vacuous: bool = False) -> EdgeClaims: ...
@overload
def expect(
    subject: Flowing, *, soft: bool = False, allow_vacuous: bool = False, guard: Literal[False] = False
) -> TrafficClaims: ...
@overload
def expect(subject: Flowing, *, soft: bool = False, guard: Literal[True]) -> GuardClaims: ...
def expect(
    subject: Window | EdgeWindow | Flowing, *, soft: bool = False, allow_vacuous: bool = False, guard: bool = False
) -> WindowClaims | EdgeClaims | TrafficClaims | GuardClaims:
    """Claim something of a window, of an edge in a window, or of load while it flows.

    On a closed window a claim is judged at once: `Violated` (an AssertionError) if it does not hold, `Inconclusive` if the
    evidence does not carry a verdict. On an open window it is registered, and judged when the window's block ends.

    soft: write the verdict into the experiment's ledger, and go on; what did not hold is raised after the call phase.
    allow_vacuous: judge also what could not have failed.
    guard: of load that flows: watch the claim while faults are on, and end them as soon as it is violated.
    """
    if guard:
        if not isinstance(subject, Flowing):
            raise InvalidValue(f"expect({subject!r}, guard=True): what is guarded is load that flows, expect(traffic, guard=True)")
        return GuardClaims(subject, soft=soft)
    if isinstance(subject, Window):
        return _of_window(subject, soft=soft, allow_vacuous=allow_vacuous)
    if isinstance(subject, EdgeWindow):
        return EdgeClaims(
            subject.window,
            lambda: subject.name,
            lambda evidence: EdgeSubject(evidence, subject.within(evidence)),
            lambda so_far, _: so_far.calls(),
            soft=soft,
            allow_vacuous=allow_vacuous,
        )
    if isinstance(subject, Flowing):
        return TrafficClaims(subject, soft=soft, allow_vacuous=allow_vacuous)
    raise InvalidValue(
        f"expect({subject!r}): claims are made of a window, of an edge in a window or of load that flows, expect(during), "
        'expect(during.edge("a -> b")) or expect(traffic); of a number or a condition write a plain assert'
    )


def _of_window(window: Window, *, soft: bool, allow_vacuous: bool) -> WindowClaims:
    return WindowClaims(
        window,
        lambda: window.name,
        WindowSubject,
        lambda so_far, patience: so_far.requests(patience),
        soft=soft,
        allow_vacuous=allow_vacuous,
    )
