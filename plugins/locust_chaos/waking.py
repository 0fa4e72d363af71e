"""How does a greenlet wake at a moment, not up to a millisecond after it? By a timer of the kernel that the event loop watches.

gevent's loop waits in whole milliseconds, rounded up, so that `gevent.sleep` wakes half a millisecond late on average; that would
stand in every latency and in every start lag. A timerfd becomes readable at its moment, to the microsecond. Where there is none
(not Linux), `gevent.sleep` has to do.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from contextlib import suppress
from typing import Final

import gevent
from gevent.hub import get_hub

from chaos.clock import NS, now

_ABSOLUTE: Final = 1
"""TFD_TIMER_ABSTIME of linux/timerfd.h."""


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    """struct itimerspec: no interval, so it fires once."""

    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Waker:
    """Wakes one greenlet again and again. `close` when done."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self._timer = -1
        if self._libc is not None:
            self._timer = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        self._readable = get_hub().loop.io(self._timer, 1) if self._timer >= 0 else None

    def wait_until(self, at: int) -> None:
        """Return at the monotonic moment `at` (ns), or at once if it has passed."""
        while (left := at - now()) > 0:
            if self._readable is None or not self._set(at):
                gevent.sleep(left / NS)
            else:
                get_hub().wait(self._readable)
                with suppress(BlockingIOError):
                    os.read(self._timer, 8)

    def close(self) -> None:
        if self._readable is not None:
            self._readable.stop()
            self._readable.close()
            os.close(self._timer)
            self._readable = None

    def _set(self, at: int) -> bool:
        assert self._libc is not None
        setting = _Setting(_Timespec(0, 0), _Timespec(at // NS, at % NS))
        return bool(self._libc.timerfd_settime(self._timer, _ABSOLUTE, ctypes.byref(setting), None) == 0)
