"""A run on the mesh of `tests.calling`, for tests of what injections do there: the load workload calls, v1 and v2 answer."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from chaos import clock
from chaos.injection.names import PREFIX
from chaos.mesh.port import Pod, Resource
from chaos.model.fault import Fault
from chaos.model.standards import Standards
from chaos.model.topology import Allow
from chaos.model.window import Window
from chaos.run import meshes, traffic
from chaos.run.experiment import Experiment
from chaos.run.injecting import Injection
from chaos.run.run import Run, RunOptions, new_id
from chaos.run.traffic import Traffic
from chaos.run.view import Inject, Load
from tests.calling import Callee, shop


def edge(callee: str) -> str:
    return f"istio-chaos-load -> {callee}"


def url(callee: str, path: str = "/", **arguments: object) -> str:
    """With arguments: of a service that runs `tests.flawed`."""
    return f"http://{callee}{path}{f'?{urlencode(arguments)}' if arguments else ''}"


@contextmanager
def flowing(load: Load, *targets: str, rate: str, **options: Any) -> Iterator[list[Traffic]]:
    """Loads side by side."""
    with ExitStack() as flows:
        yield [flows.enter_context(load(target, rate=rate, **options)) for target in targets]


@contextmanager
def injected(inject: Inject, fault: Fault, *edges: str, **options: Any) -> Iterator[list[Injection]]:
    """The same fault on several edges."""
    with ExitStack() as injections:
        yield [injections.enter_context(inject(fault, edge, **options)) for edge in edges]


def windows(traffics: Sequence[Traffic], length: str) -> list[Window]:
    """One of each load, of the same time."""
    *others, last = traffics
    window = last.window(length)
    return [*(each.between(window.evidence.start, window.evidence.end) for each in others), window]


@dataclass(frozen=True, slots=True)
class Running:
    """A run and what it started."""

    run: Run
    groups: dict[str, int]
    """What it is -> process group."""

    @contextmanager
    def experiment(self) -> Iterator[tuple[Inject, Load, Experiment]]:
        experiment = self.run.experiment("a test")
        try:
            yield Inject(experiment), Load(experiment, self.run), experiment
        finally:
            experiment.finish()

    def kill(self, what: str) -> None:
        """Returns when it is gone, and its connections with it."""
        os.killpg(self.groups[what], signal.SIGKILL)
        assert clock.poll(lambda: _ended(self.groups[what]), deadline=clock.Deadline.after(10))

    def pod(self, name: str) -> Pod:
        return next(pod for pod in self.run.mesh.pods() if pod.name == name)

    def holds_nothing_of_ours(self) -> bool:
        pods = [pod for pod in self.run.mesh.pods() if pod.proxy]
        kinds = (Resource.CLUSTERS, Resource.LISTENERS)
        routes = [self.run.mesh.dump(pod, Resource.ROUTES, ".*") for pod in pods]
        staged = [self.run.mesh.dump(pod, kind, rf"{PREFIX}\..*") for pod in pods for kind in kinds]
        return not self.run.mesh.ours() and not any(staged) and f"{PREFIX}." not in str(routes)


def _ended(pid: int) -> bool:
    """Whether or not somebody has waited for it."""
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    return True


@contextmanager
def opened(
    folder: Path,
    callees: Sequence[Callee],
    more: str = "",
    standards: Standards = Standards(),  # noqa: B008 - frozen
) -> Iterator[Running]:
    """A run on a mesh with these callees; warm-up and steady window are cut short, for tests of counts and codes."""
    topology = replace(shop(folder, callees, more), allow=Allow(namespaces=("shop",), traffic=("own", "all")))
    groups: dict[str, int] = {}
    spawned = Run.spawned

    def noted(run: Run, group: int, what: str = "load generator") -> None:
        groups[what] = group
        spawned(run, group, what)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        patch.setattr(Run, "spawned", noted)
        for name in ("WARM_UP_SECONDS", "STEADY_SECONDS"):
            patch.setattr(traffic, name, 0.2)
        for name in ("WARM_UP_REQUESTS", "STEADY_REQUESTS"):
            patch.setattr(traffic, name, 5)
        run = meshes.open_run("local", topology, RunOptions(id=new_id(), folder=folder / "run", standards=standards))
        try:
            yield Running(run, groups)
        finally:
            run.close()
        assert run.failed_undos == []
        assert list((folder / "state").rglob("*.journal")) == []
