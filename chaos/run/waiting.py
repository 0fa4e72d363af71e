"""How does an experiment wait so that bad news reaches it? An event that watches set, checked by everything that waits."""

from __future__ import annotations

import threading

from chaos import clock
from chaos.errors import Aborted


class Alarm:
    """Set once with a reason; whoever waits on it wakes up and raises `Aborted`."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._reason = ""

    def ring(self, reason: str) -> None:
        if not self._event.is_set():
            self._reason = reason
            self._event.set()

    def clear(self) -> None:
        """The experiment has been told."""
        self._event.clear()

    def check(self) -> None:
        if self._event.is_set():
            reason = self._reason
            self.clear()
            raise Aborted(reason)

    def wait_until(self, moment: int) -> None:
        """Wait until a monotonic moment (ns). Raises Aborted when the alarm rings."""
        clock.wait_until(moment, unless=self._event)
        self.check()

    def pause(self, seconds: float) -> None:
        clock.pause(seconds, unless=self._event)
        self.check()
