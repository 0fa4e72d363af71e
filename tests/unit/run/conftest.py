"""A run on a fake mesh of two services, a calling b (two replicas), whose minutes take no time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from chaos.errors import MeshFailure, Unreachable
from chaos.model.events import Event
from chaos.model.topology import Topology
from chaos.run import topology
from chaos.run.experiment import Experiment
from chaos.run.run import Run, RunOptions, new_id
from chaos.testing.behaviour import Behaviour
from chaos.testing.fake import open_fake
from chaos.testing.mesh import FakeMesh
from tests.acceptance.shop import MANIFESTS, TOPOLOGY


class FailingMesh(FakeMesh):
    """Fails as often as it is told, and can lose what it was given."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.failing = 0
        self.unreachable = False
        """Its proxies: no runtime can be set."""
        self.log: list[tuple[str, list[str]]] = []

    def apply(self, objects: Any) -> None:
        self._fail()
        self.log.append(("apply", [o["metadata"]["name"].rpartition("-")[2] for o in objects]))
        super().apply(objects)

    def delete(self, names: Any) -> None:
        self._fail()
        self.log.append(("delete", [name.rpartition("-")[2] for _, name in names]))
        super().delete(names)

    def set_runtime(self, namespace: str, pod: str, key: str, value: str) -> None:
        if self.unreachable:
            raise Unreachable(f"the proxy of {pod}.{namespace} does not answer")
        super().set_runtime(namespace, pod, key, value)

    def _fail(self) -> None:
        if self.failing:
            self.failing -= 1
            raise MeshFailure("the mesh is not itself today")


@dataclass
class Shop:
    """The run, its mesh and everything it emitted."""

    run: Run
    mesh: FailingMesh
    events: list[Event] = field(default_factory=list)

    def experiment(self) -> Experiment:
        return self.run.experiment("test_shop.py::test_it")

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


@pytest.fixture
def shop_topology(tmp_path: Path) -> Topology:
    (tmp_path / "shop.yaml").write_text(
        "---\n".join(MANIFESTS.replace("NAME", name).replace("REPLICAS", count) for name, count in (("front", "1"), ("back", "2")))
    )
    (tmp_path / "chaos.yaml").write_text(TOPOLOGY)
    return topology.load(tmp_path / "chaos.yaml")


@pytest.fixture
def open_shop(shop_topology: Topology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Shop]]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    opened: list[Run] = []

    def opener(*, forwards: bool = True, **options: Any) -> Shop:
        events: list[Event] = []
        behaviours = {"front": Behaviour(calls=("back",), patience="1s", fallback="sorry", forwards=forwards)}
        given = RunOptions(id=new_id(), folder=tmp_path / "run", listeners=(events.append,), **options)
        run = open_fake(shop_topology, given, behaviours, FailingMesh)
        opened.append(run)
        assert isinstance(run.mesh, FailingMesh)
        return Shop(run, run.mesh, events)

    yield opener
    for run in opened:
        run.close()


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    return open_shop()
