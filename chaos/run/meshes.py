"""Which mesh, which load generator? The one place that picks adapters."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from chaos.errors import ConfigurationError, MeshFailure, TopologyError
from chaos.load.port import Generator
from chaos.mesh.port import Mesh, Remains
from chaos.model.readiness import Finding, Severity
from chaos.model.topology import Choice, Topology
from chaos.run import kind as own_cluster
from chaos.run import readiness, state
from chaos.run.places import Place, place
from chaos.run.run import Run, RunOptions

if TYPE_CHECKING:
    from chaos.mesh.cluster.mesh import ClusterMesh

Kind = Literal["local", "cluster", "kind"]
KINDS: tuple[Kind, ...] = ("local", "cluster", "kind")
SHARED: frozenset[str] = frozenset({"cluster", "kind"})
"""Kinds of which there is one for all: they cannot be given to several workers."""


@dataclass(frozen=True, slots=True)
class Opener:
    """How a run is opened that was checked."""

    open: Callable[[RunOptions], Run]
    header: tuple[str, ...] = ()
    """What is known of the mesh already, for whoever starts the run."""
    refused: bool = False
    """A plan can be made, and a run could not be opened now: the header says why."""

    def __call__(self, options: RunOptions) -> Run:
        return self.open(options)


def check(kind: str, topology: Topology, choice: Choice = Choice()) -> Opener:  # noqa: B008 - it is frozen
    """Everything that can be refused is refused here; the mesh is looked at and nothing is started.

    Raises ConfigurationError, MeshFailure or Unreachable where no run can be opened. Heavy imports happen here and in what is
    returned.
    """
    match kind:
        case "local":
            return _check_local(topology)
        case "cluster":
            return _check_cluster(topology, place(topology, choice), plan=choice.plan)
        case "kind":
            return _check_kind(topology, choice)
        case _:
            raise ConfigurationError(f'no mesh "{kind}"; there are: {", ".join(KINDS)}')


def open_run(kind: str, topology: Topology, options: RunOptions, choice: Choice = Choice()) -> Run:  # noqa: B008
    """Check, and open at once."""
    return check(kind, topology, choice)(options)


def open_to_look(kind: str, topology: Topology, options: RunOptions, choice: Choice) -> Run:
    """The same for who asks whether the mesh is fit, and so is not refused because it is not."""
    if kind == "cluster":
        return _visiting(topology, place(topology, choice), options)
    return open_run(kind, topology, options, choice)


def remains(reach: Mapping[str, str], *, patience: float | None = None) -> Remains:
    """What of ours is in a mesh that outlives its runs, by what a journal says of it; `context` and `namespaces` by hand.
    `patience` is in seconds, for each call.

    Nothing is sent yet. Raises ConfigurationError.
    """
    from chaos.mesh.cluster.remains import ClusterRemains

    return ClusterRemains.reached(reach, patience=patience)


def prepare() -> None:
    """Import what `remains` will need."""
    from chaos.mesh.cluster import client

    client.prepare()


def _check_local(topology: Topology) -> Opener:
    if topology.local is None:
        raise TopologyError(f"{topology.file}: nothing under local: say which manifests and processes the local mesh runs")
    from chaos.mesh.local import planning

    planning.check(topology)
    return Opener(lambda options: Run.opened(options, topology, mesh=_local, generator=_locust))


def _check_cluster(topology: Topology, where: Place, *, plan: bool = False) -> Opener:
    from chaos.mesh.cluster import readiness as of_cluster
    from chaos.mesh.cluster.mesh import GATEWAY_NAMESPACES

    mesh = _cluster(topology, where)
    try:
        asked = of_cluster.Look(mesh.client, mesh.namespaces, GATEWAY_NAMESPACES, by_gateway=where.url is None)
        found = [*of_cluster.examine(asked), *readiness.examine(readiness.Look(mesh, topology))]
        reason = readiness.refusal(found)
        if reason and not plan:
            raise MeshFailure(reason)
        gateway, service, port = mesh.entry
        details = {**mesh.identity.details, "entry": f"{service.name}.{service.namespace}:{port} by {gateway.workload}"}
        header = (f"context: {mesh.identity.name}", *(f"{name}: {value}" for name, value in details.items()))
        if counted := readiness.summary(found):
            header += (f"readiness: {counted}; istio-chaos doctor --mesh=cluster tells them",)
        if plan:
            header += _for_a_plan(mesh.namespaces, found)
    finally:
        mesh.close()
    return Opener(lambda options: _visiting(topology, where, options), header, refused=bool(reason))


def _for_a_plan(namespaces: Sequence[str], found: Iterable[Finding]) -> tuple[str, ...]:
    """Which rights a run needs, and everything that would keep it from being opened."""
    from chaos.mesh.cluster import rights

    needed = f"a run needs in {', '.join(namespaces)}: {rights.told(rights.RUNNER)}"
    return (needed, *(f"REFUSED, if it were a run: {each}" for each in found if each.severity is Severity.ERROR))


def _visiting(topology: Topology, where: Place, options: RunOptions) -> Run:
    return Run.opened(options, topology, mesh=lambda _: _cluster(topology, where), generator=_locust, visiting=True)


def _check_kind(topology: Topology, choice: Choice) -> Opener:
    """The cluster is made, or brought to what it should be, only when the run is opened; then it is a cluster like any other."""
    where = place(topology, own_cluster.at_kind(choice))
    if choice.plan:
        return _check_cluster(topology, where, plan=True)  # as it is there: a plan makes none
    own_cluster.check()

    def opened(options: RunOptions) -> Run:
        own_cluster.up(lambda line: sys.stderr.write(f"{line}\n"))
        return _check_cluster(topology, where)(options)

    return Opener(opened, (f"context: {where.context}, made or reused by kind when the first experiment begins",))


def _local(run: Run) -> Mesh:
    if run.plans:
        from chaos.mesh.local.manifest import ManifestMesh

        return ManifestMesh(run.topology, stop=state.folder() / "stop")
    from chaos.mesh.local.mesh import LocalMesh

    return LocalMesh.start(
        run.topology,
        folder=run.folder / _process(run) / "mesh",
        run=run.journal.runner,
        spawned=run.spawned,
        stop=state.folder() / "stop",
    )


def _cluster(topology: Topology, where: Place) -> ClusterMesh:
    from chaos.mesh.cluster.mesh import ClusterMesh, Visit

    return ClusterMesh.visit(
        Visit(
            context=where.context,
            namespace=where.namespace,
            entry=where.entry,
            url=where.url,
            allowed=where.allowed,
            prometheus=where.prometheus,
            kubeconfig=where.kubeconfig,
            source=str(topology.file),
        )
    )


def _locust(run: Run) -> Generator:
    from chaos.load.locust.generator import LocustGenerator

    return LocustGenerator(run.folder / _process(run) / "load", spawned=run.spawned)


def _process(run: Run) -> str:
    """One folder per process of the run."""
    return run.worker or "main"
