"""Which hosts are out, and since when? A thread that asks the callers' proxies, from an experiment's first injection to its end.

Ejections leave a counter that only rises, and a flag on the host that goes again. A claim on opening or closing needs to know
when; how far apart two looks lie is part of the evidence.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from chaos import clock
from chaos.errors import ChaosError
from chaos.mesh.port import Mesh
from chaos.model.breakers import Breaker, Look, Where
from chaos.model.inventory import Pod

EVERY = 0.2
"""Seconds between two looks."""


class Circuits:
    """Looks at the breakers of one experiment's private paths."""

    def __init__(self, mesh: Mesh, breakers: Callable[[], Sequence[Breaker]]) -> None:
        self._mesh = mesh
        self._breakers = breakers
        self._looks: dict[Where, list[Look]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """From now on. Idempotent; nothing where no breaker could take out a host."""
        if self._thread is None and any(breaker.ejects for breaker in self._breakers()):
            self.look()
            self._thread = threading.Thread(target=self._run, name="istio-chaos-circuits", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def looks(self) -> Mapping[Where, Sequence[Look]]:
        with self._lock:
            return {where: tuple(looks) for where, looks in self._looks.items()}

    def look(self) -> None:
        """Once, at every proxy."""
        pods = {pod.id: pod for pod in self._mesh.pods()}
        for breaker in self._breakers():
            for proxy in breaker.proxies if breaker.ejects else ():
                if proxy in pods:
                    with suppress(ChaosError):  # a gap between looks: the claim sees it
                        self._take(pods[proxy], breaker.cluster)

    def _take(self, pod: Pod, cluster: str) -> None:
        hosts = self._mesh.hosts(pod, cluster)
        at = clock.now()
        if hosts:
            with self._lock:
                look = Look(at, frozenset(host.address for host in hosts if host.ejected))
                self._looks.setdefault((pod.id, cluster), []).append(look)

    def _run(self) -> None:
        while not clock.pause(EVERY, unless=self._stop):
            with suppress(Exception):  # nothing here may end the looks that follow
                self.look()
