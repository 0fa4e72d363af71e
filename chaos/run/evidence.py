"""How do log lines get from the proxies into the run? Read on, barrier, and wait until nothing of a window is under way."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress

from chaos import clock
from chaos.errors import Unreachable
from chaos.mesh.port import Mesh
from chaos.model.inventory import Pod
from chaos.model.marks import Mark
from chaos.observe.lines import Log, Stream


class LogReader:
    """All logs of one mesh, each read once."""

    def __init__(self, mesh: Mesh, run: str) -> None:
        self.log = Log(run, clock.Pairing.taken())
        self._mesh = mesh
        self._offsets: dict[str, int] = {}
        self._known: dict[str, Pod] = {}
        """Every pod that was read from, also those that are gone."""
        self._lock = threading.Lock()

    def catch_up(self) -> None:
        """Everything that streams which ended so far have written."""
        pods = self._mesh.writers()
        self._mesh.flush_logs(pods)
        with self._lock:
            # Lines carry wall-clock times: a pairing of now, so that a step of the wall clock bends no later window.
            self.log.clock = clock.Pairing.taken()
            for pod in pods:
                self._read(pod)
            here = {pod.id for pod in pods}
            for pod in [pod for pod in self._known.values() if pod.id not in here]:
                with suppress(Unreachable):  # not every mesh keeps what a pod wrote before it went
                    self._read(pod)
            self._known |= {pod.id: pod for pod in pods}

    def settle(self, traces: Iterable[str], deadline: clock.Deadline) -> list[Stream]:
        """Read until no stream of these traces is under way; what still is at the deadline."""
        wanted = set(traces)

        def done() -> bool:
            self.catch_up()
            return next(self.log.under_way(wanted), None) is None

        clock.poll(done, deadline=deadline, first=0.01, most=0.1)
        return list(self.log.under_way(wanted))

    def forget(self, mark: Mark) -> None:
        """Streams of an experiment that has ended."""
        with self._lock:
            self.log.forget(mark.digits)

    def _read(self, pod: Pod) -> None:
        data, self._offsets[pod.id] = self._mesh.read_log(pod, self._offsets.get(pod.id, 0))
        self.log.feed(pod.id, data)
