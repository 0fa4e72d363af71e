"""How does one injection live? Checked when it is asked for, on when its block begins, off when it ends, whatever happens between.

`__exit__` and the experiment's own end call the same idempotent undo. An undo is tried again with growing pauses; when it cannot be
proven the run ends with the loudest of outcomes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from chaos import clock
from chaos.errors import ChaosError, UndoFailed
from chaos.injection.callers import Ends
from chaos.injection.switch import Live
from chaos.model.events import InjectionGone, InjectionProven
from chaos.model.injection import InjectionRecord
from chaos.run.paths import Paths
from chaos.run.shield import shielded

if TYPE_CHECKING:
    from chaos.run.experiment import Experiment

UNDO_WITHIN = 60.0
"""Seconds for which an undo is tried again before it counts as failed."""


class Injection:
    """A fault on an edge: `with inject(...) as injection:`."""

    def __init__(self, experiment: Experiment, paths: Paths, ends: Ends, record: InjectionRecord) -> None:
        self._experiment = experiment
        self._paths = paths
        self._ends = ends
        self._live = Live(numbers=(record.number,), request=record.request, side=record.side)
        self.record = record

    # -- life
    def __enter__(self) -> Injection:
        self._paths.check(self._ends, self._live)
        self._experiment.observe(self.record.request.edge)
        self._experiment.take_steady()
        # Registered before the first write: from here on the experiment's end undoes it.
        self._experiment.remember(self)
        try:
            self._paths.switch_on(self._ends, self._live, written=self._note(lambda now: replace(self.record, written=now)))
        except BaseException as failure:
            self._undo_after(failure)
            raise
        self.record = replace(self.record, proven=clock.now())
        self._experiment.emit(
            InjectionProven(
                experiment=self._experiment.name,
                number=self.record.number,
                fault=str(self.record.request.fault),
                edge=str(self.record.request.edge),
                side=self.record.side,
                reason=self.record.reason,
                callers=self.record.callers,
                in_force_ms=self.record.in_force_ms,
            )
        )
        self._experiment.watcher.start(self)
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

    def undo(self, *, aborted: str = "") -> None:
        """Switch it off and prove it gone; nothing if that was done. Raises UndoFailed."""
        with shielded(f"undoing {self.record}"), self._experiment.changing:
            if self.record.gone or not self.record.written:
                return
            self.record = replace(self.record, aborted=self.record.aborted or aborted)
            self._retried()
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
    def _note(self, change: Callable[[int], InjectionRecord]) -> Callable[[], None]:
        def note() -> None:
            self.record = change(clock.now())

        return note

    def _retried(self) -> None:
        deadline = clock.Deadline.after(UNDO_WITHIN)
        withdrawn = self._note(lambda now: replace(self.record, withdrawn=self.record.withdrawn or now))
        for step in clock.steps(0.1, most=5.0):
            try:
                self._paths.switch_off(self._ends, self._live, written=withdrawn)
            except ChaosError as error:
                if deadline.passed:
                    failed = UndoFailed(
                        f"{self.record} may still be in force in {', '.join(self.record.callers)}: {error}. "
                        "Run `istio-chaos sweep`, and look at the proxies named"
                    )
                    self._experiment.undo_failed(failed)
                    raise failed from error
                clock.pause(min(step, deadline.left))
            else:
                return

    def _undo_after(self, failure: BaseException) -> None:
        """A failure of the body stays the failure; a failed undo is added to it, never put in its place."""
        try:
            self.undo()
        except UndoFailed as failed:
            failure.add_note(str(failed))
