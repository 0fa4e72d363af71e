"""Who runs, where and with which command? From manifests and topology to the instances of one mesh, before anything is started.

What could not run, or would run as something else than what is written, is refused here with file, line, key and remedy.
Before: `chaos.istio.world` read the manifests. After: `localise` and `applications` say what an instance's two processes get.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.errors import ManifestError, TopologyError, nearest
from chaos.istio import hosts, workloads
from chaos.istio.documents import Document, read_text
from chaos.istio.services import Protocol, Service
from chaos.istio.targets import inbound_ports
from chaos.istio.validate import refusals
from chaos.istio.world import World
from chaos.mesh.local.addresses import PROXY_PORT, Block, Endpoint
from chaos.mesh.local.localise import OfferedPort
from chaos.model.topology import Local, LocalWorkload, Topology

LOAD = "istio-chaos-load"
"""The workload that load comes from: a sidecar without an application."""
_INJECTED = "istio-proxy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One container, as a process of this machine."""

    container: str
    image: str
    workload: LocalWorkload
    raw: Mapping[str, Any]
    """The container as the manifest has it."""
    endpoint: Endpoint | None
    """Where it is told to listen; None for one that no port leads to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One pod: its addresses, its applications, and what its sidecar offers them."""

    pod: workloads.Pod
    sidecar: str
    """Where others reach it."""
    application: str
    proxy: bool
    applications: tuple[Application, ...]
    offered: tuple[OfferedPort, ...]

    @property
    def proxy_url(self) -> str:
        """HTTP_PROXY of its applications."""
        return f"http://{self.sidecar}:{PROXY_PORT}"


def load_workload(namespace: str) -> Iterable[Document]:
    """The manifest of `istio-chaos-load`, read like any other, so that Istio's objects act on its traffic as on any caller's."""
    manifest = f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {LOAD}, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: {LOAD}}}}}
  template:
    metadata: {{labels: {{app: {LOAD}}}}}
    spec: {{containers: []}}
"""
    return read_text(manifest, Path(f"<{LOAD}>"))


class Numbers:
    """Which instance and which service is which: remembered, so that nobody moves when manifests change."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self._pods: dict[tuple[str, str], int] = {}
        self._services: dict[str, int] = {}

    def address_of(self, pod: str, namespace: str) -> str:
        """`address_of` of the world."""
        return self._block.sidecar(self.of(pod, namespace))

    def of(self, pod: str, namespace: str) -> int:
        if (pod, namespace) not in self._pods:
            taken = set(self._pods.values())
            self._pods[pod, namespace] = next(n for n in itertools.count(1) if n not in taken)
        return self._pods[pod, namespace]

    def of_service(self, host: str) -> int:
        """Never given to another: applications were told these addresses when they were started."""
        return self._services.setdefault(host, len(self._services))

    def keep(self, pods: Iterable[workloads.Pod]) -> None:
        """The numbers of all others are free again."""
        kept = {(pod.name, pod.namespace) for pod in pods}
        self._pods = {pod: number for pod, number in self._pods.items() if pod in kept}

    def check(self) -> None:
        """Raises ManifestError if there are more than the block has room for."""
        self._block.check_size(max(self._pods.values(), default=0), len(self._services))


def instances(world: World, topology: Topology, block: Block, numbers: Numbers) -> tuple[Instance, ...]:
    """Every instance of the mesh. Raises ManifestError and TopologyError for what cannot run."""
    local = topology.local or Local()
    services = offered_services(world)
    for pod in world.pods:
        numbers.of(pod.name, pod.namespace)
    for service in services:
        numbers.of_service(service.hostname)
    numbers.check()
    _check_accepted(world)
    _check_pods(world)
    _check_subsets(world)
    _check_entry(world, topology)
    return tuple(_instance(world, pod, topology, local, services, block, numbers) for pod in world.pods)


def offered_services(world: World) -> tuple[Service, ...]:
    """The services that get an address of each sidecar: Kubernetes' own, and the hosts of ServiceEntries but for wildcards."""
    return tuple(s for s in world.services if s.ports and not s.external_name and "*" not in s.hostname)


def _instance(
    world: World,
    pod: workloads.Pod,
    topology: Topology,
    local: Local,
    services: tuple[Service, ...],
    block: Block,
    numbers: Numbers,
) -> Instance:
    number = numbers.of(pod.name, pod.namespace)
    sidecar = block.sidecar(number)
    if pod.ip != sidecar:
        place = pod.document.place("status", "podIP")
        raise ManifestError(f"{place}: the local mesh gives pods addresses of its own; take the status out of the manifest")
    application = block.application(number) if pod.has_proxy else sidecar
    # A gateway calls for others; there is nobody beside it who could use an address.
    callable_ = services if pod.has_proxy and not pod.is_gateway else ()
    addresses = {s.hostname: block.service(number, numbers.of_service(s.hostname)) for s in callable_}
    return Instance(
        pod=pod,
        sidecar=sidecar,
        application=application,
        proxy=pod.has_proxy,
        applications=tuple(_applications(world, pod, topology, local, application, block)),
        offered=_offered(callable_, addresses, block),
    )


def _offered(services: Iterable[Service], addresses: Mapping[str, str], block: Block) -> tuple[OfferedPort, ...]:
    """One of each host and port: several ServiceEntries may speak of one host."""
    offered: dict[tuple[str, int], OfferedPort] = {}
    for service in services:
        for port in service.ports:
            if port.protocol is not Protocol.UDP:
                made = OfferedPort(
                    host=service.hostname,
                    number=port.number,
                    endpoint=Endpoint(addresses[service.hostname], block.bindable(port.number)),
                    http=port.protocol.is_http_or_sniffed,
                    tcp=not port.protocol.is_http,
                    virtual_addresses=service.addresses,
                )
                offered.setdefault((service.hostname, port.number), made)
    return tuple(offered.values())


# -------------------------------------------------------------------------------------------------------- applications
def _applications(
    world: World, pod: workloads.Pod, topology: Topology, local: Local, address: str, block: Block
) -> Iterator[Application]:
    called = list(inbound_ports(world, pod))
    for index, container in enumerate(pod.containers):
        if container.get("name") == _INJECTED:
            continue
        image = str(container.get("image", ""))
        workload = _workload(image, local.workloads)
        if workload is None:
            raise TopologyError(_no_command(pod, index, image, topology, local.workloads))
        # A container need not declare its ports (they are only informative in Kubernetes): then a service's targetPort tells.
        port = next(iter(_declared(container) or called), None)
        yield Application(
            container=str(container.get("name", "")),
            image=image,
            workload=workload,
            raw=container,
            endpoint=None if port is None else Endpoint(address, block.bindable(port)),
        )


def _declared(container: Mapping[str, Any]) -> list[int]:
    return [int(p["containerPort"]) for p in container.get("ports") or () if p.get("protocol", "TCP") == "TCP"]


def _no_command(pod: workloads.Pod, index: int, image: str, topology: Topology, known: Mapping[str, LocalWorkload]) -> str:
    inside = ("spec", "containers") if pod.document.kind == "Pod" else ("spec", "template", "spec", "containers")
    place = pod.document.place(*inside, index, "image")
    if not image:
        return f"{place}: the container has no image"
    name = short_image(image)
    return (
        f"{place}: nothing says how to run {image!r} on the local mesh{nearest(name, known)}\n"
        f"    add to {topology.file} under local.workloads:\n        {name}: {{command: [...]}}"
    )


def _workload(image: str, known: Mapping[str, LocalWorkload]) -> LocalWorkload | None:
    wanted = _spellings(image)
    for spelling in wanted:
        for name, workload in known.items():
            if spelling in _spellings(name):
                return workload
    return None


def short_image(image: str) -> str:
    """Without registry, tag and digest: `docker.io/istio/reviews:1.20` -> `istio/reviews`."""
    return _spellings(image)[-1]


def _spellings(image: str) -> list[str]:
    """The image as written, without tag and digest, and without registry as well: most exact first."""
    untagged = image.partition("@")[0]
    head, slash, tail = untagged.rpartition("/")
    untagged = head + slash + tail.partition(":")[0]
    first, slash, rest = untagged.partition("/")
    registry = slash and (first == "localhost" or "." in first or ":" in first)
    return [image, untagged, rest if registry else untagged]


# ------------------------------------------------------------------------------------------------------------- refusals
def _check_accepted(world: World) -> None:
    """Raises ManifestError for objects that istiod's webhook would not let into a cluster."""
    refused = [finding for document in world.documents for finding in refusals(document, minor=world.minor)]
    if refused:
        listed = "\n".join(f"    {finding}" for finding in refused)
        raise ManifestError(
            f"no cluster would take these objects, so they do not run here either (`istio-chaos lint` says more):\n{listed}"
        )


def _check_pods(world: World) -> None:
    """Raises ManifestError for a service that selects nothing, not even a workload without replicas."""
    without = [d for d in world.documents if workloads.is_workload(d) and d.spec.get("replicas") == 0]
    empty = [(document.namespace, workloads.template_labels(document)) for document in without]
    for service in world.services:
        if service.kubernetes and service.selector and not world.pods_with(service.namespace, service.selector):
            if any(service.namespace == namespace and service.selector.items() <= labels.items() for namespace, labels in empty):
                continue  # its calls fail, as they would on a cluster, and somebody wrote that down
            labels = ", ".join(f"{k}={v}" for k, v in service.selector.items())
            raise ManifestError(
                f"{service.document.place('spec', 'selector')}: no pod in namespace {service.namespace} has {labels}; "
                "add its Deployment to local.manifests, or leave the Service out"
            )


def _check_subsets(world: World) -> None:
    """Raises ManifestError for a subset that no DestinationRule has: every call there would be answered with 503 NC."""
    for document in world.virtual_services:
        for path, destination in _destinations(document):
            _check_subset(world, document, path, destination)


def _destinations(document: Document) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    for protocol in ("http", "tcp", "tls"):
        for i, rule in enumerate(document.spec.get(protocol) or ()):
            for j, route in enumerate(rule.get("route") or ()):
                yield ("spec", protocol, i, "route", j, "destination"), route.get("destination") or {}
            if rule.get("mirror"):
                yield ("spec", protocol, i, "mirror"), rule["mirror"]
            for j, mirror in enumerate(rule.get("mirrors") or ()):
                yield ("spec", protocol, i, "mirrors", j, "destination"), mirror.get("destination") or {}


def _check_subset(world: World, document: Document, path: tuple[str | int, ...], destination: Mapping[str, Any]) -> None:
    subset = destination.get("subset")
    if not subset:
        return
    host = hosts.fully_qualified(str(destination.get("host", "")), document.namespace, world.mesh.domain)
    rules = [
        rule for rule in world.destination_rules
        if hosts.covers(hosts.fully_qualified(str(rule.spec.get("host", "")), rule.namespace, world.mesh.domain), host)
    ]  # fmt: skip
    known = {str(s.get("name")) for rule in rules for s in rule.spec.get("subsets") or ()}
    if subset not in known:
        place = document.place(*path, "subset")
        raise ManifestError(f"{place}: no DestinationRule for {host} has a subset {subset!r}{nearest(str(subset), known)}")


def _check_entry(world: World, topology: Topology) -> None:
    entry = topology.entry
    services = [s for s in offered_services(world) if s.kubernetes]
    here = {s.name: s for s in services if s.namespace == entry.namespace}
    if not here:
        known = {s.namespace for s in services}
        raise TopologyError(
            f"{topology.file}: entry.namespace: no service is in {entry.namespace!r}{nearest(entry.namespace, known)}"
        )
    service = here.get(entry.service)
    if service is None:
        missing = f"no service {entry.service!r} in namespace {entry.namespace}{nearest(entry.service, here)}"
        raise TopologyError(f"{topology.file}: entry.service: {missing}")
    port = service.port(entry.port)
    if port is None:
        numbers = ", ".join(str(p.number) for p in service.ports)
        raise TopologyError(f"{topology.file}: entry.port: service {entry.service} has no port {entry.port}; it has {numbers}")
    if not port.protocol.is_http_or_sniffed:
        raise TopologyError(
            f"{topology.file}: entry.port: port {entry.port} of {entry.service} is {port.protocol.value}, load is sent by HTTP; "
            "name the port http, http2 or grpc if that is what it speaks"
        )
