"""How does an experiment of a minute take a moment? Time that passes when it is waited for, and not otherwise."""

from __future__ import annotations

import threading
from typing import Final

from chaos.clock import NS, RealTime

_LOOK_EVERY: Final = 0.002
"""Real seconds between two looks of a thread that follows the time others make."""


class PassingTime:
    """Whoever waits makes the time pass at once. Daemon threads (watches) do not: they wait until others have made it.

    Put it in place with `chaos.clock.use`.
    """

    def __init__(self) -> None:
        self._real = RealTime()
        self._now = self._real.now()
        self._wall_ahead = self._real.wall() - self._now
        self._lock = threading.Lock()

    def now(self) -> int:
        return self._now

    def wall(self) -> int:
        return self._now + self._wall_ahead

    def pause(self, seconds: float, unless: threading.Event | None) -> bool:
        until = self._now + int(seconds * NS)
        if threading.current_thread().daemon:
            return self._follow(until, unless)
        if unless is not None and unless.is_set():
            return True
        with self._lock:
            self._now = max(self._now, until)
        return unless is not None and unless.is_set()

    def _follow(self, until: int, unless: threading.Event | None) -> bool:
        while self._now < until:
            if self._real.pause(_LOOK_EVERY, unless):
                return True
        return unless is not None and unless.is_set()
