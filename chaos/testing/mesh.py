"""Which mesh needs no proxies? `FakeMesh`: real configurations, made from real manifests, in proxies that are only simulated.

What `apply` writes goes through the same patches as istiod's, so that injections are planned, staged, switched and proven as they
are on a real mesh; `system` is what then happens to requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from chaos.clock import Time, use
from chaos.envoy import patches
from chaos.envoy.configuration import Configuration
from chaos.envoy.translation import translate
from chaos.errors import TopologyError, Unreachable, nearest
from chaos.istio import documents as manifests
from chaos.istio.documents import Document, read_text
from chaos.istio.inventory import pod_of, service_of
from chaos.istio.world import DEFAULT_PROFILE, World
from chaos.mesh.leases import MemoryLeases
from chaos.mesh.port import Address, EnvoyFilter, Host, Identity, Mesh, Pod, Resource, Service
from chaos.model.topology import Topology
from chaos.testing.behaviour import Behaviours
from chaos.testing.passing_time import PassingTime
from chaos.testing.system import Proxy, System

LOAD: Final = "istio-chaos-load"
_LOAD_WORKLOAD: Final = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: []}}
"""


class FakeMesh(Mesh):
    """A mesh in memory, with a time of its own: from here to `close`, whoever waits makes it pass."""

    def __init__(self, topology: Topology, behaviours: Behaviours | None = None) -> None:
        if topology.local is None:
            raise TopologyError(f"{topology.file}: nothing under local: the fake mesh is made from local.manifests")
        entry = topology.entry
        load = read_text(_LOAD_WORKLOAD.format(name=LOAD, namespace=entry.namespace), Path(f"<{LOAD}>"))
        self._world = World.of(
            [*manifests.read(topology.local.manifests), *load],
            mesh_config=dict(topology.local.mesh_config),
            profile=topology.local.istio or DEFAULT_PROFILE,
        )
        self._topology = topology
        self._pods = tuple(pod_of(pod) for pod in self._world.pods)
        self._services = tuple(service_of(service) for service in self._world.services)
        self._plain = {pod.id: translate(self._world, pod.id) for pod in self._pods}
        self._ours: dict[tuple[str, str], EnvoyFilter] = {}
        self.leases = MemoryLeases()  # by real time: what passes here passes in jumps, which no heartbeat could follow
        self.stop = ""
        """Why nobody may inject now: the stop switch, for tests to set."""
        proxies = {pod.id: Proxy(pod=pod, configuration=self._plain[pod.id]) for pod in self._pods}
        self.default_namespace = entry.namespace
        self.identity = Identity(kind="fake", name=topology.file.parent.name, details={"instances": str(len(self._pods))})
        self._before: Time | None = use(PassingTime())
        self.system = System(proxies, {f"{s.name}.{s.namespace}": s for s in self._services}, behaviours or {})

    # -- who is there
    def services(self) -> Sequence[Service]:
        return self._services

    def pods(self) -> Sequence[Pod]:
        return self._pods

    @property
    def entry(self) -> tuple[Pod, Service, int]:
        entry = self._topology.entry
        load = next(pod for pod in self._pods if pod.workload == LOAD)
        found = next((s for s in self._services if (s.name, s.namespace) == (entry.service, entry.namespace)), None)
        if found is None:
            raise TopologyError(
                f'{self._topology.file}: entry: no service "{entry.service}" in namespace {entry.namespace}'
                + nearest(entry.service, (s.name for s in self._services))
            )
        return load, found, entry.port

    def address(self, service: Service | None = None, port: int | None = None) -> Address:
        _, entry, entry_port = self.entry
        host, number = (entry.host, entry_port) if service is None else (service.host, port or service.ports[0].number)
        return Address(url=f"http://{host}:{number}")

    # -- what a proxy holds
    def configuration(self, pod: Pod) -> Configuration:
        return self._proxy(pod).configuration

    def dump(self, pod: Pod, resource: Resource, name_regex: str) -> Sequence[Mapping[str, Any]]:
        held = self.configuration(pod)
        lists = {Resource.ROUTES: held.routes, Resource.CLUSTERS: held.clusters, Resource.LISTENERS: held.listeners}
        return [item for item in lists[resource] if re.fullmatch(name_regex, item["name"])]

    def hosts(self, pod: Pod, cluster: str) -> Sequence[Host]:
        found = next((e for e in self.configuration(pod).endpoints if e["cluster_name"] == cluster), {})
        endpoints = [e for locality in found.get("endpoints", []) for e in locality.get("lb_endpoints", [])]
        sockets = [e["endpoint"]["address"]["socket_address"] for e in endpoints]
        return [Host(address=f"{s['address']}:{s['port_value']}", ejected=False) for s in sockets]

    def counters(self, pod: Pod, name_regex: str) -> Mapping[str, int]:
        self._proxy(pod)
        return {}

    # -- objects of ours
    def apply(self, objects: Sequence[EnvoyFilter]) -> None:
        with self.system.lock:
            self._install({**self._ours, **{_key(an_object): an_object for an_object in objects}})

    def delete(self, names: Sequence[tuple[str, str]]) -> None:
        with self.system.lock:
            self._install({key: an_object for key, an_object in self._ours.items() if key not in set(names)})

    def ours(self) -> Sequence[EnvoyFilter]:
        return tuple(self._ours.values())

    def set_runtime(self, namespace: str, pod: str, key: str, value: str) -> None:
        with self.system.lock:
            self.system.advance()
            if proxy := self._named(namespace, pod):
                proxy.runtime[key] = value

    def listens(self, namespace: str, pod: str, name_regex: str) -> bool:
        proxy = self._named(namespace, pod)
        return proxy is not None and bool(self.dump(proxy.pod, Resource.LISTENERS, name_regex))

    # -- what proxies wrote down
    def read_log(self, pod: Pod, offset: int) -> tuple[bytes, int]:
        with self.system.lock:
            self.system.advance()
            written = self._proxy(pod).written
            return bytes(written[offset:]), len(written)

    def flush_logs(self, pods: Sequence[Pod]) -> None:
        self.system.advance()

    # -- the mesh itself
    def check(self) -> None:
        """There is nothing that could die."""

    def serving(self) -> str:
        return ""

    def stopped(self) -> str:
        return f"the stop switch is set: {self.stop}" if self.stop else ""

    def close(self) -> None:
        if self._before is not None:
            use(self._before)
            self._before = None

    # -- in detail
    def _install(self, ours: Mapping[tuple[str, str], EnvoyFilter]) -> None:
        """Requests so far have met the old configuration."""
        self.system.advance()
        self._ours = dict(ours)
        filters = [Document(raw=dict(an_object), file=Path("<istio-chaos>"), lines={}) for an_object in self._ours.values()]
        for pod in self._pods:
            self.system.proxies[pod.id].configuration = self._patched(pod, filters)

    def _patched(self, pod: Pod, filters: Iterable[Document]) -> Configuration:
        world = self._world
        root = world.mesh.root_namespace
        return patches.apply(self._plain[pod.id], filters, world.proxy(pod.id), root_namespace=root, profile=world.profile)

    def _named(self, namespace: str, pod: str) -> Proxy | None:
        proxies = self.system.proxies.values()
        return next((proxy for proxy in proxies if (proxy.pod.namespace, proxy.pod.name) == (namespace, pod)), None)

    def _proxy(self, pod: Pod) -> Proxy:
        try:
            return self.system.proxies[pod.id]
        except KeyError:
            raise Unreachable(f"{pod.id} is no pod of the fake mesh{nearest(pod.id, self.system.proxies)}") from None


def _key(an_object: EnvoyFilter) -> tuple[str, str]:
    return str(an_object["metadata"]["namespace"]), str(an_object["metadata"]["name"])
