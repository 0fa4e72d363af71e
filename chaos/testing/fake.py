"""How do my experiments run on a fake mesh? `fake_mesh(...)` answers pytest's question for `--chaos-mesh=fake`.

In a conftest.py:

    from chaos.testing.behaviour import Behaviour
    from chaos.testing.fake import fake_mesh

    pytest_chaos_mesh = fake_mesh({
        "productpage": Behaviour(calls=("details", "reviews"), patience="3s", tries=2, fallback="no reviews"),
        "reviews": Behaviour(takes="10ms", calls=("ratings",)),
    })
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from chaos.errors import TopologyError
from chaos.model.topology import Topology
from chaos.run.run import Run, RunOptions
from chaos.testing.behaviour import Behaviours
from chaos.testing.load import FakeGenerator
from chaos.testing.mesh import FakeMesh

KIND: Final = "fake"

Opener = Callable[[RunOptions], Run]
Maker = Callable[[Topology, Behaviours | None], FakeMesh]


def fake_mesh(behaviours: Behaviours | None = None, mesh: Maker = FakeMesh) -> Callable[[str, Topology], Opener | None]:
    """A `pytest_chaos_mesh` hook: a mesh of the topology's manifests, whose services behave as told, in no time.

    `mesh` makes it: a class of your own, derived from `FakeMesh`, can fail where you want to see what an experiment makes of it.
    """

    def pytest_chaos_mesh(kind: str, topology: Topology) -> Opener | None:
        if kind != KIND:
            return None
        if topology.local is None:
            raise TopologyError(f"{topology.file}: nothing under local: the fake mesh is made from local.manifests")
        return lambda options: open_fake(topology, options, behaviours, mesh)

    return pytest_chaos_mesh


def open_fake(topology: Topology, options: RunOptions, behaviours: Behaviours | None = None, mesh: Maker = FakeMesh) -> Run:
    """A run on a fake mesh, as `chaos.run.meshes.open_run` opens one on a real mesh."""
    made = mesh(topology, behaviours)
    try:
        return Run.opened(options, topology, mesh=lambda _run: made, generator=lambda _run: FakeGenerator(made))
    except BaseException:
        made.close()
        raise
