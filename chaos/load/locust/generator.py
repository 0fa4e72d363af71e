"""Who sends the load? `LocustGenerator`: real Locust, one long-lived child for requests and one per locustfile block.

The parent holds no state about single requests: it reads the files of a flow (`reading`) and, for the open model, counts by
the schedule (`schedule`). What happens inside the child is told in `plugins/locust_chaos`.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from chaos.clock import Deadline
from chaos.errors import InvalidValue, LoadFailure
from chaos.load.locust import wire
from chaos.load.locust.child import START_UP, Child
from chaos.load.locust.files import Files
from chaos.load.locust.reading import Recorded
from chaos.load.locust.schedule import Schedule
from chaos.load.port import ClosedModel, Flow, Generator, LoadPlan, OpenModel, Requests, Script
from chaos.model.samples import Samples

DRAINING: Final = 10.0
"""Seconds beyond the timeout of a request within which a stopped flow must be drained."""


class LocustGenerator(Generator):
    """Locust behind the port.

    `folder` gets the log and the samples, `spawned` is told the process group id right after each spawn (for the journal of
    the watchdog), `env` is what the child inherits (default: ours), without proxies and LOCUST_* settings.
    The child is spawned at once and imports Locust while the caller goes on; the first `start` waits for it.
    """

    def __init__(self, folder: Path, *, spawned: Callable[[int], None] | None = None, env: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._spawned = spawned
        self._env = dict(os.environ if env is None else env)
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._children: list[Child] = []
        self._shared = self._spawn()

    def start(self, plan: LoadPlan) -> Flow:
        """Begin to send. Raises LoadFailure, or InvalidValue for a plan or a locustfile that cannot be run."""
        refuse(plan)
        scripted = isinstance(plan.what, Script)
        child = self._spawn() if scripted else self._living()
        running = Running(child=child, number=next(self._numbers), ends_child=scripted)
        try:
            return running.start(plan)
        except BaseException:
            running.abandon()
            raise

    def close(self) -> None:
        """End every child and what it started. Idempotent."""
        with self._lock:
            while self._children:
                self._children.pop().close()

    def _living(self) -> Child:
        """The long-lived child; a new one if it died, so that one crash does not cost the rest of the run."""
        with self._lock:
            if not self._shared.alive:
                self._shared = self._spawn()
            return self._shared

    def _spawn(self) -> Child:
        with self._lock:
            child = Child(self._folder, spawned=self._spawned, env=self._env)
            self._children.append(child)
            return child


def refuse(plan: LoadPlan) -> None:
    """Raises InvalidValue for a plan that cannot be sent, before anything is."""
    if not (math.isfinite(plan.timeout) and plan.timeout > 0):
        raise InvalidValue(f"a load's timeout is a number of seconds above 0, not {plan.timeout}")
    match plan.model:
        case OpenModel(rate=rate) if not (math.isfinite(rate) and rate > 0):
            raise InvalidValue(f"a load's rate is a number of requests per second above 0, not {rate}")
        case ClosedModel(users=users) if users < 1:
            raise InvalidValue(f"a load needs at least one user, not {users}")
    match plan.what:
        case Script(file=file) if isinstance(plan.model, OpenModel):
            raise InvalidValue(
                f"{file.name} says itself when its users send, so a rate cannot be kept for it; "
                'give users=... instead of rate=..., or a path (load("/...", rate=...)) instead of the locustfile'
            )
        case Script(file=file) if not file.is_file():
            raise InvalidValue(f"there is no locustfile {file}; its path is relative to the test that names it")
        case Requests(url=url):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise InvalidValue(f'a load goes to "http://host:port/path" or "https://...", not to "{url}"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """One numbered flow inside a child."""

    child: Child
    number: int
    ends_child: bool
    """The child was started for this flow alone (a locustfile) and ends with it."""

    def start(self, plan: LoadPlan) -> LocustFlow:
        self.child.wait_ready()
        files = Files.of(self.child.folder, self.number)
        self.child.tell(wire.start(self.number, plan, files))
        answer = self.child.answer(self.number, wire.STARTED, wire.REFUSED, wire.FAILED, deadline=Deadline.after(START_UP))
        match answer["did"]:
            case wire.REFUSED:
                raise InvalidValue(answer["why"])
            case wire.FAILED:
                raise LoadFailure(f"the load did not start: {answer['why']}{self.child.last_lines()}")
        if isinstance(plan.model, OpenModel):
            return OpenFlow(plan, answer["at"], self, Recorded(files), Schedule.of(plan.model))
        return ClosedFlow(plan, answer["at"], self, Recorded(files))

    def abandon(self) -> None:
        """Whatever became of the start (the user may have interrupted it), nothing is sent on."""
        if self.ends_child:
            self.child.close()
        else:
            with suppress(LoadFailure):
                self.child.tell(wire.stop(self.number))

    def stop(self, timeout: float) -> int:
        """Returns when the last request has ended: the moment after which none was scheduled."""
        if self.child.said(self.number, wire.STOPPED) is None:
            self.child.tell(wire.stop(self.number))
        at: int = self.child.answer(self.number, wire.STOPPED, deadline=Deadline.after(timeout + DRAINING))["at"]
        return at


class LocustFlow(Flow):
    """What both models have in common. Counting differs: see the two classes below."""

    def __init__(self, plan: LoadPlan, started: int, running: Running, recorded: Recorded) -> None:
        self.plan = plan
        self.started = started
        self._running = running
        self._recorded = recorded
        self._stopped_at: int | None = None
        self._lost = False
        self._stopping = threading.Lock()

    def samples(self) -> Samples:
        return self._recorded.samples()

    def scheduled(self, start: int, end: int) -> int:
        return max(0, self._scheduled_before(end)[0] - self._scheduled_before(start)[0])

    def resolved(self, until: int) -> bool:
        # Counted first: whatever ends in between only makes the answer more cautious.
        count, final = self._scheduled_before(until)
        return final and self._recorded.ended_before(until) >= count

    def check(self) -> None:
        """Raises LoadFailure when the child died or said that this flow failed; never for a flow that was stopped well."""
        if self._stopped_at is None:
            self._running.child.check(self._running.number)

    def stop(self) -> None:
        with self._stopping:
            if self._stopped_at is not None or self._lost:
                return
            try:
                self._stopped_at = self._running.stop(self.plan.timeout)
            except LoadFailure:
                # A dead child sends nothing, which is what a stop is for; `check` is where its death is told.
                self._lost = not self._running.child.alive
                if not self._lost:
                    raise
            finally:
                if self._running.ends_child:
                    self._running.child.close()

    @abstractmethod
    def _scheduled_before(self, moment: int) -> tuple[int, bool]:
        """How many requests are scheduled before `moment`, and whether that number is final."""


class OpenFlow(LocustFlow):
    """Arrivals are counted by the plan's own schedule, whatever became of them."""

    def __init__(self, plan: LoadPlan, started: int, running: Running, recorded: Recorded, schedule: Schedule) -> None:
        super().__init__(plan, started, running, recorded)
        self._schedule = schedule
        self._counting = threading.Lock()  # a schedule remembers as it counts

    def planned(self, start: int, end: int) -> list[tuple[int, int]]:
        numbers = range(self._scheduled_before(start)[0], self._scheduled_before(end)[0])
        with self._counting:
            return [(number, self.started + self._schedule.offset(number)) for number in numbers]

    def _scheduled_before(self, moment: int) -> tuple[int, bool]:
        if self._stopped_at is not None:
            moment = min(moment, self._stopped_at)
        with self._counting:
            return self._schedule.before(moment - self.started), True


class ClosedFlow(LocustFlow):
    """Nothing is planned: a request counts from when a user began it, ended or not."""

    def planned(self, start: int, end: int) -> list[tuple[int, int]]:
        return []

    def _scheduled_before(self, moment: int) -> tuple[int, bool]:
        return self._recorded.started_before(moment)
