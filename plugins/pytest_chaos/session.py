"""What is one process of a run to pytest? It opens the run when the first experiment begins and closes it when the session ends.

`prepare` is called once the tests are selected: everything that can be refused is refused there, and what dead runs left is swept.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final, TypeVar

import pytest

from chaos.errors import ChaosError, ExperimentError, UndoFailed
from chaos.model.events import Event, ExperimentStarted
from chaos.report.stream import EventFile
from chaos.run import retention, shield
from chaos.run.run import Run, RunOptions, Swept, left_behind, new_id, sweep
from pytest_chaos import options, selection
from pytest_chaos.distribution import tell_controller
from pytest_chaos.fixtures import EXPERIMENT
from pytest_chaos.outcomes import Outcomes
from pytest_chaos.progress import Progress
from pytest_chaos.results import Results

if TYPE_CHECKING:
    from chaos.model.topology import Topology
    from chaos.run.experiment import Experiment

T = TypeVar("T")
UNDO_FAILED: Final = 16
"""Exit status of a session that could not undo: over every other."""
TERMINATED: Final = 128 + signal.SIGTERM
PATIENT: Final = 10.0
"""Seconds for a cluster on which a dead run left something; a new one that wants the same callee is refused until it is gone."""
PATIENCE: Final = 3
"""So many SIGTERMs leave the rest to the watchdog."""

_SESSION: Final = pytest.StashKey["Session"]()


def of(config: pytest.Config) -> Session:
    """The session that was prepared."""
    session = config.stash.get(_SESSION, None)
    if session is None:
        raise ExperimentError(
            "the fixtures of istio-chaos have to be among a test's arguments (or those of its fixtures), not asked for by "
            "getfixturevalue: what experiments need is found and checked before the first test"
        )
    return session


def prepare(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Check, sweep, and be there for the experiments. Raises UsageError before anything is touched."""
    selection.refuse_locust()
    selection.check_markers(items)
    topology = selection.topology(config, items)
    opener = _opener(config, topology)
    session = Session(config, topology, opener, experiments=sum(EXPERIMENT in getattr(item, "fixturenames", ()) for item in items))
    config.stash[_SESSION] = session
    config.pluginmanager.register(session, "pytest_chaos_session")
    config.pluginmanager.register(session.outcomes, "pytest_chaos_outcomes")
    config.add_cleanup(session.close)


def _opener(config: pytest.Config, topology: Topology) -> Callable[[RunOptions], Run]:
    from chaos.run.meshes import KINDS, SHARED

    kind = options.mesh(config)
    if kind in SHARED and hasattr(config, "workerinput"):
        raise pytest.UsageError(
            f"--chaos-mesh={kind} with -n: workers would inject on the same services at once, and each other's faults would be in "
            "their evidence; leave -n out (a local mesh is one for each worker)"
        )
    try:
        opener: Callable[[RunOptions], Run] | None = config.hook.pytest_chaos_mesh(
            kind=kind, topology=topology, choice=options.choice(config)
        )
    except ChaosError as error:
        raise pytest.UsageError(str(error)) from error
    if opener is None:
        raise pytest.UsageError(f"--chaos-mesh={kind}: no such mesh; there are: {', '.join(KINDS)}")
    return opener


def _said(read: Callable[[pytest.Config], T], config: pytest.Config) -> T:
    """An option or ini value; what it should be, if it is none."""
    try:
        return read(config)
    except ChaosError as error:
        raise pytest.UsageError(str(error)) from error


class Session:
    """The run of this process, and the hooks that follow it."""

    def __init__(self, config: pytest.Config, topology: Topology, opener: Callable[[RunOptions], Run], *, experiments: int) -> None:
        self._config = config
        self._topology = topology
        self._opener = opener
        self._experiments = experiments
        self._lease_timeout = _said(options.lease_timeout, config)
        self._standards = _said(options.standards, config)
        self._given: dict[str, str] = getattr(config, "workerinput", {}).get("chaos", {})
        """What xdist's controller decided for all of its workers."""
        self._id = self._given.get("run") or new_id()
        self._run: Run | None = None
        self._ending = self._closed = False
        self._unfinished: list[Experiment] = []
        self._signals = 0
        self._told_before: Callable[[str], None] | None = None
        self._before_us: signal.Handlers | Callable[[int, FrameType | None], object] | int | None = None
        self.troubles: list[str] = []
        """What went wrong while the run was ended, other than an undo."""
        self.folder = Path(self._given["folder"]) if self._given else options.report(config) / self._id
        self._plan = options.plan(config)
        self.outcomes = Outcomes(self._emit, plans=self._plan)
        self._listeners: list[Callable[[Event], None]] = [EventFile(self.folder, self._worker or "main")]
        self._results = Results(config, self.folder)
        self._results.refused = getattr(opener, "refused", False)
        if self._given:
            self.folder.mkdir(parents=True, exist_ok=True)  # tells the controller that there are experiments
        # With xdist the controller did; and a plan changes nothing.
        self._swept = Swept((), ()) if self._given or self._plan else sweep(patience=PATIENT)
        if not self._given and not self._plan:
            retention.prune(options.report(config))
        if line := Progress.on(config):
            self._listeners.append(line)

    # -- for the fixtures
    def opened(self) -> Run:
        """The run, opened now if it is not yet."""
        if self._run is None:
            self._catch_sigterm()
            self._told_before = shield.tell_by(self._tell)
            self._run = self._opener(
                RunOptions(
                    id=self._id,
                    folder=self.folder,
                    worker=self._worker,
                    experiments=self._experiments,
                    standards=self._standards,
                    lease_timeout=self._lease_timeout,
                    plan=self._plan,
                    tells_progress=len(self._listeners) > 1,
                    listeners=(self._emit,),
                )
            )
        return self._run

    def experiment(self, item: pytest.Item) -> Iterator[Experiment]:
        """One test's experiment; what it did is undone when the iterator goes on."""
        experiment = self.opened().experiment(item.nodeid)
        self.outcomes.experiments[item.nodeid] = experiment
        self._unfinished.append(experiment)
        yield experiment
        try:
            experiment.finish()
        finally:
            if not self._ending:
                self._unfinished.remove(experiment)

    # -- what pytest tells
    def pytest_report_collectionfinish(self) -> list[str]:
        """The header, once it is known that there are experiments."""
        swept = [
            *(f"istio-chaos: swept {line}" for line in self._swept.done),
            *(f"istio-chaos: NOT UNDONE: {line}" for line in self._swept.failed),
        ]
        plan = "PLAN of " if self._plan else ""
        only = ": nothing is changed and nothing is sent" if self._plan else ""
        left = [f"istio-chaos: {line}" for line in left_behind()] if self._plan else []
        return [
            *swept,
            *left,
            f"istio-chaos: {plan}{_counted(self._experiments)} on the {options.mesh(self._config)} mesh, run {self._id}{only}",
            f"topology: {options.shown(self._config, self._topology.file)}",
            *getattr(self._opener, "header", ()),
        ]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Begin to tell of it before its fixtures are set up: a mesh that does not start is told of as well."""
        if EXPERIMENT in getattr(item, "fixturenames", ()):
            marker = item.get_closest_marker("chaos")
            hypothesis = str(marker.kwargs.get("hypothesis", "")) if marker else ""
            self._emit(ExperimentStarted(experiment=item.nodeid, hypothesis=hypothesis))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        """After the last teardown (which pytest does in this hook when it was interrupted), before the terminal's summary."""
        self._ending = True
        try:
            yield
        except (ChaosError, ExceptionGroup):
            pass  # of an experiment that was interrupted: `close` tries again, and tells
        finally:
            self.close()
            failed = self.failed_undos
            if not tell_controller(self._config, failed_undos=failed, troubles=self.troubles):
                self._results.write()
                self._results.failed_undos += failed
                self._results.troubles += self.troubles
            status = exit_status(session.exitstatus, failed, self.troubles, terminated=self._signals > 0)
            session.exitstatus = self._results.exit_status(status)

    @property
    def failed_undos(self) -> list[str]:
        return [str(failed) for failed in self._run.failed_undos] if self._run else []

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        self._results.summarize(terminalreporter)

    # -- its end
    def close(self) -> None:
        """Undo what an interrupted experiment left, then end mesh and load. Idempotent."""
        if self._closed:
            return
        self._closed = True
        for experiment in reversed(self._unfinished):
            self._try(experiment.finish)
        if self._run is not None:
            self._try(self._run.close)
        if self._told_before is not None:
            shield.tell_by(self._told_before)
        if self._before_us is not None:
            signal.signal(signal.SIGTERM, self._before_us)

    def _tell(self, line: str) -> None:
        """To whoever presses Ctrl-C, although pytest captures what a test and its teardown write."""
        capture = self._config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            print(line, file=sys.stderr, flush=True)  # noqa: T201

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except UndoFailed:
            pass  # the run has it on its own list
        except Exception as failure:  # told in the summary: there is no test to blame for it
            self.troubles.append(f"{type(failure).__name__}: {failure}")

    # -- in detail
    @property
    def _worker(self) -> str:
        return str(getattr(self._config, "workerinput", {}).get("workerid", ""))

    def _emit(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)

    def _catch_sigterm(self) -> None:
        """SIGTERM ends the session as Ctrl-C does: pytest by itself would run no finalizer."""
        if threading.current_thread() is threading.main_thread():
            self._before_us = signal.signal(signal.SIGTERM, self._terminate)

    def _terminate(self, number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals >= PATIENCE:
            os._exit(TERMINATED)
        if self._signals == 1:
            raise KeyboardInterrupt("SIGTERM")


def exit_status(
    status: int | pytest.ExitCode, failed_undos: Sequence[str], troubles: Sequence[str], *, terminated: bool
) -> int | pytest.ExitCode:
    """An undo that failed stands over everything, a signal over what the tests came to."""
    if failed_undos:
        return UNDO_FAILED
    if terminated:
        return TERMINATED
    return pytest.ExitCode.TESTS_FAILED if troubles and status == pytest.ExitCode.OK else status


def _counted(experiments: int) -> str:
    return f"{experiments} experiment{'' if experiments == 1 else 's'}"
