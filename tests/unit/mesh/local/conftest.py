"""A world of two services, as the local mesh reads it, without any process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.istio.documents import read
from chaos.istio.world import World
from chaos.mesh.local.addresses import Block
from chaos.mesh.local.instances import Instance, Numbers, instances, load_workload
from chaos.model.topology import Topology
from tests.meshes import topology

Found = tuple[World, dict[str, Instance], Topology]
Find = Callable[..., Found]


@pytest.fixture
def find(tmp_path: Path) -> Find:
    """The instances of some manifests, by pod name."""

    def found(lowest: int = 1, **changes: object) -> Found:
        wanted = topology(tmp_path, **changes)  # type: ignore[arg-type]
        assert wanted.local is not None
        block = Block(5, lowest)
        numbers = Numbers(block)
        documents = [*read(wanted.local.manifests), *load_workload(wanted.entry.namespace)]
        world = World.of(documents, address_of=numbers.address_of)
        return world, {i.pod.name: i for i in instances(world, wanted, block, numbers)}, wanted

    return found
