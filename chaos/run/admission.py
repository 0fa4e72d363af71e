"""May anything be changed here now? Asked before our first object for an edge, and again every second while a fault is live."""

from __future__ import annotations

from collections.abc import Iterable

from chaos.errors import Stopped
from chaos.injection.callers import Ends
from chaos.injection.names import ANNOTATION_LEASE, LABEL_RUN, REAPER
from chaos.mesh.port import Lease, Leases, Mesh
from chaos.model.topology import Topology


def admit(mesh: Mesh, topology: Topology, ends: Ends) -> None:
    """Raises Stopped: the stop switch is set, the control plane would not deliver the undo, or nobody would clean up after us."""
    if reason := stopped(mesh):
        raise Stopped(f"{ends.edge}: {reason}")
    if mesh.reach and not topology.allow.without_reaper:
        namespaces = sorted({callers.namespace for callers in ends.callers})
        if reason := unguarded(mesh.leases, namespaces):
            raise Stopped(
                f"{ends.edge}: {reason}. If this machine is lost, what it wrote would stay: deploy the reaper (deploy/), or say in "
                f"{topology.file}: allow: {{without_reaper: true}}"
            )


def check_clean(mesh: Mesh, lease: Lease) -> None:
    """Raises Stopped while something of a run that had this callee before still stands there."""
    for an_object in mesh.ours() if mesh.reach else ():
        metadata = an_object["metadata"]
        run = metadata["labels"][LABEL_RUN]
        if run != lease.holder and (metadata.get("annotations") or {}).get(ANNOTATION_LEASE) == lease.id:
            raise Stopped(
                f"{metadata['namespace']}/{metadata['name']} of run {run}, which had {lease.about} before, is still there: "
                f"istio-chaos sweep --context={mesh.reach.get('context', '')} -n {metadata['namespace']}"
            )


def stopped(mesh: Mesh) -> str:
    """Why nothing may be on now; empty if it may."""
    return mesh.stopped() or mesh.serving()


def unguarded(leases: Leases, namespaces: Iterable[str]) -> str:
    """Which of these namespaces no reaper looks after; empty if each has one."""
    for namespace in namespaces:
        found = leases.find(namespace, REAPER)
        if found is None:
            return f"no reaper looks after namespace {namespace}: there is no lease {REAPER}"
        if not found.alive:
            return f"the reaper of namespace {namespace} has not been seen for {found.age:.0f} s (lease {REAPER})"
    return ""
