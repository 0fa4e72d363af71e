"""How do instances come up, and how do they go? All of a batch answer before the first is used; each is drained before it is ended.

Before: `planning` says who runs. `mesh` decides when; what a proxy is given while it runs is the business of `xds`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from chaos.clock import Deadline, poll
from chaos.envoy.configuration import Configuration
from chaos.errors import MeshFailure, Unreachable
from chaos.istio.world import Proxy
from chaos.mesh.local import bootstrap, planning, processes, readiness
from chaos.mesh.local.addresses import Endpoint, Held, check_free
from chaos.mesh.local.applications import RUN, command
from chaos.mesh.local.instances import Application, Instance
from chaos.mesh.local.planning import Plan
from chaos.mesh.local.processes import Child, Spawned
from chaos.mesh.local.sidecars import Sidecar

READY_WITHIN = 30.0
"""Seconds for all of a batch together."""
DRAINED_WITHIN = 5.0
"""Seconds that requests of an instance that goes have to end: Istio's default (`terminationDrainDuration`)."""


@dataclass(slots=True, kw_only=True, eq=False)
class Running:
    """One instance with its processes."""

    instance: Instance
    sidecar: Sidecar | None
    children: list[Child] = field(default_factory=list)

    def connected(self) -> bool:
        """Is anybody connected to its proxy? Without one nobody can tell."""
        if self.sidecar is None or self.sidecar.dead:
            return False
        try:
            return self.sidecar.connections() > 0
        except Unreachable:  # it has just gone, and its connections with it
            return False

    def moved(self, instance: Instance, proxy: Proxy, base: Configuration | None) -> None:
        """It is seen in another world now, and its proxy has what follows from that."""
        self.instance = instance
        if self.sidecar is not None and base is not None:
            self.sidecar.instance, self.sidecar.proxy, self.sidecar.base = instance, proxy, base

    def check(self) -> None:
        """Raises MeshFailure if a process of it is gone."""
        for child in self.children:
            if self.sidecar is not None and child is self.sidecar.child:
                self.sidecar.check()
            else:
                child.check()


class Launcher:
    """Starts the instances of one mesh, in a folder of their own each."""

    def __init__(self, envoy: Path, folder: Path, run: str, spawned: Spawned, held: Held) -> None:
        self._envoy = envoy
        self._folder = folder
        self._run = run
        self._spawned = spawned
        self._held = held

    def start(self, plan: Plan, wanted: Sequence[Running]) -> None:
        """All of them, or none: returns when all answer. Raises ManifestError before anything is started, MeshFailure later."""
        commands = list(planning.commands(plan, [running.instance for running in wanted], self._run))
        check_free(_endpoints(wanted))
        by_pod = {running.instance.pod.id: running for running in wanted}
        for pod in by_pod:
            (self._folder / pod).mkdir(parents=True, exist_ok=True)
        try:
            waiting: dict[str, Callable[[], bool]] = {}
            # Applications first: they take longer.
            for instance, application, env in commands:
                child = self._start_application(by_pod[instance.pod.id], application, env)
                waiting[child.what] = partial(readiness.ready, application, instance.pod, self._held.block)
            for running in wanted:
                if running.sidecar is not None:
                    child = self._start_envoy(running, running.sidecar)
                    waiting[child.what] = running.sidecar.admin.ready
            _await(wanted, waiting)
            for running in wanted:
                if running.sidecar is not None:
                    running.sidecar.confirm_first()
        except BaseException:
            end(wanted)
            raise

    def _start_application(self, running: Running, application: Application, env: Mapping[str, str]) -> Child:
        pod = running.instance.pod.id
        several = len(running.instance.applications) > 1
        child = processes.start(
            command(application),
            what=f"{pod} ({application.container})" if several else pod,
            cwd=application.workload.cwd,
            env=env,
            output=self._folder / pod / f"{application.container or 'application'}.log",
            inherit=[self._held.fileno()],
            spawned=self._spawned,
        )
        running.children.append(child)
        return child

    def _start_envoy(self, running: Running, sidecar: Sidecar) -> Child:
        child = processes.start(
            bootstrap.arguments(self._envoy, sidecar.write_first()),
            what=sidecar.admin.proxy,
            cwd=sidecar.folder,
            env={**os.environ, RUN: self._run},
            output=sidecar.access_log,
            errors=sidecar.envoy_log,
            inherit=[self._held.fileno()],
            spawned=self._spawned,
        )
        running.children.append(child)
        sidecar.child = child
        return child


def drain(leaving: Iterable[Running]) -> None:
    """End each when nobody is connected to it any more; after `DRAINED_WITHIN` whoever still is is cut off, as on a cluster.

    Nobody may send them new requests: the other proxies have forgotten them.
    """
    left = list(leaving)

    def over() -> bool:
        # Who has ended is connected to the others no more.
        idle = [running for running in left if not running.connected()]
        end(idle)
        left[:] = [running for running in left if running not in idle]
        return not left

    poll(over, deadline=Deadline.after(DRAINED_WITHIN), first=0.005, most=0.05)
    end(left)


def end(running: Iterable[Running]) -> None:
    """Idempotent."""
    listed = list(running)
    processes.end([child for each in listed for child in each.children])
    for each in listed:
        if each.sidecar is not None:
            each.sidecar.admin.close()


def _await(wanted: Sequence[Running], waiting: dict[str, Callable[[], bool]]) -> None:
    """Raises MeshFailure that names who is missing, or who died."""

    def everybody() -> bool:
        for running in wanted:
            running.check()
        for what in [what for what, ready in waiting.items() if ready()]:
            del waiting[what]
        return not waiting

    if not poll(everybody, deadline=Deadline.after(READY_WITHIN), first=0.005, most=0.02):
        missing = [child for running in wanted for child in running.children if child.what in waiting]
        raise MeshFailure(
            f"not ready within {READY_WITHIN:g} s: {', '.join(child.what for child in missing)}; "
            f"the last lines of {missing[0].what} ({missing[0].log}):\n{processes.last_lines(missing[0].log)}"
        )


def _endpoints(wanted: Iterable[Running]) -> Iterator[Endpoint]:
    for running in wanted:
        yield from (a.endpoint for a in running.instance.applications if a.endpoint is not None)
        if running.sidecar is not None:
            yield running.sidecar.admin.endpoint
            yield from running.sidecar.listening()
