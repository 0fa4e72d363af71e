"""How does a long window go? One line that is written over as it goes, on a terminal that can show it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Final

import pytest

from chaos.model.events import Event, WindowProgress

if TYPE_CHECKING:
    from _pytest._io import TerminalWriter

ROOM: Final = 30
"""Fewer columns than this are not worth writing into."""


class Progress:
    """A listener that shows the window under way behind what pytest has written on its line, and takes it away again."""

    def __init__(self, writer: TerminalWriter, uncaptured: Callable[[], AbstractContextManager[None]]) -> None:
        self._writer = writer
        self._uncaptured = uncaptured
        self._shown = 0
        self._lock = threading.Lock()

    @classmethod
    def on(cls, config: pytest.Config) -> Progress | None:
        """None where nobody watches, or where the tests write to the terminal themselves (`-s`)."""
        reporter = config.pluginmanager.getplugin("terminalreporter")
        if reporter is None or not reporter.isatty or config.option.capture == "no" or config.option.verbose < 0:
            return None
        capture = config.pluginmanager.getplugin("capturemanager")
        return cls(config.get_terminal_writer(), capture.global_and_fixture_disabled if capture else nullcontext)

    def __call__(self, event: Event) -> None:
        with self._lock:  # watches, and windows in threads, tell events as well
            if self._shown or isinstance(event, WindowProgress):
                # Also to look how wide the terminal is: a captured one cannot be asked.
                with self._uncaptured():
                    self._clear()
                    if isinstance(event, WindowProgress):
                        self._show(text(event))

    def _show(self, line: str) -> None:
        room = self._writer.fullwidth - self._writer.width_of_current_line - 2
        if room >= ROOM:
            line = line[:room]
            self._shown = len(line) + 1
            self._out(f" {line}")

    def _clear(self) -> None:
        if self._shown:
            self._out("\b" * self._shown + "\x1b[K")
            self._shown = 0

    def _out(self, characters: str) -> None:
        # Past the writer, which counts columns to know where its own line ends.
        self._writer._file.write(characters)
        self._writer.flush()


def text(event: WindowProgress) -> str:
    """`4/10 s, 400 requests, 3 errors: window 2 of /productpage`: what a narrow terminal cuts off is the name."""
    of = f"/{event.length:.0f}" if event.length else ""
    errors = f", {event.errors} error{'s' if event.errors != 1 else ''}" if event.errors else ""
    return f"{event.elapsed:.0f}{of} s, {event.requests} requests{errors}: {event.window}"
