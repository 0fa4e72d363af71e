"""Which load needs no client? `FakeGenerator`: requests of a fake mesh's `system`, recorded as the real generator does."""

from __future__ import annotations

import itertools
from collections.abc import Generator as Steps
from typing import Final
from urllib.parse import urlsplit

from chaos import clock
from chaos.errors import InvalidValue, LoadFailure
from chaos.load.locust.generator import refuse
from chaos.load.locust.schedule import Schedule
from chaos.load.port import ClosedModel, Flow, Generator, LoadPlan, OpenModel, Requests
from chaos.model.samples import TIMED_OUT, Response, Samples, Tables
from chaos.testing.mesh import FakeMesh
from chaos.testing.system import NEVER, Question

_TEXTS: Final = ("", TIMED_OUT)


class FakeGenerator(Generator):
    """Sends through the load workload's proxy of a fake mesh, in its time."""

    def __init__(self, mesh: FakeMesh) -> None:
        self._mesh = mesh
        self._flows: list[FakeFlow] = []
        self._closed = False

    def start(self, plan: LoadPlan) -> Flow:
        refuse(plan)
        if self._closed:
            raise LoadFailure("the fake load generator was closed")
        if not isinstance(plan.what, Requests):
            raise InvalidValue(f"{plan.what.file.name}: a fake mesh runs no locustfile; give load(...) a path, or take a real mesh")
        flow = FakeFlow(plan, plan.what, self._mesh)
        self._flows.append(flow)
        return flow

    def close(self) -> None:
        self._closed = True
        for flow in self._flows:
            flow.end()


class FakeFlow(Flow):
    """One stretch of load."""

    def __init__(self, plan: LoadPlan, what: Requests, mesh: FakeMesh) -> None:
        self.plan = plan
        self.started = clock.now()
        self._what = what
        self._mesh = mesh
        self._numbers = itertools.count()
        self._rows: list[dict[str, int]] = []
        self._begun: list[int] = []
        """Scheduled starts, in order."""
        self._responses: dict[str, int] = {}
        self._until = NEVER
        """No arrivals from then on."""
        self._ended = False
        self._schedule = Schedule.of(plan.model) if isinstance(plan.model, OpenModel) else None
        system = mesh.system
        if self._schedule is not None:
            system.begin(self.started, self._arrivals(self._schedule))
        else:
            assert isinstance(plan.model, ClosedModel)
            for _ in range(plan.model.users):
                system.begin(self.started, self._user())

    def samples(self) -> Samples:
        with self._mesh.system.lock:
            if not self._ended:
                self._mesh.system.advance()
            responses = (None, *(Response({}, body.encode()) for body in self._responses))
            return Samples.of(self._rows, Tables((*_TEXTS, self._what_called), responses))

    def scheduled(self, start: int, end: int) -> int:
        end = min(end, self._until)
        if self._schedule is not None:
            return max(0, self._schedule.before(end - self.started) - self._schedule.before(min(start, end) - self.started))
        with self._mesh.system.lock:
            self._mesh.system.advance()
            return sum(start <= at < end for at in self._begun)

    def planned(self, start: int, end: int) -> list[tuple[int, int]]:
        if self._schedule is None:
            return []
        first, last = (self._schedule.before(min(moment, self._until) - self.started) for moment in (start, end))
        return [(number, self.started + self._schedule.offset(number)) for number in range(first, last)]

    def resolved(self, until: int) -> bool:
        with self._mesh.system.lock:
            now = clock.now() if self._ended else self._mesh.system.advance()
            if until > now and self._until == NEVER:
                return False
            return sum(row["scheduled"] < until for row in self._rows) >= self.scheduled(self.started, until)

    def check(self) -> None:
        if self._ended:
            raise LoadFailure("the fake load generator was closed")

    def stop(self) -> None:
        """The last requests end in their own time, which is let pass."""
        with self._mesh.system.lock:
            if self._until == NEVER:
                self._until = self._mesh.system.advance()
                # What begins at this very moment has begun.
                self._until += 1
        if not self._ended:
            clock.poll(lambda: self.resolved(NEVER), deadline=clock.Deadline.after(self.plan.timeout))

    def end(self) -> None:
        """At once, whatever is in flight."""
        self._mesh.system.advance()
        self._until, self._ended = min(self._until, clock.now()), True

    # -- in steps of time
    def _arrivals(self, schedule: Schedule) -> Steps[int, None, None]:
        for number in itertools.count():
            due = self.started + schedule.offset(number)
            yield due
            if due >= self._until:
                return
            self._mesh.system.begin(due, self._request(due))

    def _user(self) -> Steps[int, None, None]:
        while self._mesh.system.now < self._until:
            yield from self._request(self._mesh.system.now)

    def _request(self, scheduled: int) -> Steps[int, None, None]:
        number = next(self._numbers)
        self._begun.append(scheduled)
        caller, service, port = self._target()
        asked = Question(
            trace=self.plan.mark.trace_id(number),
            headers={**self.plan.mark.headers(number), **{k.lower(): v for k, v in self._what.headers.items()}},
            method=self._what.method,
            path=urlsplit(self._what.url).path or "/",
        )
        system = self._mesh.system
        cut = scheduled + int(self.plan.timeout * clock.NS)
        answer = yield from system.call(system.proxies[caller], service, port, asked, cut)
        if self._ended:
            return
        self._rows.append(
            {
                "sequence": number,
                "scheduled": scheduled,
                "sent": scheduled,
                "ended": system.now,
                "status": answer.status,
                "error": _TEXTS.index(TIMED_OUT) if answer.lost else 0,
                "name": len(_TEXTS),
                "response": 0 if answer.lost else self._responses.setdefault(answer.body, len(self._responses) + 1),
                "size": len(answer.body),
            }
        )

    def _target(self) -> tuple[str, str, int]:
        url = urlsplit(self._what.url)
        return self._mesh.entry[0].id, url.hostname or "", url.port or 80

    @property
    def _what_called(self) -> str:
        return urlsplit(self._what.url).path or "/"
