"""Does everything stay as it was proven while a fault is live? A thread that looks, and ends the injection at the first doubt."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from chaos import clock
from chaos.errors import ChaosError

if TYPE_CHECKING:
    from chaos.run.experiment import Experiment
    from chaos.run.injecting import Injection

EVERY = 1.0
"""Seconds between two looks."""


class Watch:
    """Looks after an experiment's live injections: lease, stop switch, our pieces and what they copy, the mesh itself, expiry."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._live: list[Injection] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._guards: list[Callable[[], str]] = []
        self._asking = threading.Lock()

    def ask(self, guard: Callable[[], str]) -> None:
        """From now on a guard is asked, too: it gives the reason why no fault may go on, or nothing."""
        self._guards.append(guard)

    def start(self, injection: Injection) -> None:
        self._live.append(injection)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="istio-chaos-watch", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not clock.pause(EVERY, unless=self._stop):
            self.look()

    def look(self) -> None:
        """Once: end what may not go on."""
        live = [injection for injection in self._live if injection.on]
        trouble = self._trouble() if live else ""
        for injection in live:
            over = f"it reached its end of {injection.record.request.expires:g} s" if injection.expired else ""
            if trouble or over:
                self._end(injection, trouble or over)
        self.heed()

    def heed(self) -> None:
        """Ask the guards; one that is broken ends every fault."""
        with self._asking:
            live = [injection for injection in self._live if injection.on]
            try:
                broken, guarded = (next(filter(None, (guard() for guard in self._guards)), "") if live else ""), True
            except Exception as error:  # a guard that cannot look guards nothing
                broken, guarded = f"a guard failed: {error!r}", False
            for injection in live:
                if broken:
                    self._end(injection, broken, guarded=guarded)

    def _trouble(self) -> str:
        try:
            self._experiment.check_mesh()
            return self._experiment.stopped() or self._experiment.drift()
        except ChaosError as error:
            return str(error)
        except Exception as error:  # a watch that cannot look must not leave a fault on unseen
            return f"the watch failed: {error!r}"

    def _end(self, injection: Injection, reason: str, *, guarded: bool = False) -> None:
        """Undo at once, then tell whoever waits."""
        if not injection.on:
            return  # its own block ended it meanwhile
        try:
            injection.undo(aborted=reason, guarded=guarded)
        except Exception as failed:  # told to whoever waits; the experiment's end tries again
            reason = f"{reason}; and the undo failed: {failed}"
        self._experiment.alarm.ring(f"{injection.record} was ended early: {reason}")
