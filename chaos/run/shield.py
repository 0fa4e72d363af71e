"""What if somebody presses Ctrl-C while we undo? Signals wait until the undo is done, and their sender is told what for.

The first says what is awaited, the third gives up and leaves the rest to the watchdog.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

PATIENCE = 3


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201


_tell: Callable[[str], None] = _to_stderr


def tell_by(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Where the sender of a signal reads it, from now on: a front end may capture stderr. Returns what it was before."""
    global _tell
    before, _tell = _tell, tell
    return before


@contextmanager
def shielded(what: str) -> Iterator[None]:
    """SIGINT and SIGTERM are deferred while the block runs, and delivered after it. Only the main thread gets signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:
            _tell(f"\nistio-chaos: {what}; please wait (twice more leaves it to the watchdog)")
        if len(received) >= PATIENCE:
            os._exit(128 + number)

    before: dict[signal.Signals, object] = {}
    try:
        for deferred in (signal.SIGINT, signal.SIGTERM):
            before[deferred] = signal.signal(deferred, note)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        if received:
            signal.raise_signal(received[0])
