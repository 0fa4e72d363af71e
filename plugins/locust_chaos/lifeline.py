"""What if the test process dies? Then this process ends, at once and whatever it is doing.

A thread of the operating system watches, not a greenlet: a locustfile that computes, or blocks in a library that gevent
did not patch, stops every greenlet.
"""

from __future__ import annotations

import os
import select
from typing import Final

from gevent.monkey import get_original

CHECK_MS: Final = 1000
"""Milliseconds between looks at the parent, for the case that somebody else keeps its end of the socket open."""


def attach(control: int, parent: int) -> None:
    """End this process when the other end of socket `control` is closed, or when `parent` is no longer its parent."""
    get_original("_thread", "start_new_thread")(_watch, (control, parent))


def _watch(control: int, parent: int) -> None:
    poll = get_original("select", "poll")()
    poll.register(control, select.POLLHUP | getattr(select, "POLLRDHUP", 0))
    while os.getppid() == parent:
        if poll.poll(CHECK_MS):
            break
    os._exit(0)
