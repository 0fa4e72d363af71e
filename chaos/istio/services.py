"""What can be called? Services as Istio's registry sees them, from Kubernetes Services and from ServiceEntries.

One `Service` per host name and object. Which of several same-named ones a proxy sees is decided later, per proxy
(`scope`); which endpoints stand behind it is the business of the Envoy side.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from chaos.istio.documents import Document
from chaos.istio.hosts import DOMAIN

EXPORT_TO = "networking.istio.io/exportTo"
TRAFFIC_DISTRIBUTION = "networking.istio.io/traffic-distribution"


class Protocol(enum.Enum):
    """What a port speaks, by Istio's names (istio pkg/config/protocol). AUTO is sniffed by the proxy."""

    HTTP = "HTTP"
    HTTP2 = "HTTP2"
    HTTP_PROXY = "HTTP_PROXY"
    GRPC = "GRPC"
    GRPC_WEB = "GRPC-Web"
    HTTPS = "HTTPS"
    TLS = "TLS"
    TCP = "TCP"
    MONGO = "Mongo"
    REDIS = "Redis"
    MYSQL = "MySQL"
    UDP = "UDP"
    HBONE = "HBONE"
    AUTO = "UnsupportedProtocol"

    @property
    def is_http(self) -> bool:
        return self in _HTTP

    @property
    def is_http2(self) -> bool:
        return self in _HTTP2

    @property
    def is_grpc(self) -> bool:
        return self is Protocol.GRPC

    @property
    def is_http_or_sniffed(self) -> bool:
        return self in _HTTP or self is Protocol.AUTO

    @property
    def is_tls(self) -> bool:
        return self in (Protocol.HTTPS, Protocol.TLS)


_HTTP2 = frozenset({Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB})
_HTTP = _HTTP2 | {Protocol.HTTP, Protocol.HTTP_PROXY}
_BY_NAME = {p.value.lower(): p for p in Protocol} | {"grpc-web-text": Protocol.GRPC_WEB}
# appProtocol values with a meaning of their own (istio pkg/config/kube `ConvertProtocol`).
_APP_PROTOCOLS = {"kubernetes.io/h2c": Protocol.HTTP2, "kubernetes.io/ws": Protocol.HTTP, "kubernetes.io/wss": Protocol.HTTPS}
# Server-first protocols would hang while being sniffed: SMTP, DNS, MySQL, MongoDB (istio pkg/config/kube).
_NEVER_SNIFFED = frozenset({25, 53, 3306, 27017})


class Resolution(enum.Enum):
    """How endpoints are found (istio pilot/pkg/model `Resolution`)."""

    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"
    NONE = "NONE"
    ALIAS = "ALIAS"


_RESOLUTIONS = {"STATIC": Resolution.STATIC, "DNS": Resolution.DNS, "DNS_ROUND_ROBIN": Resolution.DNS_ROUND_ROBIN}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort:
    name: str
    number: int
    protocol: Protocol
    target: int | str
    """Port number at the endpoint, or the name of a container port."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Service:
    """One host of the registry. `addresses` are its VIPs: cluster IP, or the `addresses` of a ServiceEntry; empty if headless."""

    hostname: str
    name: str
    namespace: str
    ports: tuple[ServicePort, ...]
    resolution: Resolution
    document: Document
    selector: Mapping[str, str] | None = None
    addresses: tuple[str, ...] = ()
    headless: bool = False
    external_name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    export_to: frozenset[str] = frozenset({"*"})
    mesh_external: bool = False
    kubernetes: bool = True
    """From a Kubernetes Service, not from a ServiceEntry."""
    endpoints: tuple[Mapping[str, Any], ...] = ()
    """The inline `endpoints` of a ServiceEntry, as written."""
    aliases: tuple[str, ...] = ()
    """Hosts of ExternalName services that mean this one."""
    traffic_distribution: str | None = None
    subject_alt_names: tuple[str, ...] = ()
    publish_not_ready: bool = False

    @property
    def created(self) -> str:
        return created(self.document)

    def port(self, number: int) -> ServicePort | None:
        return next((p for p in self.ports if p.number == number), None)


def with_aliases(found: list[Service]) -> list[Service]:
    """Every service knows the ExternalName services that lead to it, over several steps too; a loop leads nowhere.

    istio pilot/pkg/model/push_context.go `resolveServiceAliases`.
    """
    target = {s.hostname: s.external_name for s in found if s.external_name}
    aliases: dict[str, list[str]] = {}
    for host in sorted(target):
        end, seen = host, set()
        while end in target and end not in seen:
            seen.add(end)
            end = str(target[end])
        if end not in target:
            aliases.setdefault(end, []).append(host)
    return [replace(s, aliases=tuple(aliases[s.hostname])) if s.hostname in aliases else s for s in found]


def created(document: Document) -> str:
    """creationTimestamp, sortable as text; an object without one is the newest, as if it were applied now."""
    return str(document.metadata.get("creationTimestamp") or "9999")


def seniority(service: Service) -> tuple[str, bool, str]:
    """Sort key of services: creation, Kubernetes before ServiceEntries, name (pilot/pkg/model `SortServicesByCreationTime`)."""
    return (service.created, not service.kubernetes, f"{service.name}.{service.namespace}")


def age(document: Document) -> tuple[str, str, str]:
    """Sort key of Istio's configuration objects: creation, name, namespace (pilot/pkg/model `sortConfigByCreationTime`)."""
    return (created(document), document.name, document.namespace)


def protocol_of(number: int, name: str, app_protocol: str | None, transport: str = "TCP") -> Protocol:
    """A Kubernetes port's protocol: appProtocol, the name up to the first `-`, or sniffed (pkg/config/kube/conversion.go)."""
    if transport == "UDP":
        return Protocol.UDP
    if app_protocol is not None and app_protocol.lower() in _APP_PROTOCOLS:
        return _APP_PROTOCOLS[app_protocol.lower()]
    text = app_protocol if app_protocol is not None else name
    known = parse_protocol(text)
    if known is Protocol.AUTO and app_protocol is None:
        known = Protocol.GRPC_WEB if name.lower().startswith("grpc-web") else parse_protocol(name.split("-", 1)[0])
    elif known is Protocol.AUTO and app_protocol is not None:
        known = Protocol.GRPC_WEB if app_protocol.lower().startswith("grpc-web") else parse_protocol(app_protocol.split("-", 1)[0])
    if known is Protocol.AUTO and number in _NEVER_SNIFFED:
        return Protocol.TCP
    return known


def parse_protocol(text: str) -> Protocol:
    """Istio's protocol names in any case; anything else is sniffed."""
    return _BY_NAME.get(text.lower(), Protocol.AUTO)


def from_kubernetes(document: Document, address: str, default_export_to: Collection[str], domain: str = DOMAIN) -> Service:
    """`address` is the cluster IP to use where the manifest names none."""
    spec = document.spec
    annotations = document.metadata.get("annotations") or {}
    external = spec.get("externalName") if spec.get("type") == "ExternalName" else None
    headless = spec.get("clusterIP") == "None"
    named = [a for a in spec.get("clusterIPs") or [spec.get("clusterIP")] if a and a != "None"]
    named = [a for a in named if ":" not in a] or named  # proxies of one family take its addresses alone
    exports = frozenset(part.strip() for part in str(annotations.get(EXPORT_TO, "")).split(",") if part.strip())
    distribution = spec.get("trafficDistribution") or annotations.get(TRAFFIC_DISTRIBUTION)
    resolution = Resolution.ALIAS if external else Resolution.NONE if headless else Resolution.STATIC
    return Service(
        hostname=f"{document.name}.{document.namespace}.svc.{domain}",
        name=document.name,
        namespace=document.namespace,
        ports=tuple(_kubernetes_port(port) for port in spec.get("ports") or ()),
        resolution=resolution,
        document=document,
        selector={str(key): str(value) for key, value in (spec.get("selector") or {}).items()} or None,
        addresses=() if headless or external else tuple(named or [address]),
        headless=headless,
        external_name=external,
        labels=document.metadata.get("labels") or {},
        annotations=annotations,
        export_to=exports or frozenset(default_export_to),
        traffic_distribution=distribution,
        publish_not_ready=bool(spec.get("publishNotReadyAddresses")),
    )


def _kubernetes_port(raw: Mapping[str, Any]) -> ServicePort:
    number, name = int(raw.get("port") or 0), str(raw.get("name") or "")
    return ServicePort(
        name=name,
        number=number,
        protocol=protocol_of(number, name, raw.get("appProtocol"), str(raw.get("protocol") or "TCP")),
        target=raw.get("targetPort") or number,
    )


def from_service_entry(document: Document, default_export_to: Collection[str]) -> Iterator[Service]:
    """One Service per host (istio pilot/pkg/serviceregistry/serviceentry `convertServices`); hosts are taken as they are."""
    spec = document.spec
    resolution = _RESOLUTIONS.get(str(spec.get("resolution")), Resolution.NONE)
    for host in spec.get("hosts") or ():
        yield Service(
            hostname=str(host),
            name=document.name,
            namespace=document.namespace,
            ports=tuple(_entry_port(port) for port in spec.get("ports") or ()),
            resolution=resolution,
            document=document,
            selector=(spec.get("workloadSelector") or {}).get("labels") or None,
            addresses=tuple(map(str, spec.get("addresses") or ())),
            labels=document.metadata.get("labels") or {},
            annotations=document.metadata.get("annotations") or {},
            export_to=frozenset(map(str, spec.get("exportTo") or default_export_to)),
            mesh_external=(spec.get("location") or "MESH_EXTERNAL") == "MESH_EXTERNAL",
            kubernetes=False,
            endpoints=tuple(spec.get("endpoints") or ()),
            traffic_distribution=(document.metadata.get("annotations") or {}).get(TRAFFIC_DISTRIBUTION),
            subject_alt_names=tuple(map(str, spec.get("subjectAltNames") or ())),
        )


def _entry_port(raw: Mapping[str, Any]) -> ServicePort:
    number = int(raw.get("number") or 0)
    return ServicePort(
        name=str(raw.get("name") or ""),
        number=number,
        protocol=parse_protocol(str(raw.get("protocol") or "")),
        target=int(raw.get("targetPort") or number),
    )
