"""With xdist: what does the process do that hands out the tests? It names the run, sweeps, and writes the reports in the end.

The workers run the experiments, each on a mesh of its own, and append to event files of their own. This process learns that there
were experiments when it finds their events; what else a worker has to say comes when the worker ends.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

from pytest_chaos import options

if TYPE_CHECKING:
    from pytest_chaos.results import Results


@contextmanager
def refusals_told(config: pytest.Config) -> Iterator[None]:
    """A UsageError of a worker ends its process; the controller raises it again, before the first test."""
    try:
        yield
    except pytest.UsageError as refusal:
        tell_controller(config, refused=str(refusal))
        raise


def tell_controller(config: pytest.Config, **told: object) -> bool:
    """What the controller gets when this worker ends. False where there is no controller."""
    output: dict[str, object] | None = getattr(config, "workeroutput", None)
    if output is None:
        return False
    output["chaos"] = told
    return True


class Controller:
    """The hooks of xdist's controller, made before the workers start.

    It imports nothing of the library unless there is something to sweep or to tell.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        # Not by the library's own: a session without experiments must not pay for it.
        self._run = os.urandom(6).hex()
        self._folder = options.report(config) / self._run
        self._failed_undos: list[str] = []
        self._troubles: list[str] = []
        self._results: Results | None = None
        self._terminated = False
        self._before_us: signal.Handlers | Callable[[int, FrameType | None], object] | int | None = None
        if not options.plan(config):
            self._sweep()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["chaos"] = {"run": self._run, "folder": str(self._folder)}

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        """A worker that selected experiments has made the run's folder: from now on SIGTERM ends the session as Ctrl-C does."""
        if self._before_us is None and self._folder.is_dir():
            self._before_us = signal.signal(signal.SIGTERM, self._terminate)
            what = "PLAN of experiments" if options.plan(self._config) else "experiments"
            self._say(f"istio-chaos: {what} on the {options.mesh(self._config)} mesh, one for each worker, run {self._run}")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        told = getattr(node, "workeroutput", {}).get("chaos", {})
        if refused := told.get("refused"):
            raise pytest.UsageError(refused)
        self._failed_undos += told.get("failed_undos", [])
        self._troubles += told.get("troubles", [])

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """After the last worker has ended."""
        try:
            yield
        finally:
            if self._folder.is_dir():
                self._finish(session)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._results is not None:
            self._results.summarize(terminalreporter)

    def _finish(self, session: pytest.Session) -> None:
        from pytest_chaos.results import Results
        from pytest_chaos.session import exit_status

        if not options.plan(self._config):
            self._sweep()  # a worker that was killed
        self._results = Results(self._config, self._folder)
        self._results.failed_undos += self._failed_undos
        self._results.troubles += self._troubles
        self._results.write()
        status = exit_status(session.exitstatus, self._failed_undos, self._troubles, terminated=self._terminated)
        session.exitstatus = self._results.exit_status(status)
        if self._before_us is not None:
            signal.signal(signal.SIGTERM, self._before_us)

    def _terminate(self, number: int, _frame: FrameType | None) -> None:
        if not self._terminated:
            self._terminated = True
            raise KeyboardInterrupt("SIGTERM")

    def _sweep(self) -> None:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "istio-chaos"
        if not any(state.glob("*.journal")):
            return
        from chaos.run.run import sweep
        from pytest_chaos.session import PATIENT

        swept = sweep(patience=PATIENT)
        for line in swept.done:
            self._say(f"istio-chaos: swept {line}")
        for line in swept.failed:
            self._say(f"istio-chaos: NOT UNDONE: {line}")

    def _say(self, line: str) -> None:
        if reporter := self._config.pluginmanager.getplugin("terminalreporter"):
            reporter.ensure_newline()
            reporter.write_line(line)
