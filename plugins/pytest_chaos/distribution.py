"""With xdist: what does the process do that hands out the tests? It names the run, sweeps, and writes the reports in the end.

The workers run the experiments, each on a mesh of its own, and append to event files of their own. This process learns that there
were experiments when it finds their events.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_chaos import options

if TYPE_CHECKING:
    from pytest_chaos.results import Results


class Controller:
    """The hooks of xdist's controller. It imports nothing of the library unless there is something to sweep or to tell."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        # Not by the library's own: a session without experiments must not pay for it.
        self._run = os.urandom(6).hex()
        self._folder = options.report(config) / self._run
        self._failed_undos: list[str] = []
        self._troubles: list[str] = []
        self._results: Results | None = None

    def pytest_sessionstart(self) -> None:
        """Before the workers start."""
        self._sweep()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["chaos"] = {"run": self._run, "folder": str(self._folder)}

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        told = getattr(node, "workeroutput", {}).get("chaos", {})
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

        self._sweep()  # a worker that was killed
        self._results = Results(self._config, self._folder)
        self._results.failed_undos += self._failed_undos
        self._results.troubles += self._troubles
        self._results.write()
        session.exitstatus = exit_status(session.exitstatus, self._failed_undos, self._troubles, terminated=False)

    def _sweep(self) -> None:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "istio-chaos"
        if not any(state.glob("*.journal")):
            return
        from chaos.run.run import sweep

        for line in sweep():
            if reporter := self._config.pluginmanager.getplugin("terminalreporter"):
                reporter.write_line(f"istio-chaos: swept {line}")
