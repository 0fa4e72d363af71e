"""How is a fixed rate kept, whatever the answers do? By sleeping to absolute times and never waiting for anybody.

One greenlet per arrival on one shared pool of connections. Latency counts from the scheduled start, so a late dispatcher
catches up without pause, and its lag is in every record (sent - scheduled). Each arrival is a stranger: it sends no
cookie, and those it gets die with it.
"""

from __future__ import annotations

import itertools
import math
import resource
from collections.abc import Callable
from typing import Final

import gevent
from gevent.pool import Group

from chaos.clock import now
from chaos.load.locust.schedule import Schedule
from chaos.load.port import LoadPlan, OpenModel
from locust_chaos.exchanges import Sender
from locust_chaos.recorder import Recorder
from locust_chaos.waking import Waker

LEAD: Final = 2_000_000
"""Nanoseconds between the command and arrival 0, so that it is not late before it began."""
RESERVED: Final = 200
"""Open files left for everything but the connections of the load."""
BREATH: Final = 16
"""Arrivals after which a late dispatcher lets those it spawned begin."""


class Arrivals:
    """An open model under way."""

    def __init__(self, plan: LoadPlan, recorder: Recorder, failed: Callable[[BaseException], None]) -> None:
        assert isinstance(plan.model, OpenModel)
        self._cap = in_flight_cap(plan.model.rate, plan.timeout)
        self._sender = Sender(plan, recorder, concurrency=self._cap)
        self._sender.check()
        self._recorder = recorder
        self._schedule = Schedule.of(plan.model)
        self._in_flight = Group()
        self._until = math.inf
        self._due = 0
        self.started = now() + LEAD
        self._dispatcher = gevent.spawn(self._dispatch)
        self._dispatcher.link_exception(lambda dispatcher: failed(dispatcher.exception))

    def stop(self) -> int:
        """No arrival is scheduled from now on; returns that moment when the last request has ended."""
        until = now()
        self._until = until
        if self._due >= until:
            self._dispatcher.kill()  # asleep until an arrival that will not be
        self._dispatcher.join()
        self._in_flight.join()
        return until

    def _dispatch(self) -> None:
        waker = Waker()
        try:
            self._send_in_time(waker)
        finally:
            waker.close()

    def _send_in_time(self, waker: Waker) -> None:
        for sequence in itertools.count():
            self._due = self.started + self._schedule.offset(sequence)
            waker.wait_until(self._due)
            if self._due >= self._until:
                return
            if len(self._in_flight) >= self._cap:
                self._recorder.unsent(sequence, self._due, name=self._sender.name)
            else:
                self._in_flight.spawn(self._arrive, sequence, self._due)
            if sequence % BREATH == 0:
                gevent.sleep(0)

    def _arrive(self, sequence: int, scheduled: int) -> None:
        self._sender.send(sequence, scheduled, now())


def in_flight_cap(rate: float, timeout: float) -> int:
    """Requests in flight at most: rate x timeout is what a server that never answers would hold.

    Four standard deviations of a Poisson number are added, so that chance alone never makes an arrival unsent; the limit
    that can is the one of open files.
    """
    mean = rate * timeout
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(math.ceil(mean + 4 * math.sqrt(mean)) + 1, soft - RESERVED))
