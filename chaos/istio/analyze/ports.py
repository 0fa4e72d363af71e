"""What does `istioctl analyze` find in the ports of Services and ServiceEntries?

Sources: istio pkg/config/analysis/analyzers/service, /deployment, /serviceentry, /conditions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from chaos.istio.analyze.cluster import SYSTEM_NAMESPACES, Cluster, is_control_plane, mapping, mappings, texts
from chaos.istio.documents import Document
from chaos.istio.findings import Finding, Level, about
from chaos.istio.services import Protocol, protocol_of

_WAYPOINT = {"gateway.istio.io/managed": "istio.io-mesh-controller"}


def names(cluster: Cluster) -> Iterator[Finding]:
    """IST0118: a port whose protocol must be sniffed. IST0150: the same for an ExternalName, where that does not work."""
    for service in cluster.world.of_kind("Service", ""):
        if service.namespace in SYSTEM_NAMESPACES or is_control_plane(texts(service.metadata.get("labels"))):
            continue
        external = service.spec.get("type") == "ExternalName"
        for index, port in enumerate(mappings(service.spec.get("ports"))):
            if _protocol(port) is Protocol.AUTO or (external and port.get("name") == "tcp"):
                at = ("spec", "ports", index)
                yield _external_name(service, at) if external else _unclear(service, port, at)


def _protocol(port: Mapping[str, Any]) -> Protocol:
    number, app_protocol = port.get("port"), port.get("appProtocol")
    return protocol_of(
        number if isinstance(number, int) else 0,
        str(port.get("name") or ""),
        None if app_protocol is None else str(app_protocol),
        str(port.get("protocol") or "TCP"),
    )


def _unclear(service: Document, port: Mapping[str, Any], at: tuple[str | int, ...]) -> Finding:
    why = (
        f"Port name {port.get('name', '')} (port: {port.get('port')}, targetPort: {_target(port)}) doesn't follow the "
        "naming convention of Istio port."
    )
    return about(service, "IST0118", Level.INFO, why, *at)


def _external_name(service: Document, at: tuple[str | int, ...]) -> Finding:
    why = (
        "Port name for ExternalName service is invalid. Proxy may prevent tcp named ports and unmatched traffic for ports "
        "serving TCP protocol from being forwarded correctly"
    )
    return about(service, "IST0150", Level.WARNING, why, *at)


def _target(port: Mapping[str, Any]) -> str:
    """The API server sets the target port to the port where it is missing."""
    return str(port.get("targetPort") or port.get("port"))


def deployments(cluster: Cluster) -> Iterator[Finding]:
    """IST0116: one port, two transport protocols. IST0137: one target port, two ports."""
    for deployment in cluster.world.of_kind("Deployment", "apps"):
        template = mapping(deployment.spec.get("template"))
        labels, annotations = (texts(mapping(template.get("metadata")).get(part)) for part in ("labels", "annotations"))
        containers = mappings(mapping(template.get("spec")).get("containers"))
        waypoint = _WAYPOINT.items() <= texts(deployment.metadata.get("labels")).items()
        if not waypoint and cluster.is_injected(deployment.namespace, labels, annotations, containers):
            yield from _ports_of(deployment, _services_before(cluster, deployment.namespace, labels))


def _services_before(cluster: Cluster, namespace: str, labels: Mapping[str, str]) -> list[Document]:
    found = (service for service in cluster.world.of_kind("Service", "") if service.namespace == namespace)
    selectors = ((service, texts(service.spec.get("selector"))) for service in found)
    return [service for service, selector in selectors if selector and selector.items() <= labels.items()]


def _ports_of(deployment: Document, services: list[Document]) -> Iterator[Finding]:
    protocols: dict[Any, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    targets: dict[str, dict[Any, str]] = defaultdict(dict)
    for service in services:
        name = f"{service.namespace}/{service.name}"
        for port in mappings(service.spec.get("ports")):
            if not isinstance(port.get("port"), int | str):
                continue  # not a Service that a cluster would take
            protocols[port.get("port")][str(port.get("protocol") or "TCP")].append(name)
            targets[_target(port)][port.get("port")] = name
    for number, by_protocol in protocols.items():
        if len(by_protocol) > 1:
            involved = sorted(name for same in by_protocol.values() for name in same)
            why = (
                f"This deployment {deployment.name} is associated with multiple services using port {number} but different "
                f"protocols: [{' '.join(involved)}]"
            )
            yield about(deployment, "IST0116", Level.WARNING, why)
    for target, by_port in targets.items():
        if len(by_port) > 1:
            why = (
                f"This deployment {deployment.name} is associated with multiple services "
                f'[{" ".join(sorted(by_port.values()))}] using targetPort "{target}" but different ports: '
                f"[{' '.join(map(str, sorted(by_port, key=str)))}]."
            )
            yield about(deployment, "IST0137", Level.WARNING, why)


def addresses(cluster: Cluster) -> Iterator[Finding]:
    """IST0134: TCP to a ServiceEntry without an address is told from other TCP by nothing but its port."""
    metadata = mapping(cluster.world.mesh.proxy_config.get("proxyMetadata"))
    made_up = ("ISTIO_META_DNS_AUTO_ALLOCATE", "PILOT_ENABLE_IP_AUTOALLOCATE")
    if _is_true(metadata.get("ISTIO_META_DNS_CAPTURE")) and any(_is_true(metadata.get(name)) for name in made_up):
        return
    for entry in cluster.of("ServiceEntry"):
        given = entry.spec["addresses"] or mappings(mapping(entry.document.raw.get("status")).get("addresses"))
        for port in entry.spec["ports"] if not given else ():
            if port["protocol"].upper() in ("", "TCP"):
                yield entry.finding("IST0134", Level.WARNING, "ServiceEntry addresses are required for this protocol.", *port.path)


def _is_true(value: object) -> bool:
    return str(value).lower() == "true"


def conditions(cluster: Cluster) -> Iterator[Finding]:
    """IST0171: what a controller has written into the status of an object that was read back from a cluster."""
    for document in cluster.world.documents:
        if (document.kind, document.group) in _WITH_CONDITIONS:
            for condition in mappings(mapping(document.raw.get("status")).get("conditions")):
                if condition.get("status") == "False":
                    why = (
                        f'The condition "{condition.get("type")}" is negative, reason: {condition.get("reason")}, '
                        f"message: {condition.get('message')}."
                    )
                    yield about(document, "IST0171", Level.WARNING, why, "status", "conditions")


_WITH_CONDITIONS = {("Service", ""), ("ServiceEntry", "networking.istio.io"), ("AuthorizationPolicy", "security.istio.io")}
ANALYZERS = (names, deployments, addresses, conditions)
