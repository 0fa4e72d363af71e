"""Which workloads stand behind a service?

The registry side of endpoints: pods and WorkloadEntries that a selector picks, the inline endpoints of ServiceEntries, the
host itself where a ServiceEntry is resolved by DNS. `chaos.envoy.endpoints` groups, weighs and orders them for one client;
`targets` is the way back, from a pod to the ports it serves.

Facts: istio pilot/pkg/serviceregistry/serviceentry/conversion.go and serviceregistry/kube/controller.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.istio.documents import Document
from chaos.istio.services import Resolution, Service, ServicePort
from chaos.istio.workloads import Pod
from chaos.istio.world import World

UNIX = "unix://"
CLUSTER = "Kubernetes"
REGION = "topology.kubernetes.io/region"
ZONE = "topology.kubernetes.io/zone"
SUBZONE = "topology.istio.io/subzone"
NODE = "kubernetes.io/hostname"
NETWORK = "topology.istio.io/network"
_CLUSTER_LABEL = "topology.istio.io/cluster"
_LOCALITY_LABEL = "istio-locality"
_SLICE_OF = "kubernetes.io/service-name"
_DNS = frozenset({Resolution.DNS, Resolution.DNS_ROUND_ROBIN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One address behind a service port."""

    address: str
    """IP address, host name, or the path of a Unix socket (then `port` is 0)."""
    port: int
    labels: Mapping[str, str]
    """With the topology labels that istiod adds to the workload's own."""
    locality: str = ""
    """`region/zone/subzone`, as istiod writes it: endpoints of equal text share a group."""
    weight: int = 1
    ready: bool = False
    """Kubernetes vouches for it; the health of anything else is unknown."""
    node: str = ""


def instances(world: World, service: Service, port: ServicePort) -> tuple[Instance, ...]:
    """Everything behind one port of a service, whatever the client: of every service of that host and namespace.

    Istio keys endpoints by host and namespace, so that several ServiceEntries, or one beside a Kubernetes Service, add up;
    their ports meet by name.
    """
    key = ("instances", service.hostname, service.namespace, port.name, port.number)
    return world.remember(key, lambda: tuple(_of_all(world, service, port)))


def is_ip(address: str) -> bool:
    """An IP address, not a host name or a socket."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def locality_label(pod: Pod) -> str:
    """The label `istio-locality` (dots for slashes), else the node's place (pilot/pkg/serviceregistry/kube `getPodLocality`)."""
    own = pod.labels.get(_LOCALITY_LABEL, "")
    if own:
        return own if "/" in own else own.replace(".", "/")
    place = pod.locality
    return f"{place.region}/{place.zone}/{place.subzone}" if place else ""


def with_topology(labels: Mapping[str, str], locality: str, node: str = "", network: str = "") -> dict[str, str]:
    """The labels istiod sees on a workload or proxy (serviceregistry/util/label `AugmentLabels`)."""
    region, zone, subzone, *_ = [*locality.split("/"), "", ""]
    added = {REGION: region, ZONE: zone, SUBZONE: subzone, _CLUSTER_LABEL: CLUSTER, NODE: node}
    out = {**labels, **{key: value for key, value in added.items() if value}}
    if network:
        out.setdefault(NETWORK, network)
    return out


def _of_all(world: World, service: Service, port: ServicePort) -> Iterator[Instance]:
    for same in world.services_by_host.get(service.hostname, ()):
        if same.namespace == service.namespace:
            for own in same.ports:
                if own.name == port.name and (port.name or own.number == port.number):
                    yield from _of_one(world, same, own)


def _of_one(world: World, service: Service, port: ServicePort) -> Iterator[Instance]:
    if service.kubernetes:
        yield from _of_kubernetes(world, service, port)
        return
    # An entry with two addresses counts as two services of one name: each brings every endpoint along.
    found = tuple(_of_entry(world, service, port))
    for _ in range(max(1, len(service.addresses))):
        yield from found


def _of_kubernetes(world: World, service: Service, port: ServicePort) -> Iterator[Instance]:
    if not service.selector:
        yield from _listed(world, service, port)
        return
    for pod in world.pods_with(service.namespace, service.selector):
        number = pod.target_port(port.target)
        if number is not None:
            yield _of_pod(pod, number)
    for entry in _workload_entries(world, service):
        number = _port_of_entry_for_kubernetes(entry.spec, port)
        address = str(entry.spec.get("address") or "")
        # Neither host names nor sockets can stand behind a Kubernetes Service.
        if number is not None and is_ip(address):
            yield _of_workload(entry.spec, address, number)


def _listed(world: World, service: Service, port: ServicePort) -> Iterator[Instance]:
    """A Service without a selector: what its EndpointSlices or its Endpoints object list, ports by name."""
    for document in world.of_kind("EndpointSlice"):
        labels = document.metadata.get("labels") or {}
        if document.namespace == service.namespace and labels.get(_SLICE_OF) == service.name:
            entries = [e for e in document.raw.get("endpoints") or () if (e.get("conditions") or {}).get("ready") is not False]
            addresses = [str(address) for entry in entries for address in entry.get("addresses") or ()]
            yield from _listed_in(addresses, document.raw.get("ports") or (), port)
    for document in world.of_kind("Endpoints", ""):
        if (document.namespace, document.name) == (service.namespace, service.name):
            for subset in document.raw.get("subsets") or ():
                addresses = [str(entry.get("ip")) for entry in subset.get("addresses") or ()]
                yield from _listed_in(addresses, subset.get("ports") or (), port)


def _listed_in(addresses: Sequence[str], ports: Sequence[Mapping[str, Any]], port: ServicePort) -> Iterator[Instance]:
    number = next((int(p.get("port") or 0) for p in ports if str(p.get("name") or "") == port.name), None)
    if number is not None:
        for address in addresses:
            yield Instance(address=address, port=number, labels=with_topology({}, ""), ready=True)


def _of_entry(world: World, service: Service, port: ServicePort) -> Iterator[Instance]:
    target = int(port.target)
    if service.selector:
        for pod in world.pods_with(service.namespace, service.selector):
            yield _of_pod(pod, target)
        for document in _workload_entries(world, service):
            yield _of_inline(document.spec, port)
    elif service.endpoints:
        for endpoint in service.endpoints:
            yield _of_inline(endpoint, port)
    elif service.resolution in _DNS:
        yield Instance(address=service.hostname, port=target, labels={})


def _of_pod(pod: Pod, port: int) -> Instance:
    place = locality_label(pod)
    return Instance(
        address=pod.ip, port=port, labels=with_topology(pod.labels, place, pod.node), locality=place, ready=True, node=pod.node
    )


def _of_inline(endpoint: Mapping[str, Any], port: ServicePort) -> Instance:
    """A WorkloadEntry: its own port of that name, else the entry's targetPort, else the service port."""
    address = str(endpoint.get("address") or "")
    if address.startswith(UNIX):
        return _of_workload(endpoint, address.removeprefix(UNIX), 0)
    own = (endpoint.get("ports") or {}).get(port.name)
    return _of_workload(endpoint, address, int(own or port.target))


def _of_workload(endpoint: Mapping[str, Any], address: str, port: int) -> Instance:
    labels = {str(k): str(v) for k, v in (endpoint.get("labels") or {}).items()}
    marked = labels.get(_LOCALITY_LABEL, "")
    place = str(endpoint.get("locality") or "") or (marked if "/" in marked else marked.replace(".", "/"))
    return Instance(
        address=address,
        port=port,
        labels=with_topology(labels, place, network=str(endpoint.get("network") or "")),
        locality=place,
        weight=max(1, int(endpoint.get("weight") or 0)),
    )


def _workload_entries(world: World, service: Service) -> Sequence[Document]:
    wanted = {str(k): str(v) for k, v in (service.selector or {}).items()}.items()
    return [
        entry
        for entry in world.workload_entries
        if entry.namespace == service.namespace
        and wanted <= {str(k): str(v) for k, v in (entry.spec.get("labels") or {}).items()}.items()
    ]


def _port_of_entry_for_kubernetes(entry: Mapping[str, Any], port: ServicePort) -> int | None:
    """A named targetPort must be among the entry's ports; a number is overridden by the entry's port of the service port's name."""
    ports = entry.get("ports") or {}
    if isinstance(port.target, str) and not port.target.isdigit():
        return int(ports[port.target]) if ports.get(port.target) else None
    return int(ports.get(port.name) or port.target)
