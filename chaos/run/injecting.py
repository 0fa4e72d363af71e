"""How does one injection live? Checked when it is asked for, on when its block begins, off when it ends, whatever happens between.

`__exit__` and the experiment's own end call the same idempotent undo. An undo is tried again with growing pauses; when it cannot be
proven the run ends with the loudest of outcomes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from chaos import clock
from chaos.errors import ChaosError, ExperimentError, UndoFailed
from chaos.injection.callers import Ends
from chaos.injection.switch import Live
from chaos.model.events import Event, InjectionGone, InjectionProven
from chaos.model.injection import InjectionRecord
from chaos.run.paths import LATE, Paths
from chaos.run.shield import shielded

if TYPE_CHECKING:
    from chaos.run.experiment import Experiment

UNDO_WITHIN = 60.0
"""Seconds for which an undo is tried again before it counts as failed."""


def undone(
    step: Callable[[], None],
    otherwise: Callable[[], str],
    failed: Callable[[UndoFailed], None],
    *,
    last_resort: Callable[[], None] = lambda: None,
) -> None:
    """Try an undo until it is proven; what still fails after `LATE` is helped by the last resort.

    Raises UndoFailed, told to `failed` first, when it is not proven within `UNDO_WITHIN`; `otherwise` says what that means.
    """
    deadline, late = clock.Deadline.after(UNDO_WITHIN), clock.Deadline.after(LATE)
    for pause in clock.steps(0.1, most=5.0):
        try:
            step()
        except Exception as error:  # whatever it is: a fault that may be left on is worth another try
            if late.passed:
                last_resort()
            if deadline.passed:
                loudest = UndoFailed(f"{otherwise()}: {error}. Run `istio-chaos sweep`, and look at the proxies named")
                failed(loudest)
                raise loudest from error
            clock.pause(min(pause, deadline.left))
        else:
            return


class Injection:
    """A fault on an edge: `with inject(...) as injection:`."""

    def __init__(self, experiment: Experiment, paths: Paths, ends: Ends, record: InjectionRecord) -> None:
        self._experiment = experiment
        self._paths = paths
        self._ends = ends
        self._live = Live(numbers=(record.number,), request=record.request, side=record.side)
        self.record = record
        self._silenced: list[str] = []
        """Pods where the last resort has switched it off."""

    # -- life
    def __enter__(self) -> Injection:
        if self.record.written:
            raise ExperimentError(f"{self.record} has been on already: an injection has one life, so call inject(...) again")
        self._paths.check(self._ends, self._live)
        self._experiment.observe(self.record.request.edge)
        self._experiment.take_steady()
        self._experiment.look_for_marks(self.record.request)
        # Registered before the first write: from here on the experiment's end undoes it.
        self._experiment.remember(self)
        self._experiment.circuits.start()
        self._experiment.foretell(self._ends, self._live)
        try:
            self._paths.switch_on(self._ends, self._live, written=self._note(lambda now: replace(self.record, written=now)))
            self.record = replace(self.record, proven=clock.now())
            self._experiment.watcher.start(self)
            self._experiment.emit(self._proven())
        except BaseException as failure:
            self._undo_after(failure)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None) -> None:
        if failure is None:
            self.undo()
        else:
            self._undo_after(failure)

    async def __aenter__(self) -> Injection:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None) -> None:
        await asyncio.to_thread(self.__exit__, kind, failure, trace)

    def undo(self, *, aborted: str = "", guarded: bool = False) -> None:
        """Switch it off and prove it gone; nothing if that was done. Raises UndoFailed."""
        with shielded(f"undoing {self.record}"), self._experiment.changing:
            if self.record.gone or not self.record.written:
                return
            if aborted and not self.record.aborted:
                self.record = replace(self.record, aborted=aborted, guarded=guarded)
            undone(self._switch_off, self._still_on, self._experiment.undo_failed, last_resort=self._silence)
            self.record = replace(self.record, gone=clock.now())
        self._experiment.emit(
            InjectionGone(
                experiment=self._experiment.name,
                number=self.record.number,
                gone_ms=(self.record.gone - self.record.withdrawn) / 1e6,
                aborted=self.record.aborted,
            )
        )

    @property
    def on(self) -> bool:
        """Proven and not yet withdrawn."""
        return bool(self.record.proven) and not self.record.withdrawn

    @property
    def expired(self) -> bool:
        return self.on and clock.now() - self.record.written > self.record.request.expires * 1e9

    # -- in detail
    def _proven(self) -> Event:
        return InjectionProven(
            experiment=self._experiment.name,
            number=self.record.number,
            fault=str(self.record.request.fault),
            edge=str(self.record.request.edge),
            side=self.record.side,
            reason=self.record.reason,
            callers=self.record.callers,
            in_force_ms=self.record.in_force_ms,
            only=self.record.request.only,
        )

    def _note(self, change: Callable[[int], InjectionRecord]) -> Callable[[], None]:
        def note() -> None:
            self.record = change(clock.now())

        return note

    def _switch_off(self) -> None:
        withdrawn = self._note(lambda now: replace(self.record, withdrawn=self.record.withdrawn or now))
        self._paths.switch_off(self._ends, self._live, written=withdrawn, late=self._silence)

    def _silence(self) -> None:
        """The last resort, said once."""
        if self._silenced:
            return
        with suppress(ChaosError):
            self._silenced = self._paths.silence(self._ends)
        if self._silenced:
            self._experiment.note(
                f"{self.record}: its end does not reach the proxies, so that their own runtime switched it off in "
                f"{', '.join(self._silenced)} (the last resort)"
            )

    def _still_on(self) -> str:
        loud = [pod for pod in self.record.callers if pod not in self._silenced]
        if loud:
            return f"{self.record} may still be in force in {', '.join(loud)}"
        return f"{self.record} is switched off by the runtime of {', '.join(self._silenced)} alone, and still configured there"

    def _undo_after(self, failure: BaseException) -> None:
        """A failure of the body stays the failure; a failed undo is added to it, never put in its place."""
        try:
            self.undo()
        except UndoFailed as failed:
            failure.add_note(str(failed))
