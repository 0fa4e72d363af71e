"""How does a fixed number of users behave? Locust's way: its runner spawns them, each waits for its answer.

The user class is either `visitor`, which sends one kind of request back to back in a session of its own, or the one of a
locustfile (`scripts`).
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from http.cookiejar import CookieJar
from typing import Final

import gevent
from locust import User, task
from locust.env import Environment
from locust.event import Events
from locust.user.task import LOCUST_STATE_RUNNING

from chaos.clock import now
from chaos.errors import LoadFailure
from chaos.load.port import ClosedModel, LoadPlan
from locust_chaos.exchanges import Sender
from locust_chaos.recorder import Recorder

FIRST_REQUEST: Final = 20.0
"""Seconds within which one of the users must have begun a request."""


def visitor(plan: LoadPlan, recorder: Recorder) -> type[User]:
    """A user that asks, waits for the answer, and asks again; it keeps its cookies. Raises InvalidValue as `Sender.check`."""
    Sender(plan, recorder, concurrency=1).check()

    class Visitor(User):
        def __init__(self, environment: Environment) -> None:
            super().__init__(environment)
            self._sender = Sender(plan, recorder, concurrency=1, cookies=CookieJar())

        @task
        def ask(self) -> None:
            # One task for a whole life: at the end of a test Locust kills a user that is between two tasks, also when it
            # has just begun the next request, but waits for one that is inside of a task.
            while self._state == LOCUST_STATE_RUNNING:
                sequence, start = recorder.begin()
                self._sender.send(sequence, start, start)
                gevent.sleep(0)  # a user whose answers are there at once would keep all others from reading theirs

    return Visitor


class Users:
    """A closed model under way."""

    def __init__(
        self,
        plan: LoadPlan,
        user: type[User],
        recorder: Recorder,
        failed: Callable[[BaseException], None],
        *,
        host: str | None = None,
        events: Events | None = None,
        options: Namespace | None = None,
    ) -> None:
        assert isinstance(plan.model, ClosedModel)
        # Locust's own end of a test: a user finishes its task, for as long as one request may take, then it is killed.
        environment = Environment(user_classes=[user], host=host, events=events, parsed_options=options, stop_timeout=plan.timeout)
        self._user = user.__name__
        self._recorder = recorder
        self._failed = failed
        self._stopping = False
        self._runner = environment.create_local_runner()
        environment.events.init.fire(environment=environment, runner=self._runner, web_ui=None)  # type: ignore[no-untyped-call]
        self._runner.start(plan.model.users, spawn_rate=plan.model.users)
        self._lives = gevent.spawn(self._outlive)
        self.started = self._first_start()

    def stop(self) -> int:
        """Returns when every user has ended: the moment after which none began a request."""
        self._stopping = True
        self._runner.quit()
        return now()

    def _first_start(self) -> int:
        gevent.wait([self._recorder.begun, self._lives], timeout=FIRST_REQUEST, count=1)
        if self._recorder.first_start is None:
            self.stop()
            raise LoadFailure(f"no user of class {self._user} began a request within {FIRST_REQUEST:g} s")
        return self._recorder.first_start

    def _outlive(self) -> None:
        if self._runner.spawning_greenlet is not None:
            self._runner.spawning_greenlet.join()
        self._runner.user_greenlets.join()
        if not self._stopping:
            self._failed(LoadFailure(f"every user of class {self._user} has ended by itself"))
