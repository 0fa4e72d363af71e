"""`ClusterMesh`: a mesh that is only visited. It reads, writes EnvoyFilters of ours, and leaves everything else as it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

from chaos import clock
from chaos.envoy import ways
from chaos.envoy.configuration import Configuration
from chaos.errors import ApiFailure, Conflict, MeshFailure, NotFound, TopologyError, Unreachable, nearest
from chaos.injection.names import PREFIX
from chaos.mesh.cluster import inventory, kinds, kubeconfig, namespaces, relay
from chaos.mesh.cluster.client import Client
from chaos.mesh.cluster.entry import Way
from chaos.mesh.cluster.inventory import LOAD
from chaos.mesh.cluster.logs import Follower, taken
from chaos.mesh.cluster.proxies import Proxy
from chaos.mesh.cluster.remains import ClusterRemains
from chaos.mesh.port import Address, EnvoyFilter, Host, Identity, Mesh, Pod, Resource, Service
from chaos.model.topology import Entry

T = TypeVar("T")

FRESH: Final = 0.5
"""Seconds for which a list of pods is believed."""
SERVICES_FRESH: Final = 5.0
FLUSHED_WITHIN: Final = 15.0
"""Seconds until what a proxy wrote must have come through kubelet and API server; usually tens of milliseconds."""
QUIET: Final = 1.5
"""Seconds without a new line after which a log is taken for whole, where a proxy keeps no count."""
GATEWAY_NAMESPACES: Final = ("istio-system", "istio-ingress")
"""Where gateways usually stand: read, besides what is allowed, and never written to unless it is."""
ISTIOD_NAMESPACE: Final = "istio-system"
OLDEST: Final = (1, 23)
"""The first Istio whose proxies have internal listeners."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Where to, and what may be touched there."""

    context: str
    namespace: str
    """For short names."""
    entry: Entry
    url: str | None = None
    """Where requests enter; None: by a port-forward."""
    prometheus: str | None = None
    allowed: tuple[str, ...] = ()
    """Namespaces, or patterns of them."""
    kubeconfig: Path | None = None
    source: str = "chaos.yaml"
    """What messages call the file that says so."""


class _Cached(Generic[T]):
    """What was listed a moment ago."""

    def __init__(self, make: Callable[[], T], seconds: float) -> None:
        self._make = make
        self._seconds = seconds
        self._lock = threading.Lock()
        self._value: T | None = None
        self._until = clock.Deadline.after(0)

    def value(self) -> T:
        with self._lock:
            if self._value is None or self._until.passed:
                return self._made()
            return self._value

    def renew(self) -> T:
        with self._lock:
            return self._made()

    def forget(self) -> None:
        with self._lock:
            self._value = None

    def _made(self) -> T:
        self._value = value = self._make()
        self._until = clock.Deadline.after(self._seconds)
        return value


class ClusterMesh(Mesh):
    """Safe to use from several threads."""

    sees_every_call = False

    @classmethod
    def visit(cls, visit: Visit, *, client: Client | None = None) -> ClusterMesh:
        """Look around; nothing is written. Raises ConfigurationError, Unreachable, MeshFailure with what is in the way."""
        with ExitStack() as undo:
            client = client or Client.connect(visit.context, kubeconfig_file=visit.kubeconfig)
            mesh = cls(visit, client)
            undo.callback(mesh.close)
            mesh._begin()
            undo.pop_all()
        return mesh

    def __init__(self, visit: Visit, client: Client) -> None:
        self.client = client
        self._visit = visit
        self._remains = ClusterRemains(client, ())
        self.default_namespace = visit.namespace
        self._lock = threading.RLock()
        self._proxies_lock = threading.Lock()
        """Taken while pods are being listed: whoever holds it asks for no list, and whoever lists does not take the other lock."""
        self._namespaces: tuple[str, ...] = ()
        self._outside: tuple[str, ...] = ()
        self._pods = _Cached(self._list_pods, FRESH)
        self._services = _Cached(self._list_services, SERVICES_FRESH)
        self._proxies: dict[str, Proxy] = {}
        self._followers: dict[str, Follower] = {}
        self._ours: dict[tuple[str, str], Mapping[str, str]] = {}
        """What we applied and did not delete: the labels it selects."""
        self._rejections: dict[str, tuple[Pod, int]] = {}
        """How often who is selected had refused configuration before we wrote the last time."""
        self._rejected = _Cached(self._look_for_rejections, FRESH)
        self._ways: dict[tuple[str, int], Way] = {}
        self._entered: _Enters | None = None
        if visit.prometheus:
            from chaos.mesh.cluster.prometheus import Prometheus

            self.telemetry = Prometheus(visit.prometheus)
        self._closed = False

    # ------------------------------------------------------------------------------------------------------- who is there
    def services(self) -> Sequence[Service]:
        return self._services.value()

    def pods(self) -> Sequence[Pod]:
        return self._pods.value()

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Those that may be touched."""
        return self._namespaces

    @property
    def entry(self) -> tuple[Pod, Service, int]:
        entry = self._visit.entry
        return self._enters_by().pod(), self._service(entry.service, entry.namespace), entry.port

    def address(self, service: Service | None = None, port: int | None = None) -> Address:
        if service is not None:
            return self._by_load(service, port or service.ports[0].number)
        return self._enters_by().address()

    # ------------------------------------------------------------------------------------------------ what a proxy holds
    def configuration(self, pod: Pod) -> Configuration:
        return self._proxy(pod).configuration()

    def part(self, pod: Pod, *, routes: Sequence[str], clusters: Sequence[str]) -> Configuration:
        return self._proxy(pod).part(routes=routes, clusters=clusters)

    def dump(self, pod: Pod, resource: Resource, name_regex: str) -> Sequence[Mapping[str, Any]]:
        return self._proxy(pod).dump(resource, name_regex)

    def hosts(self, pod: Pod, cluster: str) -> Sequence[Host]:
        return self._proxy(pod).hosts(cluster)

    def counters(self, pod: Pod, name_regex: str) -> Mapping[str, int]:
        return self._proxy(pod).counters(name_regex)

    # ---------------------------------------------------------------------------------------------------- objects of ours
    def apply(self, objects: Sequence[EnvoyFilter]) -> None:
        """Delivered when it returns, not in force. The logs of who is selected are followed from here on."""
        with self._lock:
            for an_object in objects:
                self._ours[_key(an_object)] = _selected(an_object)
            self._count_rejections(self._follow())
        for an_object in objects:
            self._write(an_object)

    def rejected(self) -> str:
        return self._rejected.value()

    def _count_rejections(self, pods: Sequence[Pod]) -> None:
        """A proxy that does not answer now keeps nobody from writing: what is written may be an undo."""
        self._rejections = {}
        for pod in pods:
            with suppress(Unreachable, ApiFailure):
                self._rejections[pod.id] = (pod, self._proxy(pod).rejections())
        self._rejected.forget()

    def _look_for_rejections(self) -> str:
        for pod, before in tuple(self._rejections.values()):
            try:
                proxy = self._proxy(pod)
                if proxy.rejections() > before:
                    return f"{proxy.proxy} refused configuration since ours was written: {proxy.rejection()}"
            except Unreachable:
                continue  # it has gone, and what it held with it
        return ""

    def _write(self, an_object: EnvoyFilter) -> None:
        try:
            self.client.apply(an_object)
        except Conflict:  # somebody edited an object of ours: an undo must not wait for them to take that back
            self.client.apply(an_object, force=True)

    def delete(self, names: Sequence[tuple[str, str]]) -> None:
        """In this order, and each is tried whatever becomes of the others. Raises the first failure, with the others as notes."""
        self._remains.delete(names, gone=lambda key: self._ours.pop(key, None))

    def ours(self) -> Sequence[EnvoyFilter]:
        return self._remains.ours()

    def set_runtime(self, namespace: str, pod: str, key: str, value: str) -> None:
        self._remains.set_runtime(namespace, pod, key, value)

    def listens(self, namespace: str, pod: str, name_regex: str) -> bool:
        return self._remains.listens(namespace, pod, name_regex)

    # ------------------------------------------------------------------------------------------ what proxies wrote down
    def writers(self) -> Sequence[Pod]:
        with self._lock:
            return self._follow()

    def read_log(self, pod: Pod, offset: int) -> tuple[bytes, int]:
        follower = self._followers.get(pod.id)
        if follower is None:
            self._there(pod)
            return b"", offset  # nothing of ours has ever been there
        return follower.read(offset)

    def flush_logs(self, pods: Sequence[Pod]) -> None:
        followed = [(pod, self._followers[pod.id]) for pod in pods if pod.id in self._followers]
        for pod, follower in followed:
            self._flush(self._proxy(pod), follower, pod)

    def _flush(self, proxy: Proxy, follower: Follower, pod: Pod) -> None:
        """The count is taken first, and what it counts is written then: all of it has to come."""
        counted = taken(proxy.counters(rf"\.route\.{PREFIX}\..*\.upstream_rq_total$"))
        proxy.ask("/reopen_logs", "POST")
        deadline = clock.Deadline.after(FLUSHED_WITHIN)
        if not counted and self._switched(pod):  # statistics of routes are pruned there
            self._await_quiet(follower, deadline)
            return

        def come() -> bool:
            if all(follower.calls(path) >= number for path, number in counted.items()):
                return True
            proxy.ask("/reopen_logs", "POST")  # for a line that had not been in the buffer yet
            return False

        if not clock.poll(come, deadline=deadline, first=0.005, most=0.1):
            path, number = next(((p, n) for p, n in counted.items() if follower.calls(p) < n), ("", 0))
            context, where = self.client.context, f"-n {pod.namespace} logs {pod.name} -c {inventory.PROXY}"
            raise MeshFailure(
                f"the log of {pod.id} shows {follower.calls(path)} calls on {path}, and its proxy counts {number}: kubelet is "
                f"behind, or drops lines; look: kubectl --context {context} {where}"
            )

    def _await_quiet(self, follower: Follower, deadline: clock.Deadline) -> None:
        while not deadline.passed:
            before = follower.end
            clock.pause(QUIET)
            if follower.end == before:
                return

    def _switched(self, pod: Pod) -> bool:
        """Does a route of ours stand in its proxy?"""
        return any(
            name.endswith("-switch") and namespace == pod.namespace and pod.matches(labels)
            for (namespace, name), labels in self._ours.items()
        )

    # ------------------------------------------------------------------------------------------------- the mesh itself
    def check(self) -> None:
        """The API server answers, and nobody whose log is followed has lost lines."""
        self._pods.renew()
        for follower in tuple(self._followers.values()):
            follower.check()

    def now(self) -> datetime:
        return self._remains.now()

    def stopped(self) -> str:
        return self._remains.stopped()

    def serving(self) -> str:
        """Is an istiod ready? Where we may not look, or it runs elsewhere, nobody can tell: staging proves it then."""
        if ISTIOD_NAMESPACE not in (*self._outside, *self._namespaces):
            return ""
        found = self.client.items(kinds.POD, ISTIOD_NAMESPACE, labels="app=istiod")
        if not found or any(inventory.ready(raw) for raw in found):
            return ""
        names = ", ".join(raw["metadata"]["name"] for raw in found)
        kubectl = f"kubectl --context {self.client.context} -n {ISTIOD_NAMESPACE} get pods -l app=istiod"
        return f"istiod is not ready ({names}), so nothing that is undone now would reach a proxy; look: {kubectl}"

    def disturbed(self, start: int, end: int) -> str:
        return next((reason for way in tuple(self._ways.values()) if (reason := way.lost(start, end))), "")

    def close(self) -> None:
        """Ends our connections. The cluster stays as it is."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for way in self._ways.values():
                way.close()
            for follower in self._followers.values():
                follower.close()
            for proxy in self._proxies.values():
                proxy.close()
            if self.telemetry is not None:
                self.telemetry.close()
            self.client.close()

    # ------------------------------------------------------------------------------------------------------ looking around
    def _begin(self) -> None:
        visit, server = self._visit, self.client.version()
        if not self.client.serves(kinds.ENVOY_FILTER):
            raise NotFound(
                f"the API server {self.client.server} (context {self.client.context}) knows no EnvoyFilters "
                f"({kinds.ENVOY_FILTER.api_version}): is Istio installed there? istioctl install, or Helm's chart istio/base"
            )
        self._namespaces = namespaces.resolved(self.client, visit.allowed, visit.source)
        if visit.namespace not in self._namespaces:
            raise MeshFailure(f"{visit.source}: namespace {visit.namespace} is not among those allowed: {', '.join(visit.allowed)}")
        self._remains = ClusterRemains(self.client, self._namespaces)
        self.leases = self._remains.leases
        self.reach = {
            "context": self.client.context,
            "server": self.client.server,
            "kubeconfig": kubeconfig.listed(visit.kubeconfig),
            "namespaces": ",".join(self._namespaces),
        }
        raw = self._raw_pods()
        self._outside = tuple(n for n in GATEWAY_NAMESPACES if n not in self._namespaces and self._readable(n))
        self._check_proxies(raw)
        self._service(visit.entry.service, visit.entry.namespace)
        version = self._istio(raw)
        reads = [f"{namespace} (gateways)" for namespace in self._outside]
        details = {
            "server": self.client.server,
            "namespace": visit.namespace,
            "kubernetes": server.removeprefix("v"),
            "istio": version or "not known",
            "revision": inventory.revision_of(raw) or "default",
            "writes": ", ".join(self._namespaces),
            **({"also reads": ", ".join(reads)} if reads else {}),
            **({"telemetry": self.telemetry.check()} if self.telemetry else {}),
        }
        self.identity = Identity(kind="cluster", name=self.client.context, details=details)

    def _readable(self, namespace: str) -> bool:
        """May we look for gateways there? Where not, load enters in another way."""
        try:
            self.client.items(kinds.POD, namespace)
        except ApiFailure:
            return False
        return True

    def _check_proxies(self, raw: Sequence[Mapping[str, Any]]) -> None:
        """Raises MeshFailure where nothing could be injected anywhere."""
        here = [pod for pod in inventory.pods_of(raw) if pod.namespace == self._visit.namespace]
        if any(pod.proxy for pod in here):
            return
        namespace = self._visit.namespace
        kubectl = f"kubectl --context {self.client.context}"
        if not here:
            raise MeshFailure(f"no pod runs in namespace {namespace}; look: {kubectl} get pods -n {namespace}")
        raise MeshFailure(
            f"no pod in namespace {namespace} has a sidecar, the first is {here[0].name}: faults act in sidecars (ambient mode has "
            f"none). {kubectl} label namespace {namespace} istio-injection=enabled, and restart its workloads"
        )

    def _istio(self, raw: Sequence[Mapping[str, Any]]) -> str:
        """Istio's version. Raises MeshFailure where it is too old."""
        sidecar = next(pod for pod in inventory.pods_of(raw) if pod.proxy and pod.namespace == self._visit.namespace)
        version = inventory.version_of(raw) or self._proxy(sidecar).version()
        found = inventory.minor(version)
        if found is not None and found < OLDEST:
            raise MeshFailure(
                f"the proxies of {self._visit.namespace} are of Istio {version}; 1.23 is the first that works: older ones have no "
                "internal listeners. Upgrade Istio, then restart the workloads"
            )
        if not self._proxy(sidecar).has_internal_listeners():
            raise MeshFailure(
                f"the proxy of {sidecar.id} was started without internal listeners, of which private paths are made (by a "
                "bootstrap of your own, sidecar.istio.io/bootstrapOverride?): use Istio's, and restart the workload"
            )
        return version

    # -- lists
    def _raw_pods(self) -> list[Mapping[str, Any]]:
        return [raw for namespace in self._namespaces for raw in self.client.items(kinds.POD, namespace)]

    def _list_pods(self) -> tuple[Pod, ...]:
        pods = inventory.pods_of(self._raw_pods())
        outside = inventory.pods_of(raw for namespace in self._outside for raw in self.client.items(kinds.POD, namespace))
        found = (*pods, *(pod for pod in outside if pod.gateway))
        self._forget_all_but(found)
        return found

    def _list_services(self) -> tuple[Service, ...]:
        services = [raw for namespace in self._namespaces for raw in self.client.items(kinds.SERVICE, namespace)]
        entries = [raw for namespace in self._namespaces for raw in self.client.items(kinds.SERVICE_ENTRY, namespace)]
        return inventory.services_of(services, entries)

    def _forget_all_but(self, pods: Sequence[Pod]) -> None:
        here = {pod.id for pod in pods}
        with self._proxies_lock:
            gone = [self._proxies.pop(name) for name in tuple(self._proxies) if name not in here]
        for proxy in gone:
            proxy.close()

    def _service(self, name: str, namespace: str) -> Service:
        found = next((s for s in self.services() if (s.name, s.namespace) == (name, namespace)), None)
        if found is None:
            known = nearest(name, (s.name for s in self.services() if s.namespace == namespace))
            raise TopologyError(f'{self._visit.source}: entry: no service "{name}" in namespace {namespace}{known}')
        return found

    def _there(self, pod: Pod) -> None:
        """Raises Unreachable for a pod that is not."""
        if any(pod.id == other.id for other in self.pods()):
            return
        here = self._pods.renew()
        if not any(pod.id == other.id for other in here):
            raise Unreachable(f"{pod.id} is no pod of {self.client.context}{nearest(pod.id, (other.id for other in here))}")

    def _proxy(self, pod: Pod) -> Proxy:
        self._there(pod)
        with self._proxies_lock:
            return self._proxies.setdefault(pod.id, Proxy(self.client, pod.namespace, pod.name))

    def _follow(self) -> list[Pod]:
        """Follow the log of every pod that one of our objects selects; those pods."""
        selectors = [(namespace, labels) for (namespace, _), labels in self._ours.items()]
        selected = [
            pod for pod in self.pods() if pod.proxy and any(pod.namespace == n and pod.matches(labels) for n, labels in selectors)
        ]
        for pod in selected:
            if pod.id not in self._followers:
                self._followers[pod.id] = Follower(self.client, pod)
        return selected

    # -- where load goes
    def _enters_by(self) -> _Enters:
        with self._lock:
            if self._entered is None:
                self._entered = self._found_entry()
            return self._entered

    def _found_entry(self) -> _Enters:
        entry = self._visit.entry
        host = self._service(entry.service, entry.namespace).host
        gateways = [pod for pod in self.pods() if pod.gateway]
        found = [(pod, way) for pod in gateways for way in ways.ways(self.configuration(pod), entry.service, host, entry.port)]
        url = self._visit.url
        if url is not None:
            named = urlsplit(url).hostname or ""
            fitting = [pod for pod, way in found if _takes(way.domains, named)] or [pod for pod, _ in found]
            if not fitting:
                raise TopologyError(self._no_way(f"requests to {url} cannot be followed", gateways))
            return _Enters(self, fitting[0].workload, fitting[0].namespace, lambda: Address(url=url.rstrip("/")))
        chosen = ways.best(way for _, way in found)
        if chosen is not None:
            pod = next(pod for pod, way in found if way is chosen)
            port = chosen.port
            enters = _Enters(self, pod.workload, pod.namespace, lambda: self._by_gateway(enters, port, chosen.host))
            return enters
        if any(self._is_load(pod) for pod in self.pods()):
            service = self._service(entry.service, entry.namespace)
            return _Enters(self, LOAD, self._visit.namespace, lambda: self._by_load(service, entry.port))
        raise TopologyError(self._no_way("load has no way in", gateways))

    def _no_way(self, what: str, gateways: Sequence[Pod]) -> str:
        entry, looked = self._visit.entry, ", ".join((*self._namespaces, *self._outside))
        seen = f"of the gateways there ({', '.join(pod.id for pod in gateways)})" if gateways else "as there is no gateway"
        return (
            f"{self._visit.source}: {what}: no gateway in {looked} leads to {entry.service}.{entry.namespace}:{entry.port} without "
            f"TLS, {seen}. Bind a VirtualService to a Gateway with an HTTP server, name the URL under targets (entry:), or deploy "
            f"{LOAD} in {self._visit.namespace} (deploy/), from which load then comes"
        )

    def _by_gateway(self, enters: _Enters, port: int, host: str | None) -> Address:
        way = self._way(("", port), lambda: Way(self.client, enters.pod, port))
        return Address(url=way.url, host=host)

    def _by_load(self, service: Service, port: int) -> Address:
        if not any(self._is_load(pod) for pod in self.pods()):
            raise Unreachable(
                f"load for {service.host} is sent by the workload {LOAD}, and there is none with a sidecar in namespace "
                f"{self._visit.namespace}; deploy it: kubectl apply -k deploy/load -n {self._visit.namespace}"
            )
        http = [p.number for p in service.ports if p.http]
        if port not in http:
            raise Unreachable(f"{service.host} has no HTTP port {port}; it has: {', '.join(map(str, http)) or 'none'}")
        name = service.host if service.external else f"{service.name}.{service.namespace}"
        target = f"{name}:{port}"
        enters = _Enters(self, LOAD, self._visit.namespace, lambda: Address(url=""))
        way = self._way((target, port), lambda: Way(self.client, enters.pod, relay.PORT, connect_to=target))
        return Address(url=way.url, host=target)

    def _way(self, key: tuple[str, int], made: Callable[[], Way]) -> Way:
        with self._lock:
            if key not in self._ways:
                self._ways[key] = made()
            return self._ways[key]

    def _is_load(self, pod: Pod) -> bool:
        return pod.proxy and (pod.workload, pod.namespace) == (LOAD, self._visit.namespace)


@dataclass(frozen=True, slots=True)
class _Enters:
    """The workload whose proxies call the entry, and how load gets there."""

    mesh: ClusterMesh
    workload: str
    namespace: str
    address: Callable[[], Address]

    def pod(self) -> Pod:
        """One of its pods now. Raises Unreachable if none is left."""
        for pod in self.mesh.pods():
            if pod.proxy and (pod.workload, pod.namespace) == (self.workload, self.namespace):
                return pod
        raise Unreachable(f"no pod of {self.namespace}/{self.workload} is left, by which load enters")


def _takes(domains: Sequence[str], host: str) -> bool:
    """Does a virtual host of these domains take requests to `host`?"""
    return any(fnmatchcase(host, domain.rpartition(":")[0] or domain) for domain in domains)


def _key(an_object: EnvoyFilter) -> tuple[str, str]:
    return str(an_object["metadata"]["namespace"]), str(an_object["metadata"]["name"])


def _selected(an_object: EnvoyFilter) -> Mapping[str, str]:
    labels: Mapping[str, str] = an_object["spec"].get("workloadSelector", {}).get("labels", {})
    return labels
