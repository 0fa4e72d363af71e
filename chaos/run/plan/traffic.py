"""What would one load send, and what would its windows have to show? Nothing flows: windows end at once, and have no numbers.

Time is added up as the windows ask for it, so that lengths and counts are those of a run in which proxies take no time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, cast

from chaos.errors import PlannedUpToHere
from chaos.load.locust.generator import refuse
from chaos.load.port import LoadPlan, OpenModel, Requests
from chaos.model import units
from chaos.model.edge import Edge
from chaos.model.events import LoadPlanned, WindowPlanned
from chaos.model.verdict import Ledger
from chaos.model.window import EdgeWindow, Foreseen, Outlook, Window, WindowEvidence
from chaos.run.traffic import STEADY_REQUESTS, Traffic, check_claimed, least_steady, model_text, warm_up

if TYPE_CHECKING:
    from chaos.run.plan.experiment import PlannedExperiment


class PlannedWindow(Window):
    """A window without evidence. Whoever reads a number of it ends the plan."""

    def __init__(self, name: str, ledger: Ledger, experiment: PlannedExperiment, faults: tuple[int, ...]) -> None:
        super().__init__(name, ledger)
        self.planned: int | None = None
        """The requests it would have, as soon as that is known."""
        self.faults = faults
        self.over = False
        self._experiment = experiment
        self._early: list[Foreseen] = []
        """Claims made before its length was known."""

    @property
    def watched(self) -> bool:
        return bool(self._early)

    def foresee(self, claim: Foreseen) -> None:
        if self.faults:
            self.ledger.look("fault", sound=True)
        if self.over:
            self._experiment.claimed(claim, self.planned)
        else:
            self._early.append(claim)

    def end(self, requests: int | None) -> None:
        """Its length is known."""
        self.planned, self.over = requests, True
        early, self._early = self._early, []
        for claim in early:
            self._experiment.claimed(claim, requests)

    @property
    def evidence(self) -> WindowEvidence:
        raise PlannedUpToHere(f"the numbers of {self.name}")

    def edge(self, edge: str | Edge) -> EdgeWindow:
        found = super().edge(edge)
        if self._experiment.unseen(found.edge):
            self._experiment.doubt(
                f'{found.name}: nobody would see its calls; name it for the load, load(..., observe=["{found.edge}"])'
            )
        return found

    def _part(self, wanted: bool) -> Window:
        part = PlannedWindow(f"{self.name} ({'hit' if wanted else 'spared'})", self.ledger, self._experiment, self.faults)
        part.outlook = self.outlook and replace(self.outlook, foresee=part.foresee)
        part.end(None)
        return part

    def __repr__(self) -> str:
        return f"<{self.name}, planned>"


class PlannedTraffic(Traffic):
    """Load that does not flow."""

    _experiment: PlannedExperiment

    def __init__(self, experiment: PlannedExperiment, plan: LoadPlan, target: str, number: int) -> None:
        super().__init__(experiment, plan, target)
        self._number = number
        self._began: float | None = None
        self._told = False
        self._steady_requests = 0

    # -- life
    @property
    def _begun(self) -> bool:
        return self._began is not None

    def _begin(self) -> None:
        refuse(self._plan)
        self._began = self._experiment.elapsed

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Tell how long it would have flowed. Idempotent."""
        self._stopped = True
        if self._began is None or self._told:
            return
        self._told = True
        seconds = self._experiment.elapsed - self._began
        self._experiment.emit(
            LoadPlanned(
                experiment=self._experiment.name,
                number=self._number,
                target=self.target,
                model=model_text(self._plan.model),
                enters=self._experiment.enters_by(self._entry),
                own=self.own,
                seconds=seconds,
                requests=self._count(seconds),
            )
        )

    @property
    def flow(self) -> NoReturn:
        raise PlannedUpToHere(f"what was sent to {self.target}")

    # -- windows
    def window(self, length: str | timedelta) -> Window:
        seconds = units.duration(length, name="window").total_seconds()
        window = self._new_window()
        self._wait(self._warmed())
        self._wait(self._experiment.elapsed + seconds)
        return self._closed(window, seconds)

    @contextmanager
    def recording(self) -> Iterator[Window]:
        window = self._new_window()
        self._wait(self._warmed())
        start, switched = self._experiment.elapsed, self._experiment.switched(own=self.own)
        try:
            yield window
        finally:
            if switched != self._experiment.switched(own=self.own):
                self._experiment.doubt(f"{window.name}: an injection begins or ends inside it, so that it shows neither")
            self._closed(window, self._experiment.elapsed - start)

    @contextmanager
    def until_decided(self, max: str | timedelta = "60s") -> Iterator[Window]:  # noqa: A002 - the word for it
        seconds = units.duration(max, name="max").total_seconds()
        window = self._new_window(looked_at=True)
        self._wait(self._warmed())
        yield window
        check_claimed(window)
        self._wait(self._experiment.elapsed + seconds)
        self._closed(window, seconds, at_most=True)

    def _await_settled(self, until: int) -> None:
        """Nothing is under way."""

    def take_steady(self) -> None:
        if self._began is None or self._stopped or self._steady_requests >= STEADY_REQUESTS:
            return
        start = self._warmed()
        window = self._new_window()
        self._wait(start + least_steady(self._plan.model))
        self._closed(window, self._experiment.elapsed - start)

    # -- for claims on the time to come
    @property
    def outlook(self) -> Outlook:
        return replace(super().outlook, foresee=self._foresee)

    def _foresee(self, claim: Foreseen) -> None:
        """Of the load itself: a guard, or a recovery."""
        if self._experiment.history:
            self.ledger.look("fault", sound=True)
        self._experiment.claimed(claim, None)
        self._wait(self._experiment.elapsed + claim.seconds)

    def between(self, start: int, end: int) -> NoReturn:
        raise PlannedUpToHere(f"what was sent to {self.target}")

    # -- in detail
    @property
    def _entry(self) -> bool:
        """Does it enter where users do?"""
        return not isinstance(self._plan.what, Requests) or self.target.startswith("/")

    def _new_window(self, *, looked_at: bool = False) -> PlannedWindow:
        window = PlannedWindow(self._next_window(), self.ledger, self._experiment, self._experiment.on(own=self.own))
        window.outlook = replace(self.outlook, looked_at=looked_at, foresee=window.foresee)
        return window

    def _closed(self, window: PlannedWindow, seconds: float, *, at_most: bool = False) -> PlannedWindow:
        requests = self._count(seconds)
        if not self._experiment.injected:
            self._steady_requests = requests or 0
        self._experiment.emit(
            WindowPlanned(
                experiment=self._experiment.name,
                load=self._number,
                window=window.name,
                seconds=seconds,
                at_most=at_most,
                requests=requests,
                faults=window.faults,
            )
        )
        window.end(requests)
        return window

    def _warmed(self) -> float:
        return cast("float", self._began) + warm_up(self._plan.model)

    def _wait(self, until: float) -> None:
        self._experiment.elapsed = max(self._experiment.elapsed, until)

    def _count(self, seconds: float) -> int | None:
        """None where answers decide on it."""
        model = self._plan.model
        return round(model.rate * seconds) if isinstance(model, OpenModel) else None
