"""What does the test process want? Its commands, one JSON object per line (`chaos.load.locust.wire`), and our answers."""

from __future__ import annotations

import gc
import json
import logging
import resource
import socket
import traceback
from collections.abc import Callable
from typing import Final, Protocol

import gevent
import locust

from chaos.clock import now
from chaos.errors import InvalidValue
from chaos.load.locust import wire
from chaos.load.port import LoadPlan, OpenModel, Script
from locust_chaos import connections, lifeline, scripts
from locust_chaos.arrivals import Arrivals
from locust_chaos.recorder import Recorder
from locust_chaos.users import Users, visitor

_log: Final = logging.getLogger(__name__)


class Load(Protocol):
    """A flow under way, of either model."""

    started: int

    def stop(self) -> int:
        """Blocks until the last request has ended; returns the moment after which none was scheduled."""


def main(*, control: int, parent: int) -> None:
    """Obey until the test process goes away."""
    lifeline.attach(control, parent)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    _raise_open_files()
    connections.install()
    # Everything imported stays for good: collections need not look at it again, which shortens their pauses.
    gc.collect()
    gc.freeze()
    Control(socket.socket(fileno=control)).obey()


def _raise_open_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Control:
    """Obeys commands as they come; several flows may be under way at once."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._starting: dict[int, gevent.Greenlet] = {}
        self._flows: dict[int, tuple[Load, Recorder]] = {}

    def obey(self) -> None:
        self._tell({"did": wire.READY})
        for line in self._control.makefile("r"):
            command = json.loads(line)
            # A greenlet each: a flow that drains must not keep another one from starting.
            if command["do"] == "start":
                self._starting[command["flow"]] = gevent.spawn(self._start, command)
            else:
                gevent.spawn(self._stop, command["flow"])

    def _start(self, command: wire.Message) -> None:
        flow, plan = command["flow"], wire.plan_of(command)
        failed = self._failing(flow)
        try:
            recorder = Recorder(wire.files_of(command), closed_model=not isinstance(plan.model, OpenModel), failed=failed)
            load = begin(plan, recorder, failed)
        except InvalidValue as refusal:
            self._tell({"did": wire.REFUSED, "flow": flow, "why": str(refusal)})
        except Exception as error:
            failed(error)
        else:
            self._flows[flow] = load, recorder
            self._tell({"did": wire.STARTED, "flow": flow, "at": load.started})

    def _stop(self, flow: int) -> None:
        # The test process may give up while a flow is still starting; one that never started is stopped, too.
        self._starting.pop(flow).join()
        at = now()
        if flow in self._flows:
            load, recorder = self._flows.pop(flow)
            at = load.stop()
            try:
                recorder.close()
            except OSError as error:
                self._fail(flow, error)
        self._tell({"did": wire.STOPPED, "flow": flow, "at": at})

    def _failing(self, flow: int) -> Callable[[BaseException], None]:
        # A greenlet, since whoever calls may be the hub, which must not log or send.
        return lambda error: gevent.spawn(self._fail, flow, error)

    def _fail(self, flow: int, error: BaseException) -> None:
        self._tell({"did": wire.FAILED, "flow": flow, "why": f"{type(error).__name__}: {error}"})
        _log.error("flow %s failed: %s", flow, "".join(traceback.format_exception(error)))

    def _tell(self, message: wire.Message) -> None:
        self._control.sendall(json.dumps(message).encode() + b"\n")


def begin(plan: LoadPlan, recorder: Recorder, failed: Callable[[BaseException], None]) -> Load:
    """Start to send. Raises InvalidValue for what can never be sent, LoadFailure for what did not begin."""
    if isinstance(plan.model, OpenModel):
        return Arrivals(plan, recorder, failed)
    if not isinstance(plan.what, Script):
        return Users(plan, visitor(plan, recorder), recorder, failed)
    scripts.record_sessions(plan, recorder)
    user, options = scripts.load(plan.what)
    return Users(plan, user, recorder, failed, host=plan.what.host, events=locust.events, options=options)
