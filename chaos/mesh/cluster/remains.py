"""What of ours is on a cluster? Objects, leases and the stop switch, with nothing but an API server: no pod is asked.

For who comes after a run: its watchdog, `istio-chaos sweep`, the reaper; and for the mesh itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chaos.errors import ChaosError, NotFound
from chaos.injection.names import LABEL_RUN, STOP
from chaos.mesh.cluster import kinds
from chaos.mesh.cluster.client import Client
from chaos.mesh.cluster.leases import ClusterLeases
from chaos.mesh.port import EnvoyFilter, Remains


class ClusterRemains(Remains):
    """Of some namespaces."""

    def __init__(self, client: Client, namespaces: Sequence[str]) -> None:
        self.client = client
        self.namespaces = tuple(namespaces)
        self.leases = ClusterLeases(client, namespaces)

    def ours(self) -> Sequence[EnvoyFilter]:
        return [o for namespace in self.namespaces for o in self.client.items(kinds.ENVOY_FILTER, namespace, labels=LABEL_RUN)]

    def delete(self, names: Sequence[tuple[str, str]], *, gone: Callable[[tuple[str, str]], object] = lambda _: None) -> None:
        """In this order, and each is tried whatever becomes of the others. Raises the first failure, with the others as notes."""
        failures: list[ChaosError] = []
        for namespace, name in names:
            try:
                self.client.delete(kinds.ENVOY_FILTER, name, namespace)
            except ChaosError as failure:
                failures.append(failure)
            else:
                gone((namespace, name))
        if failures:
            for other in failures[1:]:
                failures[0].add_note(str(other))
            raise failures[0]

    def stopped(self) -> str:
        for namespace in self.namespaces:
            try:
                found = self.client.get(kinds.CONFIG_MAP, STOP, namespace)
            except NotFound:
                continue
            told = found.get("data") or {}
            reason = f": {told['reason']}" if told.get("reason") else ""
            by = f", by {told['by']}" if told.get("by") else ""
            command = f"kubectl --context {self.client.context} -n {namespace} delete configmap {STOP}"
            return f"the stop switch of namespace {namespace} is set{reason}{by} (to go on: {command})"
        return ""
