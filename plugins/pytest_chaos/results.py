"""What is said when all is over? The reports are written from the events of all processes, and the terminal gets a summary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chaos.report.html_report import HtmlReport
from chaos.report.json_report import JsonReport
from chaos.report.plan import plan
from chaos.report.story import Story
from chaos.report.stream import began, merged, write
from chaos.report.table import Line, needs_plain, reasons, table
from pytest_chaos import options

if TYPE_CHECKING:
    from _pytest._io import TerminalWriter


class Results:
    """Reports and summary of one run, in the process that has the terminal."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self._config = config
        self._folder = folder
        self._files: list[Path] = []
        self._story: Story | None = None
        self.failed_undos: list[str] = []
        self.troubles: list[str] = []
        self.refused = False
        """A run could not even be opened, as a plan has found out."""

    def write(self) -> None:
        """Write every report, if an experiment began at all."""
        if began(self._folder):
            self._files = write(self._folder, [JsonReport(), HtmlReport()])
            self._story = Story.of(merged(self._folder))
        elif self._folder.is_dir():
            self._folder.rmdir()

    def exit_status(self, status: int | pytest.ExitCode) -> int | pytest.ExitCode:
        """A plan of what would be refused ends as a run whose options are."""
        refused = self.refused or (self._story is not None and self._story.outcomes["refused"])
        return pytest.ExitCode.USAGE_ERROR if refused and status in (0, pytest.ExitCode.TESTS_FAILED) else status

    def summarize(self, terminal: pytest.TerminalReporter) -> None:
        """The outcomes pytest has no section for, the table, and what must not be overlooked."""
        for category, title in (("inconclusive", "INCONCLUSIVE"), ("no claim", "NO CLAIM"), ("refused", "REFUSED")):
            self._section(terminal, category, title)
        if self._story is not None:
            tell = self._plan if options.plan(self._config) else self._table
            tell(terminal, self._story)
        for trouble in self.troubles:
            terminal.write_line(f"istio-chaos: ending the run: {trouble}", yellow=True)
        if self.failed_undos:
            terminal.write_sep("!", "UNDO FAILED", red=True, bold=True)
            for failed in dict.fromkeys(self.failed_undos):  # an undo is tried again at every end there is
                terminal.write_line(failed, red=True)

    def _section(self, terminal: pytest.TerminalReporter, category: str, title: str) -> None:
        reports = terminal.getreports(category)
        if not reports or self._config.option.tbstyle == "no":
            return
        terminal.write_sep("=", title)
        for report in reports:
            where = f"{report.when} of " if report.when != "call" else ""
            terminal.write_sep("_", where + (report.head_line or report.nodeid), yellow=True, bold=True)
            if self._config.option.tbstyle == "line":
                terminal.write_line(report.longreprtext.splitlines()[-1])
            else:
                report.toterminal(self._config.get_terminal_writer())

    def _table(self, terminal: pytest.TerminalReporter, story: Story) -> None:
        writer = self._config.get_terminal_writer()
        plain = needs_plain(getattr(writer._file, "encoding", None))
        terminal.write_sep("=", "resilience")
        for line in [*table(story, width=writer.fullwidth, plain=plain), *reasons(story, width=writer.fullwidth, plain=plain)]:
            _write(writer, line)
        if "lint" in story.mesh:
            terminal.write_line(f"lint: {story.mesh['lint']}")
        self._name_files(terminal)

    def _plan(self, terminal: pytest.TerminalReporter, story: Story) -> None:
        writer = self._config.get_terminal_writer()
        terminal.write_sep("=", "plan")
        for line in plan(story, width=writer.fullwidth, plain=needs_plain(getattr(writer._file, "encoding", None))):
            _write(writer, line)
        self._name_files(terminal)

    def _name_files(self, terminal: pytest.TerminalReporter) -> None:
        for file in self._files:
            terminal.write_line(f"report: {options.shown(self._config, file)}")


def _write(writer: TerminalWriter, line: Line) -> None:
    for text, style in line:
        writer.write(text, **dict.fromkeys(style.split(), True))
    writer.line()
