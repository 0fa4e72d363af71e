"""What would a local mesh be? Pods, services and proxies' configuration as they follow from the manifests; nothing is started."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from chaos.envoy.configuration import Configuration
from chaos.errors import MeshFailure, Unreachable, nearest
from chaos.istio.inventory import pod_of, service_of
from chaos.mesh.leases import MemoryLeases
from chaos.mesh.local import configured
from chaos.mesh.local.addresses import Block
from chaos.mesh.local.planning import Planner
from chaos.mesh.local.stop import stopped
from chaos.mesh.port import Address, EnvoyFilter, Host, Identity, Mesh, Pod, Resource, Service
from chaos.model.topology import Topology

_BLOCK: Final = Block(1)
"""Addresses that nobody listens at."""


class ManifestMesh(Mesh):
    """A local mesh that is not up: it can be read, and does nothing."""

    def __init__(self, topology: Topology, *, stop: Path | None = None) -> None:
        """Raises ManifestError and TopologyError."""
        self._entry = topology.entry
        self._stop = stop
        self._plan = Planner(topology, _BLOCK).first()
        self._services = tuple(map(service_of, self._plan.world.services))
        self._pods = tuple(pod_of(instance.pod) for instance in self._plan.instances)
        self.default_namespace = topology.entry.namespace
        self.leases = MemoryLeases()
        details = {"instances": str(len(self._plan.instances)), "read from": "manifests"}
        self.identity = Identity(kind="local", name=topology.file.parent.name, details=details)

    def services(self) -> Sequence[Service]:
        return self._services

    def pods(self) -> Sequence[Pod]:
        return self._pods

    @property
    def entry(self) -> tuple[Pod, Service, int]:
        return configured.entry(self._plan, self._entry)

    def address(self, service: Service | None = None, port: int | None = None) -> Address:
        return configured.address(self._plan, self._entry, service, port)

    def configuration(self, pod: Pod) -> Configuration:
        proxies = {instance.pod.id: instance for instance in self._plan.instances if instance.proxy}
        if pod.id not in proxies:
            raise Unreachable(f"{pod.id} has no sidecar on the local mesh{nearest(pod.id, proxies)}")
        return configured.base(self._plan, proxies[pod.id], _BLOCK, Path())

    def dump(self, pod: Pod, resource: Resource, name_regex: str) -> Sequence[Mapping[str, Any]]:
        held = self.configuration(pod)
        lists = {Resource.ROUTES: held.routes, Resource.CLUSTERS: held.clusters, Resource.LISTENERS: held.listeners}
        return [item for item in lists[resource] if re.fullmatch(name_regex, item["name"])]

    def hosts(self, pod: Pod, cluster: str) -> Sequence[Host]:
        return []

    def counters(self, pod: Pod, name_regex: str) -> Mapping[str, int]:
        return {}

    def ours(self) -> Sequence[EnvoyFilter]:
        return ()

    def listens(self, namespace: str, pod: str, name_regex: str) -> bool:
        return False

    def check(self) -> None:
        """There is nothing that could die."""

    def serving(self) -> str:
        return ""

    def stopped(self) -> str:
        return stopped(self._stop)

    def close(self) -> None:
        """Nothing was started."""

    def apply(self, objects: Sequence[EnvoyFilter]) -> NoReturn:
        raise MeshFailure("this mesh is only read from its manifests: nothing can be written there")

    def delete(self, names: Sequence[tuple[str, str]]) -> NoReturn:
        raise MeshFailure("this mesh is only read from its manifests: there is nothing to delete")

    def set_runtime(self, namespace: str, pod: str, key: str, value: str) -> NoReturn:
        raise MeshFailure("this mesh is only read from its manifests: no proxy runs there")

    def read_log(self, pod: Pod, offset: int) -> tuple[bytes, int]:
        return b"", offset

    def flush_logs(self, pods: Sequence[Pod]) -> None:
        """Nobody writes anything."""
