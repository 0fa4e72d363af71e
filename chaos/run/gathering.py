"""What is known of a stretch of load? Once all of it has ended (`Gatherer.whole`), or as far as it has (`Gatherer.so_far`).

Whatever looks at load that flows looks at the requests in the order of their scheduled start, and only at the longest beginning of
them that cannot change any more: in the order of completion, 50 % of requests that fail after 3 s were called held in every run
(verdicts.md rule 5).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from chaos import clock
from chaos.errors import LoadFailure
from chaos.load.port import Flow, LoadPlan, OpenModel, Script
from chaos.model.breakers import Tally
from chaos.model.injection import InjectionRequest
from chaos.model.samples import Samples
from chaos.model.window import WindowEvidence
from chaos.observe.lines import Stream
from chaos.observe.windows import Stretch, clear_of_transitions, gather

if TYPE_CHECKING:
    from chaos.run.experiment import Experiment

SETTLE_GRACE = 5.0
"""Seconds beyond the load's timeout after which evidence that is still under way makes a window inconclusive."""


class Gatherer:
    """Makes evidence of stretches of one load."""

    def __init__(self, experiment: Experiment, plan: LoadPlan, flow: Flow) -> None:
        self._experiment = experiment
        self._plan = plan
        self._flow = flow
        self.steady: WindowEvidence | None = None
        """The last window before the first injection."""

    def whole(
        self, name: str, start: int, end: int, tally_before: Tally, *, cut_short: bool = False, follows: bool = False
    ) -> WindowEvidence:
        """Of [start, end), once everything in it has ended. `follows`: it lasts as long as injections do, a guard's."""
        doubts = tuple(self._await_end(start, end))
        scheduled = self._flow.scheduled(start, end)
        stretch = self._stretch(
            name, start, end, self._flow.samples(), scheduled, doubts=doubts, cut_short=cut_short, follows=follows
        )
        return self._gathered(stretch, tally_before)

    def so_far(self, name: str, start: int, tally_before: Tally) -> Beginning:
        """Of everything since `start`."""
        return Beginning(self, name, start, tally_before)

    def await_resolved(self, until: int) -> None:
        """Every request scheduled before `until` has ended. Raises LoadFailure where one never does."""
        deadline = clock.Deadline.after(self._plan.timeout + SETTLE_GRACE)

        def resolved() -> bool:
            self._experiment.alarm.check()
            self._flow.check()
            return self._flow.resolved(until)

        if clock.poll(resolved, deadline=deadline, first=0.002, most=0.02) is None:
            raise LoadFailure(f"a load's requests were not resolved {SETTLE_GRACE:g} s after their own timeout")

    def await_lines(self, start: int, end: int) -> list[Stream]:
        """The streams of its requests that are still under way when they should have ended long ago."""
        sent = self._flow.samples().between(start, end)
        return self._experiment.reader.settle(
            map(self._plan.mark.trace_id, sent["sequence"]), clock.Deadline.after(self._plan.timeout + SETTLE_GRACE)
        )

    # -- as far as it has ended
    def ended(self, start: int, patience: float) -> Samples:
        """The beginning of the requests since `start` that cannot change any more.

        Those have ended, or (`patience`, seconds) are under way for longer than that: where only who is slower is asked for, they
        are told from the others already. In the closed model, which plans nothing, all have ended.
        """
        now = clock.now()
        samples = self._flow.samples().between(start, now)
        scheduled = samples["scheduled"]
        first = bisect_left(scheduled, True, key=lambda at: not self._flow.resolved(at + 1))
        end = scheduled[first - 1] + 1 if first else start
        if math.isfinite(patience) and end < (late := now - int(patience * clock.NS)):
            samples, end = self._with_late(samples, start, late, now), late
        return samples.between(start, end)

    def _with_late(self, samples: Samples, start: int, late: int, now: int) -> Samples:
        """What was due before `late` and has not ended is there as well, without an answer."""
        ended = set(samples["sequence"])
        waiting = [
            {"sequence": number, "scheduled": due, "sent": due, "ended": now}
            for number, due in self._flow.planned(start, late)
            if number not in ended
        ]
        more = Samples.of(waiting, samples.tables)
        return Samples({name: column + more[name] for name, column in samples.columns.items()}, samples.tables).by_schedule()

    def read_back(self, samples: Samples) -> Samples:
        """The beginning of which every log line has been read."""
        self._experiment.reader.catch_up()
        traces = {self._plan.mark.trace_id(number): i for i, number in enumerate(samples["sequence"])}
        first = min((traces[stream.trace] for stream in self._experiment.reader.log.under_way(set(traces))), default=len(samples))
        return samples.where([i < first for i in range(len(samples))])

    def with_calls(self, name: str, start: int, samples: Samples, tally_before: Tally) -> WindowEvidence:
        """Of these requests, with their calls; in doubt as long as an injection is not proven by them."""
        end = samples["scheduled"][-1] + 1 if len(samples) else start
        stretch = self._stretch(name, start, end, samples, len(samples), cut_short=True, follows=True)
        return replace(self._gathered(stretch, tally_before), under_way=True)

    def without_calls(self, name: str, start: int, samples: Samples) -> WindowEvidence:
        """Of these requests alone: that costs no reading of logs."""
        end = samples["scheduled"][-1] + 1 if len(samples) else start
        samples = clear_of_transitions(samples, [i for i in self._experiment.history if self._reached_by(i.request)])
        return WindowEvidence(
            name=name,
            kind="fault",
            start=start,
            end=end,
            samples=samples,
            scheduled=len(samples),
            offered=self._offered(len(samples), start, end),
            timeout=self._plan.timeout,
            open_model=isinstance(self._plan.model, OpenModel),
            cut_short=True,
            under_way=True,
        )

    # -- in detail
    def _stretch(
        self,
        name: str,
        start: int,
        end: int,
        samples: Samples,
        scheduled: int,
        *,
        cut_short: bool,
        follows: bool,
        doubts: tuple[str, ...] = (),
    ) -> Stretch:
        return Stretch(
            name=name,
            start=start,
            end=end,
            mark=self._plan.mark,
            samples=samples,
            scheduled=scheduled,
            offered=self._offered(scheduled, start, end),
            timeout=self._plan.timeout,
            open_model=isinstance(self._plan.model, OpenModel),
            doubts=doubts,
            cut_short=cut_short,
            follows=follows,
            reached_by=self._reached_by,
        )

    def _gathered(self, stretch: Stretch, tally_before: Tally) -> WindowEvidence:
        experiment = self._experiment
        return gather(
            stretch,
            log=experiment.reader.log,
            injections=experiment.history,
            edges=experiment.observed(),
            tally=experiment.tally().since(tally_before),
            looks=experiment.circuits.looks,
            resolve=experiment.resolve,
            steady=self.steady,
            bystanders=experiment.bystanders,
            walked=experiment.walked,
        )

    def _offered(self, scheduled: int, start: int, end: int) -> float:
        model = self._plan.model
        return model.rate if isinstance(model, OpenModel) else scheduled / max(1e-9, (end - start) / clock.NS)

    def _await_end(self, start: int, end: int) -> list[str]:
        """Wait for the last request and the last log line; what did not come is a doubt."""
        doubts = []
        try:
            self.await_resolved(end)
        except LoadFailure as failure:
            doubts.append(str(failure))
        if under_way := self.await_lines(start, end):
            doubts.append(f"{len(under_way)} streams had not ended when the evidence was read, the first in {under_way[0].pod}")
        doubts += filter(None, (self._experiment.drift(), self._experiment.disturbed(start, clock.now())))
        return doubts

    def _reached_by(self, request: InjectionRequest) -> bool:
        """Bystander traffic carries no mark of an experiment; a match on another header value passes this load by."""
        if request.traffic == "own" and not self._experiment.mark.covers(self._plan.mark):
            return False
        if isinstance(self._plan.what, Script):
            return True  # what its requests carry is the script's business
        carried = {name.lower(): value for name, value in self._plan.what.headers.items()}
        return request.match.items() <= carried.items()


@dataclass(slots=True)
class Beginning:
    """One look at a window that is still open (`chaos.model.window.SoFar`). What is asked for twice is gathered once."""

    _gatherer: Gatherer
    _name: str
    _start: int
    _tally_before: Tally
    _by_patience: dict[float, WindowEvidence] = field(default_factory=dict)
    _with_calls: WindowEvidence | None = None

    def requests(self, patience: float = math.inf) -> WindowEvidence:
        """Those that have ended, or wait for longer than `patience` seconds. Without their calls."""
        if patience not in self._by_patience:
            ended = self._gatherer.ended(self._start, patience)
            self._by_patience[patience] = self._gatherer.without_calls(self._name, self._start, ended)
        return self._by_patience[patience]

    def calls(self) -> WindowEvidence:
        """Those that have ended and whose log lines have all been read, with their calls."""
        if self._with_calls is None:
            ended = self._gatherer.read_back(self._gatherer.ended(self._start, math.inf))
            self._with_calls = self._gatherer.with_calls(self._name, self._start, ended, self._tally_before)
        return self._with_calls
