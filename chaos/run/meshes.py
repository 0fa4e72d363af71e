"""Which mesh, which load generator? The one place that picks adapters."""

from __future__ import annotations

from typing import Literal

from chaos.errors import ConfigurationError, TopologyError
from chaos.load.port import Generator
from chaos.mesh.port import Mesh
from chaos.model.topology import Topology
from chaos.run.run import Run, RunOptions

Kind = Literal["local"]
KINDS: tuple[Kind, ...] = ("local",)


def check(kind: str, topology: Topology) -> None:
    """Raises ConfigurationError or MeshFailure where no run can be opened, before anything is started."""
    if kind not in KINDS:
        raise ConfigurationError(f'no mesh "{kind}"; there are: {", ".join(KINDS)}')
    if topology.local is None:
        raise TopologyError(f"{topology.file}: nothing under local: say which manifests and processes the local mesh runs")
    from chaos.mesh.local import planning

    planning.check(topology)


def open_run(kind: str, topology: Topology, options: RunOptions) -> Run:
    """A run with its mesh and load generator up, on a topology that was checked. Heavy imports happen here."""
    return Run.opened(options, topology, mesh=_local, generator=_locust)


def _local(run: Run) -> Mesh:
    from chaos.mesh.local.mesh import LocalMesh

    return LocalMesh.start(run.topology, folder=run.folder / _process(run) / "mesh", run=run.journal.runner, spawned=run.spawned)


def _locust(run: Run) -> Generator:
    from chaos.load.locust.generator import LocustGenerator

    return LocustGenerator(run.folder / _process(run) / "load", spawned=run.spawned)


def _process(run: Run) -> str:
    """One folder per process of the run."""
    return run.worker or "main"
