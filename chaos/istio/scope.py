"""What does one proxy see of the world? The services and VirtualServices it imports, by its Sidecar resource or the default.

Everything that is generated for a proxy starts from its `Scope`: clusters from `services`, routes from the listener that
an outbound port belongs to. Proxies of one namespace under one Sidecar share a Scope. Facts: istio
pilot/pkg/model/sidecar.go (with unified scoping, the default) and push_context.go.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from chaos.istio import hosts, virtualservices
from chaos.istio.documents import Document
from chaos.istio.hosts import EVERYONE, NOBODY, OWN_NAMESPACE
from chaos.istio.services import Protocol, Service, ServicePort, parse_protocol
from chaos.istio.virtualservices import MESH, VirtualService
from chaos.istio.world import Proxy, World

ANY_NAMESPACE = "*"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EgressListener:
    """One outbound listener group: a port of the Sidecar resource with its imports, or (port None) everything else."""

    services: tuple[Service, ...]
    virtual_services: tuple[VirtualService, ...]
    wildcard_owner: Mapping[str, VirtualService]
    """Service host -> the VirtualService with the most specific of the hosts that cover it."""
    port: ServicePort | None = None
    bind: str = ""
    capture_mode: str = "DEFAULT"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scope:
    namespace: str
    sidecar: Document | None
    egress: tuple[EgressListener, ...]
    services: tuple[Service, ...]
    """The union over all listeners, one per host, with what VirtualServices lead to."""
    services_by_host: Mapping[str, Service]
    outbound_mode: str
    """ALLOW_ANY or REGISTRY_ONLY: where calls to unknown hosts go."""
    egress_proxy: Mapping[str, Any] | None = None

    @property
    def ingress(self) -> tuple[Mapping[str, Any], ...]:
        """The Sidecar resource's `ingress` listeners; when there are any, they replace those of the services."""
        return tuple(self.sidecar.spec.get("ingress") or ()) if self.sidecar else ()

    def egress_for(self, port: int) -> EgressListener | None:
        """The listener group an outbound port belongs to: its own, or the catch-all one that stands last."""
        for listener in self.egress:
            if listener.port is None or listener.port.number == port:
                return listener
        return None


def scope_of(world: World, proxy: Proxy) -> Scope:
    """What `proxy` sees. Made once for all proxies of a namespace under one Sidecar resource."""
    return world.remember(("scope of", proxy.id), lambda: _scope_of(world, proxy))


def _scope_of(world: World, proxy: Proxy) -> Scope:
    if proxy.is_gateway:
        return world.remember(("scope", proxy.namespace, "gateway"), lambda: _gateway_scope(world, proxy.namespace))
    sidecar = sidecar_of(world, proxy)
    key = ("scope", proxy.namespace, sidecar.origin if sidecar else None)
    return world.remember(key, lambda: _sidecar_scope(world, proxy.namespace, sidecar))


def sidecar_of(world: World, proxy: Proxy) -> Document | None:
    """The Sidecar resource in force: own namespace with a matching selector, own without, root namespace without.

    Within each, the oldest (PushContext `getSidecarScope`).
    """
    own = [d for d in world.sidecars if d.namespace == proxy.namespace]
    for document in own:
        selector = document.spec.get("workloadSelector")
        if selector is not None and proxy.pod.has(selector.get("labels") or {}):
            return document
    root = [d for d in world.sidecars if d.namespace == world.mesh.root_namespace]
    return next((d for d in (*own, *root) if d.spec.get("workloadSelector") is None), None)


def services_visible_in(world: World, namespace: str) -> tuple[Service, ...]:
    """Every service exported to `namespace`: its private ones, those exported to it by name, public ones; each by age."""
    return world.remember(("visible services", namespace), lambda: _visible(world.services, namespace))


def service_seen_from(world: World, host: str, namespace: str) -> Service | None:
    """The service of that host as a namespace would pick it: its own, else the first visible one by namespace name."""
    candidates = _by_namespace(world.services_by_host.get(host, ()))
    if namespace in candidates:
        return candidates[namespace]
    visible = [ns for ns, s in candidates.items() if hosts.exported(s.export_to, s.namespace, namespace)]
    return candidates[min(visible)] if visible else None


# ------------------------------------------------------------------------------------------------------------ building
def _gateway_scope(world: World, namespace: str) -> Scope:
    """Gateways see every service exported to their namespace; Sidecar resources do not concern them."""
    union = _Union()
    for service in services_visible_in(world, namespace):
        union.add(service)
    return Scope(
        namespace=namespace,
        sidecar=None,
        egress=(),
        services=tuple(union.services),
        services_by_host=union.by_host(),
        outbound_mode=world.mesh.outbound_mode,
    )


def _sidecar_scope(world: World, namespace: str, sidecar: Document | None) -> Scope:
    spec = sidecar.spec if sidecar else {}
    written = spec.get("egress") or [{"hosts": ["*/*"]}]
    egress = tuple(_egress_listener(world, namespace, raw) for raw in written)
    union = _Union()
    for listener in egress:
        for service in listener.services:
            union.add(service)
        for service in _led_to(world, namespace, listener):
            union.add(service)
    policy = spec.get("outboundTrafficPolicy")
    return Scope(
        namespace=namespace,
        sidecar=sidecar,
        egress=egress,
        services=tuple(union.services),
        services_by_host=union.by_host(),
        outbound_mode=world.mesh.outbound_mode if policy is None else str(policy.get("mode") or "REGISTRY_ONLY"),
        egress_proxy=(policy or {}).get("egressProxy"),
    )


def _egress_listener(world: World, namespace: str, raw: Mapping[str, Any]) -> EgressListener:
    imports = _Imports(raw.get("hosts") or (), namespace)
    port = _port(raw.get("port"))
    only = port.number if port and port.number and port.protocol is not Protocol.HTTP_PROXY else None
    found = tuple(_select_services(services_visible_in(world, namespace), imports, only, namespace))
    chosen = tuple(vs for vs in virtualservices.bound_to(world, MESH, namespace) if imports.import_virtual_service(vs))
    return EgressListener(
        services=found,
        virtual_services=chosen,
        wildcard_owner=_wildcard_owners(chosen, found),
        port=port,
        bind=str(raw.get("bind") or ""),
        capture_mode=str(raw.get("captureMode") or "DEFAULT"),
    )


def _port(raw: Mapping[str, Any] | None) -> ServicePort | None:
    if not raw:
        return None
    number = int(raw.get("number") or 0)
    protocol = parse_protocol(str(raw.get("protocol") or ""))
    return ServicePort(name=str(raw.get("name") or ""), number=number, protocol=protocol, target=number)


class _Imports:
    """The `hosts` of an egress listener (`namespace/host`), asked host by host."""

    def __init__(self, written: Iterable[str], namespace: str) -> None:
        self.by_namespace: dict[str, list[str]] = defaultdict(list)
        for text in written:
            where, slash, host = str(text).partition("/")
            if slash:
                self.by_namespace[namespace if where == OWN_NAMESPACE else where].append(host)

    def _sets(self, namespace: str) -> Iterable[list[str]]:
        return (self.by_namespace[ns] for ns in (namespace, ANY_NAMESPACE) if ns in self.by_namespace)

    def trimmed(self, service: Service, only_port: int | None) -> Service | None:
        """`service` with the aliases and the port that are imported, or None."""
        for patterns in self._sets(service.namespace):
            if any(hosts.covers(pattern, service.hostname) for pattern in patterns):
                found = _with_port(service, only_port)
                if found is not None:
                    return _with_aliases(found, patterns)
        return None

    def import_virtual_service(self, service: VirtualService) -> bool:
        """For VirtualServices wildcards match both ways: `*.com` is imported by `a.com` too (`VSMatches`)."""
        return any(
            hosts.matches(host, pattern)
            for patterns in self._sets(service.namespace)
            for pattern in patterns
            for host in service.hosts
        )


def _with_port(service: Service, only: int | None) -> Service | None:
    if only is None:
        return service
    ports = tuple(port for port in service.ports if port.number == only)
    if not ports:
        return None
    return service if len(service.ports) == 1 else replace(service, ports=ports)


def _with_aliases(service: Service, patterns: list[str]) -> Service:
    kept = tuple(alias for alias in service.aliases if any(hosts.covers(pattern, alias) for pattern in patterns))
    return service if kept == service.aliases else replace(service, aliases=kept)


def _select_services(visible: Iterable[Service], imports: _Imports, only_port: int | None, namespace: str) -> Iterable[Service]:
    """The imported services; of one host in several namespaces those of one: the proxy's own, else the first seen,
    Kubernetes before ServiceEntries (istio `selectServices`).
    """
    found = [s for s in (imports.trimmed(service, only_port) for service in visible) if s is not None]
    owner: dict[str, Service] = {}
    for service in found:
        known = owner.get(service.hostname)
        preferred = service.kubernetes and known is not None and not known.kubernetes and known.namespace != namespace
        if known is None or service.namespace == namespace or preferred:
            owner[service.hostname] = service
    return [service for service in found if owner[service.hostname].namespace == service.namespace]


def _wildcard_owners(chosen: Iterable[VirtualService], found: Iterable[Service]) -> Mapping[str, VirtualService]:
    """istio `computeWildcardHostVirtualServiceIndex`: of equal hosts the first VirtualService counts."""
    by_host: dict[str, VirtualService] = {}
    for service in chosen:
        for host in service.hosts:
            by_host.setdefault(host, service)
    has_wildcards = any(map(hosts.is_wildcard, by_host))
    owners: dict[str, VirtualService] = {}
    for target in found:
        name = target.hostname
        if name in by_host:
            owners[name] = by_host[name]
        elif has_wildcards:
            covering = (pattern for pattern in hosts.wildcards_over(name) if pattern in by_host)
            owners.update((name, by_host[pattern]) for pattern in itertools.islice(covering, 1))
    return owners


def _led_to(world: World, namespace: str, listener: EgressListener) -> Iterable[Service]:
    """What the imported VirtualServices lead to, although no egress host may name it (`collectImportedServices`)."""
    only = listener.port.number if listener.port and listener.port.protocol is not Protocol.HTTP_PROXY else None
    for virtual_service in listener.virtual_services:
        wanted: dict[str, set[int]] = defaultdict(set)
        for rule, destination in virtualservices.destinations(virtual_service):
            if _from_namespace(rule, namespace):
                wanted[str(destination["host"])].add(int((destination.get("port") or {}).get("number") or 0))
        for host, numbers in wanted.items():
            service = service_seen_from(world, host, namespace)
            if service is None:
                continue
            trimmed = _with_port(service, only) if only else _with_ports(service, numbers)
            if trimmed is not None:
                yield trimmed


def _from_namespace(rule: Mapping[str, Any], namespace: str) -> bool:
    """Can a client of `namespace` meet this rule? Not if every match names another sourceNamespace."""
    matches = rule.get("match") or []
    return not matches or any((m or {}).get("sourceNamespace") in (None, "", namespace) for m in matches)


def _with_ports(service: Service, numbers: set[int]) -> Service | None:
    """Only the ports that are led to; 0 stands for all of them."""
    if 0 in numbers:
        return service
    ports = tuple(port for port in service.ports if port.number in numbers)
    if not ports:
        return None
    return service if len(ports) == len(service.ports) else replace(service, ports=ports)


class _Union:
    """One service per host: the first; a Kubernetes one replaces a ServiceEntry; parts of one service join their ports."""

    def __init__(self) -> None:
        self.services: list[Service] = []
        self._position: dict[str, int] = {}

    def add(self, service: Service) -> None:
        at = self._position.get(service.hostname)
        if at is None:
            self._position[service.hostname] = len(self.services)
            self.services.append(service)
            return
        known = self.services[at]
        if service is known or (known.kubernetes and not service.kubernetes):
            return
        if service.kubernetes and not known.kubernetes:
            self.services[at] = service
        elif _joinable(known, service):
            numbers = {port.number for port in known.ports}
            added = tuple(port for port in service.ports if port.number not in numbers)
            if added:
                self.services[at] = replace(known, ports=known.ports + added)

    def by_host(self) -> Mapping[str, Service]:
        return {service.hostname: service for service in self.services}


def _joinable(one: Service, other: Service) -> bool:
    return (
        one.namespace == other.namespace
        and one.resolution == other.resolution
        and one.labels == other.labels
        and one.selector == other.selector
        and one.export_to == other.export_to
    )


def _by_namespace(same_host: Iterable[Service]) -> dict[str, Service]:
    """Of each namespace the oldest, a Kubernetes one before any other (PushContext `ServiceIndex`)."""
    found: dict[str, Service] = {}
    for service in same_host:
        known = found.get(service.namespace)
        if known is None or (service.kubernetes and not known.kubernetes):
            found[service.namespace] = service
    return found


def _visible(everything: Iterable[Service], namespace: str) -> tuple[Service, ...]:
    private, named, public = [], [], []
    for service in everything:
        if EVERYONE in service.export_to:
            public.append(service)
        elif NOBODY not in service.export_to:
            own = service.namespace == namespace
            if own and (OWN_NAMESPACE in service.export_to or namespace in service.export_to):
                private.append(service)
            elif namespace in service.export_to:
                named.append(service)
    return (*private, *named, *public)
