"""How does one load live, and what are its windows? Load flows from `__enter__` to `__exit__`; a window only labels requests."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any

from chaos import clock
from chaos.claims.subjects import Guardian
from chaos.errors import Aborted, ExperimentError, Inconclusive, Violated
from chaos.load.port import ClosedModel, Flow, LoadPlan, OpenModel
from chaos.model import units
from chaos.model.breakers import Tally
from chaos.model.edge import Edge
from chaos.model.events import LoadStarted, Noted, WindowClosed, WindowProgress
from chaos.model.injection import InjectionRecord
from chaos.model.samples import Samples
from chaos.model.verdict import Ledger
from chaos.model.window import Outlook, Window, WindowEvidence, is_bad, latencies, latency_at
from chaos.run.gathering import Gatherer
from chaos.run.injecting import Injection

if TYPE_CHECKING:
    from chaos.run.experiment import Experiment

WARM_UP_SECONDS = 2.0
WARM_UP_REQUESTS = 50
PROGRESS_EVERY = 0.5
STEADY_SECONDS = 1.0
STEADY_REQUESTS = 60
"""The least that stands between warm-up and the first injection, so that every fault is compared with something."""


class Traffic:
    """Load on one target: `with load("/productpage", rate="100/s") as traffic:`."""

    def __init__(self, experiment: Experiment, plan: LoadPlan, target: str) -> None:
        self._experiment = experiment
        self._plan = plan
        self._flow: Flow | None = None
        self._gathering: Gatherer | None = None
        self._stopped = False
        self._windows = 0
        self._guards: list[Guardian] = []
        self._tally_before: dict[Window, Tally] = {}
        """What breakers had done on each edge when a window began."""
        self.target = target

    # -- life
    def __enter__(self) -> Traffic:
        if self._begun:
            raise ExperimentError(f"load on {self.target} has flowed already: a load has one block, so call load(...) again")
        self._experiment.remember_traffic(self)
        self._begin()
        return self

    @property
    def _begun(self) -> bool:
        """Does it flow, or has it?"""
        return self._flow is not None

    def _begin(self) -> None:
        self._flow = self._experiment.generator.start(self._plan)
        self._gathering = Gatherer(self._experiment, self._plan, self._flow)
        model = model_text(self._plan.model)
        self._experiment.emit(LoadStarted(experiment=self._experiment.name, target=self.target, model=model))

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        self._conclude(failure)

    def _conclude(self, failure: BaseException | None) -> None:
        """Guards speak last: that one is violated is why the experiment was aborted, and no reason to hide another failure."""
        raised: list[Exception] = []
        for guard in self._guards:
            try:
                guard.conclude()
            except Exception as error:
                raised.append(error)
        if not raised:
            return
        told = raised[0] if len(raised) == 1 else ExceptionGroup(f"{len(raised)} guards of {self.target} do not hold", raised)
        if failure is None or (isinstance(failure, Aborted) and any(isinstance(each, Violated) for each in raised)):
            raise told from failure
        failure.add_note(str(told))

    async def __aenter__(self) -> Traffic:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None) -> None:
        await asyncio.to_thread(self.__exit__, kind, failure, trace)

    def stop(self) -> None:
        """No further requests. Idempotent."""
        self._stopped = True
        if self._flow is not None:
            self._flow.stop()

    @property
    def flow(self) -> Flow:
        if self._flow is None:
            raise self._not_begun()
        return self._flow

    def _not_begun(self) -> ExperimentError:
        return ExperimentError(f"load on {self.target} does not flow yet: use it in a with block, `with load(...) as traffic:`")

    @property
    def _gatherer(self) -> Gatherer:
        assert self.flow
        assert self._gathering is not None
        return self._gathering

    # -- windows
    def window(self, length: str | timedelta) -> Window:
        """Label the requests scheduled in the next `length`; returns when the last of them has ended and was read back."""
        seconds = units.duration(length, name="window").total_seconds()
        window = self._new_window()
        start = max(clock.now(), self._warm())
        end = start + int(seconds * clock.NS)
        with self._cut_by_guards(window, start):
            self._flow_until(window, start, end, seconds)
            return self._close(window, start, end)

    async def window_async(self, length: str | timedelta) -> Window:
        """The same, from a worker thread."""
        return await asyncio.to_thread(self.window, length)

    @contextmanager
    def recording(self) -> Iterator[Window]:
        """Label the requests scheduled while the block runs; claims on the open window are judged when it ends."""
        window = self._new_window()
        self._experiment.alarm.wait_until(self._warm())
        start = clock.now()
        with self._cut_by_guards(window, start):
            yield window
            self._experiment.watcher.heed()
            self._experiment.alarm.check()
            self._close(window, start, clock.now())

    @contextmanager
    def until_decided(self, max: str | timedelta = "60s") -> Iterator[Window]:  # noqa: A002 - the word for it
        """Claims registered in the block are looked at while requests arrive; it ends when all are decided, or after `max`."""
        seconds = units.duration(max, name="max").total_seconds()
        window = self._new_window(looked_at=True)
        self._experiment.alarm.wait_until(self._warm())
        start = clock.now()
        with self._cut_by_guards(window, start):
            yield window
            self._decide(window, start, seconds)

    def _decide(self, window: Window, start: int, seconds: float) -> None:
        check_claimed(window)
        end = start + int(seconds * clock.NS)
        self._flow_until(window, start, end, seconds, enough=lambda: self._decided(window, start))
        self._close(window, start, min(end, clock.now()), cut_short=True)

    def _decided(self, window: Window, start: int) -> bool:
        """Every claim has seen enough, and every injection enough attempts to be proven by."""
        so_far = self._gatherer.so_far(window.name, start, self._tally_before[window])
        return window.enough(so_far) and not so_far.calls().doubts

    def settle(self, after: Injection | None = None) -> None:
        """Wait until every request scheduled before `after` was gone (default: before now) has ended, on every hop."""
        if after is not None and not after.record.gone:
            raise ExperimentError(f"{after.record} is still on: settle after its block has ended")
        self._await_settled(clock.now() if after is None else after.record.gone)

    def _await_settled(self, until: int) -> None:
        self._gatherer.await_resolved(until)
        if under_way := self._gatherer.await_lines(self.flow.started, until):
            raise Inconclusive(
                f"{len(under_way)} streams are still under way, the first in {under_way[0].pod}: traffic did not settle"
            )

    def take_steady(self) -> None:
        """Before the first injection: what flowed since the warm-up counts as a steady window, extended if it is too short."""
        if self._flow is None or self._stopped or (self.steady and len(self.steady.samples) >= STEADY_REQUESTS):
            return
        start = self._warm()
        end = max(clock.now(), start + int(least_steady(self._plan.model) * clock.NS))
        window = self._new_window()
        self._flow_until(window, start, end, (end - start) / clock.NS)
        self._close(window, start, end)

    # -- for measurements
    @property
    def experiment(self) -> Experiment:
        """Whose load it is."""
        return self._experiment

    @property
    def timeout(self) -> float:
        """Seconds for which a request is waited for."""
        return self._plan.timeout

    def seconds_for(self, requests: int) -> float:
        """How long so many requests take, at least a second."""
        return max(1.0, requests / self._plan.model.rate) if isinstance(self._plan.model, OpenModel) else 1.0

    # -- for claims on the time to come
    @property
    def ledger(self) -> Ledger:
        """Where the verdicts of the experiment are written down."""
        return self._experiment.ledger

    @property
    def own(self) -> bool:
        """Do its requests carry the mark of the experiment? Those of bystanders carry the run's alone."""
        return self._experiment.mark.covers(self._plan.mark)

    @property
    def outlook(self) -> Outlook:
        """What is known before claims on it are watched."""
        experiment, model = self._experiment, self._plan.model
        return Outlook(
            rate=model.rate if isinstance(model, OpenModel) else None,
            steady=self.steady,
            looked_at=True,
            false_held=experiment.ledger.standards.false_held,
            tell=lambda text: experiment.emit(Noted(experiment=experiment.name, text=text)),
        )

    @property
    def steady(self) -> WindowEvidence | None:
        """The last window before the first injection."""
        return self._gathering.steady if self._gathering else None

    def between(self, start: int, end: int) -> Window:
        """The window of the requests scheduled in [start, end) ns; returns when the last of them has ended and was read back."""
        window = self._new_window()
        self._flow_until(window, start, end, (end - start) / clock.NS)
        return self._close(window, start, end)

    def under(self, injection: InjectionRecord) -> WindowEvidence:
        """What is known of the time in which an injection was in force, whatever windows were taken of it."""
        tally = self._experiment.tally()
        return self._gatherer.whole(f"the time under {injection}", injection.proven, injection.withdrawn, tally)

    def requests(self, start: int, end: int) -> Samples:
        """Requests scheduled in [start, end) ns that have ended."""
        return self.flow.samples().between(start, end)

    def __repr__(self) -> str:
        return f"<load on {self.target}>"

    def guard(self, guard: Guardian) -> None:
        """Looked at while faults are on, and settled when the load ends."""
        self._guards.append(guard)
        self._experiment.watcher.ask(guard.look)

    def faulted(self, *, ended: bool = False, patience: float = math.inf) -> WindowEvidence:
        """The requests that were scheduled while a fault of the experiment was in force, as far as all of them have ended.

        `ended`: wait for all of them, and for the lines of their calls. `patience`: who is under way for longer counts as slow.
        """
        warm = self._warm() if self._flow is not None else clock.now()
        live = [(max(warm, i.proven), i.withdrawn or clock.now()) for i in self._experiment.history if i.proven]
        stretches = [(first, last) for first, last in live if first < last]
        if not stretches:
            raise Inconclusive(f"no fault was in force while {self.target} was guarded, so that nothing was to be guarded against")
        start, end = min(first for first, _ in stretches), max(last for _, last in stretches)
        if ended:
            tally = self._experiment.tally()
            evidence = self._gatherer.whole(f"guarded load on {self.target}", start, end, tally, follows=True)
        else:
            evidence = self._gatherer.so_far("what is guarded", start, self._experiment.tally()).requests(patience)
        samples = self.flow.samples().between(start, end) if ended else evidence.samples
        keep = [any(first <= at < last for first, last in stretches) for at in samples["scheduled"]]
        scheduled = sum(self.flow.scheduled(*stretch) for stretch in _apart(stretches)) if ended else sum(keep)
        samples = samples.where(keep)
        return replace(evidence, samples=samples, scheduled=scheduled, transition=0, steady=self.steady, cut_short=True)

    # -- in detail
    @contextmanager
    def _cut_by_guards(self, window: Window, start: int) -> Iterator[None]:
        """A guard ended the fault: what was asked until then is a window that was cut short, and the error carries it."""
        try:
            yield
        except Aborted as aborted:
            ends = [i.withdrawn for i in self._experiment.history if i.guarded and i.withdrawn > start]
            if ends and not window.closed:
                aborted.window = window
                try:
                    self._close(window, start, self._all_ended(start, min(ends)), cut_short=True)
                except Exception as told:  # the verdicts are written down; that it was aborted comes first
                    aborted.add_note(str(told))
            raise

    def _all_ended(self, start: int, withdrawn: int) -> int:
        """The first request that was still alive when the fault was withdrawn: who is slow must not be left out."""
        self._gatherer.await_resolved(withdrawn)
        samples = self.flow.samples().between(start, withdrawn)
        alive = [due for due, ended in zip(samples["scheduled"], samples["ended"], strict=True) if ended >= withdrawn]
        return max(start, min(alive, default=withdrawn))

    def _new_window(self, *, looked_at: bool = False) -> Window:
        window = Window(self._next_window(), self._experiment.ledger)
        window.outlook = replace(self.outlook, looked_at=looked_at)
        self._tally_before[window] = self._experiment.tally()
        return window

    def _next_window(self) -> str:
        """Its name. Raises ExperimentError while nothing flows that it could be taken of."""
        if self._stopped:
            raise ExperimentError(f"load on {self.target} has ended: take its windows inside its block")
        if not self._begun:
            raise self._not_begun()
        self._windows += 1
        return f"window {self._windows} of {self.target}"

    def _warm(self) -> int:
        return self.flow.started + int(warm_up(self._plan.model) * clock.NS)

    def _flow_until(
        self, window: Window, start: int, end: int, seconds: float, *, enough: Callable[[], bool] = lambda: False
    ) -> None:
        """Wait for the end of the window, or for enough; watch the generator, and tell how it goes."""
        alarm = self._experiment.alarm
        alarm.wait_until(start)
        while clock.now() < end and not enough():
            alarm.wait_until(min(end, clock.now() + int(PROGRESS_EVERY * clock.NS)))
            self.flow.check()
            self._experiment.watcher.heed()
            alarm.check()
            if self._experiment.tells_progress:
                samples = self.flow.samples().between(start, end)
                errors = sum(is_bad(samples, i) for i in range(len(samples)))
                self._experiment.emit(
                    WindowProgress(
                        experiment=self._experiment.name,
                        window=window.name,
                        elapsed=min(seconds, (clock.now() - start) / clock.NS),
                        length=seconds,
                        requests=len(samples),
                        errors=errors,
                    )
                )

    def _close(self, window: Window, start: int, end: int, *, cut_short: bool = False) -> Window:
        evidence = self._gatherer.whole(window.name, start, end, self._tally_before.pop(window), cut_short=cut_short)
        if evidence.kind == "steady":
            self._gatherer.steady = evidence
        self._experiment.emit(_closed(self._experiment.name, self.target, evidence))
        window.close(evidence)
        return window


def warm_up(model: OpenModel | ClosedModel) -> float:
    """Seconds that belong to no window: the first max(2 s, 50 requests)."""
    return max(WARM_UP_SECONDS, WARM_UP_REQUESTS / model.rate) if isinstance(model, OpenModel) else WARM_UP_SECONDS


def least_steady(model: OpenModel | ClosedModel) -> float:
    """Seconds from the warm-up to the first injection, at least."""
    return max(STEADY_SECONDS, STEADY_REQUESTS / model.rate) if isinstance(model, OpenModel) else STEADY_SECONDS


def check_claimed(window: Window) -> None:
    """Raises ExperimentError where nothing can be decided."""
    if not window.watched:
        raise ExperimentError(
            f"{window.name}: nothing was claimed of it, so that nothing can be decided: write expect(...).to_... in the block, "
            "`with traffic.until_decided() as w: expect(w).to_succeed()`"
        )


def model_text(model: OpenModel | ClosedModel) -> str:
    return f"{model.rate:g}/s" if isinstance(model, OpenModel) else f"{model.users} users"


def _apart(stretches: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same time without overlaps."""
    apart: list[tuple[int, int]] = []
    for first, last in sorted(stretches):
        if apart and first <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(last, apart[-1][1]))
        else:
            apart.append((first, last))
    return apart


def _closed(experiment: str, target: str, evidence: WindowEvidence) -> WindowClosed:
    """The key numbers of a window, unchecked: what is said of them is the claims' business."""
    samples = evidence.samples
    times = latencies(samples)
    at = {q: latency_at(times, q) if times else None for q in (0.5, 0.95, 0.99)}
    return WindowClosed(
        experiment=experiment,
        window=evidence.name,
        kind=evidence.kind,
        seconds=evidence.seconds,
        target=target,
        started=clock.Pairing.taken().wall_of(evidence.start) / clock.NS,
        requests=len(samples),
        errors=sum(is_bad(samples, i) for i in range(len(samples))),
        missing=evidence.missing,
        transition=evidence.transition,
        p50=_finite(at[0.5]),
        p95=_finite(at[0.95]),
        p99=_finite(at[0.99]),
        statuses={str(status): count for status, count in sorted(Counter(samples["status"]).items())},
        timeline=_timeline(evidence, times),
        edges={str(edge): _edge(evidence, edge) for edge in evidence.edges},
        doubts=evidence.doubts,
    )


def _edge(evidence: WindowEvidence, edge: Edge) -> Mapping[str, Any]:
    seen = evidence.edges[edge]
    return {
        "source": seen.source,
        "calls": len(seen.calls),
        "attempts": sum(call.tries for call in seen.calls),
        "flags": dict(Counter(",".join(sorted(call.flags)) or "-" for call in seen.calls)),
        "marks": sorted(seen.forms),
        "statuses": {str(s): n for s, n in sorted(Counter(call.status for call in seen.calls).items())},
        "ejections": seen.ejections,
        "policy": list(seen.policy),
        "proof": seen.proof.reason if seen.proof else "",
        "proven": seen.proof.proven if seen.proof else None,
    }


def _timeline(evidence: WindowEvidence, times: list[float]) -> tuple[Mapping[str, float], ...]:
    buckets: dict[int, list[int]] = {}
    for index, scheduled in enumerate(evidence.samples["scheduled"]):
        buckets.setdefault((scheduled - evidence.start) // clock.NS, []).append(index)
    return tuple(
        {
            "second": float(second),
            "requests": float(len(inside)),
            "errors": float(sum(is_bad(evidence.samples, i) for i in inside)),
            "p95": _finite(latency_at([times[i] for i in inside], 0.95)) or -1.0,
        }
        for second, inside in sorted(buckets.items())
    )


def _finite(value: float | None) -> float | None:
    return None if value is None or value == float("inf") else value
