"""What would run for this topology? Manifests and commands, read and checked; nothing is touched.

`LocalMesh.start` begins with it, and a front end asks `check` before its first experiment, so that what is wrong with files is said
once, and early.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence

from chaos.errors import TopologyError
from chaos.istio import documents as manifests
from chaos.istio.world import World
from chaos.mesh.local import binary
from chaos.mesh.local.addresses import Block
from chaos.mesh.local.applications import command, environment
from chaos.mesh.local.instances import Application, Instance, Numbers, instances, load_workload, offered_services, short_image
from chaos.model.topology import Topology


def planned(topology: Topology, block: Block) -> tuple[World, tuple[Instance, ...]]:
    """The manifests, and the instances they make. Raises ManifestError and TopologyError."""
    if topology.local is None:
        raise TopologyError(f"{topology.file}: there is no `local:`, which names the manifests and commands of the local mesh")
    read = [*manifests.read(topology.local.manifests), *load_workload(topology.entry.namespace)]
    numbers = Numbers(block)
    world = World.of(read, mesh_config=dict(topology.local.mesh_config), address_of=numbers.address_of)
    return world, instances(world, topology, block, numbers)


def commands(
    world: World, found: Sequence[Instance], run: str, inherited: Mapping[str, str] = os.environ
) -> Iterator[tuple[Instance, Application, dict[str, str]]]:
    """Every application with its environment. Raises ManifestError for a variable that nobody here can give."""
    services = offered_services(world)
    for instance in found:
        for application in instance.applications:
            yield (
                instance,
                application,
                environment(instance, application, world=world, services=services, inherited=inherited, run=run),
            )


def check(topology: Topology) -> None:
    """Raises ManifestError, TopologyError or MeshFailure (no Envoy here) for what could not start."""
    binary.find()
    world, found = planned(topology, Block(1))
    for _, application, env in commands(world, found, run=""):
        program, *_ = command(application)
        place = application.workload.cwd / program if os.sep in program else program
        if shutil.which(place, path=env.get("PATH")) is None:
            where = f"{place} is no program" if os.sep in program else f"there is no program {program!r} on PATH"
            raise TopologyError(f"{topology.file}: local.workloads.{short_image(application.image)}.command: {where}")
