"""What is wrong with a mesh, before anybody experiments there? Everything that can be found out, in one list.

On a cluster the API server is asked first, with nothing but a client: what keeps a mesh from being opened at all is a finding as
well. The local mesh is brought up, looked at and ended, by the same protocol as a run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from chaos.errors import ChaosError, ConfigurationError
from chaos.istio.readiness import of_lint
from chaos.model.edge import Edge
from chaos.model.readiness import Finding, Severity, error
from chaos.model.topology import Choice, Topology
from chaos.run import meshes, probing, readiness
from chaos.run.kind import at_kind
from chaos.run.places import place
from chaos.run.run import RunOptions, new_id


def examine(kind: str, topology: Topology, choice: Choice, edges: Sequence[Edge] = (), path: str = "") -> list[Finding]:
    """Every finding, the worst first; with `path` also what becomes of requests for it.

    Raises ConfigurationError, and Unreachable or Forbidden where nobody can be asked.
    """
    if kind == "kind":
        kind, choice = "cluster", at_kind(choice)
    found = list(_of_cluster(topology, choice) if kind in meshes.SHARED else _of_manifests(topology))
    if not any(finding.severity is Severity.ERROR for finding in found):
        found += _of_mesh(kind, topology, choice, edges, path)
    return sorted(dict.fromkeys(found), key=lambda finding: list(Severity).index(finding.severity))


def _of_cluster(topology: Topology, choice: Choice) -> Iterator[Finding]:
    from chaos.mesh.cluster import namespaces
    from chaos.mesh.cluster import readiness as cluster
    from chaos.mesh.cluster.client import Client
    from chaos.mesh.cluster.mesh import GATEWAY_NAMESPACES

    where = place(topology, choice)
    with closing(Client.connect(where.context, kubeconfig_file=where.kubeconfig)) as client:
        names = namespaces.resolved(client, where.allowed, str(topology.file))
        look = cluster.Look(client, names, GATEWAY_NAMESPACES, by_gateway=where.url is None)
        yield from cluster.examine(look, {**cluster.CHECKS, **cluster.OF_PROXIES})


def _of_manifests(topology: Topology) -> Iterator[Finding]:
    from chaos.istio.documents import read
    from chaos.istio.lint import lint

    meshes.check("local", topology)
    local = topology.local
    if local is not None:
        yield from map(of_lint, lint(read(local.manifests), mesh_config=local.mesh_config or None))


def _of_mesh(kind: str, topology: Topology, choice: Choice, edges: Sequence[Edge], path: str) -> Iterator[Finding]:
    with tempfile.TemporaryDirectory(prefix="istio-chaos-doctor-") as folder:
        options = RunOptions(id=new_id(), folder=Path(folder))
        try:
            run = meshes.open_to_look(kind, topology, options, choice)
        except ConfigurationError:
            raise
        except ChaosError as failure:
            yield _not_opened(failure)
            return
        with closing(run):
            yield from readiness.examine(readiness.Look(run.mesh, topology, edges))
            if path:
                yield from probing.probe(run.mesh, run.id, path)


def _not_opened(failure: ChaosError) -> Finding:
    return replace(
        error("mesh", str(failure), means="no run can be opened", remedy="See to the reason, then ask again"), check="mesh"
    )
