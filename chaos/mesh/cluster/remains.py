"""What of ours is on a cluster? Objects, leases and the stop switch, with nothing but an API server: no pod is asked.

For who comes after a run: its watchdog, `istio-chaos sweep`, the reaper; and for the mesh itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaos.errors import ChaosError, ConfigurationError, NotFound
from chaos.injection.names import LABEL_RUN, STOP
from chaos.mesh.cluster import kinds
from chaos.mesh.cluster.client import PATIENCE, Client
from chaos.mesh.cluster.leases import ClusterLeases
from chaos.mesh.port import EnvoyFilter, Remains, Resource

if TYPE_CHECKING:
    from chaos.mesh.cluster.proxies import Proxy


class ClusterRemains(Remains):
    """Of some namespaces, or of all."""

    def __init__(self, client: Client, namespaces: Sequence[str] | None) -> None:
        self.client = client
        self.namespaces: tuple[str | None, ...] = (None,) if namespaces is None else tuple(namespaces)
        self.leases = ClusterLeases(client, self.namespaces)

    @classmethod
    def reached(cls, reach: Mapping[str, str], *, patience: float | None = None) -> ClusterRemains:
        """As a journal says. Raises ConfigurationError when its context has come to mean another server."""
        kubeconfig = reach.get("kubeconfig")
        file = Path(kubeconfig) if kubeconfig else None
        client = Client.connect(reach["context"], kubeconfig_file=file, patience=PATIENCE if patience is None else patience)
        if reach.get("server", client.server) != client.server:
            raise ConfigurationError(
                f"context {client.context} leads to {client.server} now, and led to {reach['server']} when something was written "
                "there; nothing is removed from another cluster. Name the right one: istio-chaos sweep --context=... -n ..."
            )
        namespaces = reach.get("namespaces", "")
        return cls(client, namespaces.split(",") if namespaces else None)

    def ours(self) -> Sequence[EnvoyFilter]:
        return [o for namespace in self.namespaces for o in self.client.items(kinds.ENVOY_FILTER, namespace, labels=LABEL_RUN)]

    def now(self) -> datetime:
        return self.client.now()

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

    def set_runtime(self, namespace: str, pod: str, key: str, value: str) -> None:
        with self._proxy(namespace, pod) as proxy:
            if proxy:
                proxy.set_runtime(key, value)

    def listens(self, namespace: str, pod: str, name_regex: str) -> bool:
        with self._proxy(namespace, pod) as proxy:
            return bool(proxy and proxy.dump(Resource.LISTENERS, name_regex))

    @contextmanager
    def _proxy(self, namespace: str, pod: str) -> Iterator[Proxy | None]:
        """None where the pod has gone."""
        # Whoever comes after a run hardly ever asks a proxy, and is to be there at once.
        from chaos.mesh.cluster.proxies import Proxy

        there = self.client.items(kinds.POD, namespace, fields=f"metadata.name={pod}")
        if not any(found["metadata"]["name"] == pod for found in there):
            yield None
            return
        with closing(Proxy(self.client, namespace, pod)) as proxy:
            yield proxy

    def stopped(self) -> str:
        for found in self._switches():
            namespace = found["metadata"]["namespace"]
            told = found.get("data") or {}
            reason = f": {told['reason']}" if told.get("reason") else ""
            by = f", by {told['by']}" if told.get("by") else ""
            command = f"kubectl --context {self.client.context} -n {namespace} delete configmap {STOP}"
            return f"the stop switch of namespace {namespace} is set{reason}{by} (to go on: {command})"
        return ""

    def _switches(self) -> Iterator[Mapping[str, Any]]:
        for namespace in self.namespaces:
            if namespace is None:
                yield from self.client.items(kinds.CONFIG_MAP, fields=f"metadata.name={STOP}")
                continue
            with suppress(NotFound):
                yield self.client.get(kinds.CONFIG_MAP, STOP, namespace)
