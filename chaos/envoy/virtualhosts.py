"""Which hosts does an outbound port of a sidecar know, and what do they do? One route configuration per HTTP port.

A caller reaches a virtual host by the `Host` it sends; what no virtual host claims goes to the catch-all at the end. Facts:
istio pilot/pkg/networking/core/httproute.go (`BuildSidecarOutboundVirtualHosts`, `generateVirtualHostDomains`) and RT
`BuildSidecarVirtualHostWrapper`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from chaos.envoy.configuration import Resource
from chaos.envoy.hashing import hash_of_service
from chaos.envoy.naming import PASSTHROUGH, outbound_cluster
from chaos.envoy.proxyconfig import disabled, proxy_headers, tells_forwarded_host
from chaos.envoy.routes import NO_TIMEOUT, Route, RouteContext, default_route, routes_of
from chaos.istio import hosts
from chaos.istio.destinationrules import DestinationRule
from chaos.istio.scope import EgressListener, Scope
from chaos.istio.services import Protocol, Resolution, Service
from chaos.istio.virtualservices import MESH, VirtualService
from chaos.istio.world import Proxy, World

RuleOf = Callable[[str], DestinationRule | None]
HTTP_PROXY = "http_proxy"
_HTTP_PORT = 80
_UNSPECIFIED = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """Routes with the services and foreign hosts they are for, at one service port."""

    port: int
    services: tuple[Service, ...]
    hosts: tuple[str, ...]
    routes: list[Route]


def outbound_routes(world: World, proxy: Proxy, scope: Scope, name: str, rule_of: RuleOf) -> Resource:
    """The route configuration `name`.

    A port (`9080`), `host:port` for a port whose protocol is sniffed, or `http_proxy`, which knows every port of every service.
    """
    host, sniffed, number = name.rpartition(":")
    port = 0 if name == HTTP_PROXY else int(number)
    listener = scope.egress_for(port)
    virtual_hosts = _virtual_hosts(world, proxy, listener, port, rule_of) if listener else []
    counted = attempts_counted(world, proxy)
    for virtual_host in virtual_hosts:
        if counted:
            virtual_host["include_request_attempt_count"] = True
    if sniffed:
        virtual_hosts = _only(host, name, virtual_hosts)
    virtual_hosts.sort(key=lambda virtual_host: str(virtual_host["name"]))
    if not sniffed:
        virtual_hosts.append(_catch_all(scope, counted))
    return route_configuration(name, virtual_hosts)


def route_configuration(name: str, virtual_hosts: Sequence[Resource]) -> Resource:
    """What every route configuration of istiod has, at gateways too."""
    return {
        "name": name,
        "virtual_hosts": list(virtual_hosts),
        "validate_clusters": False,
        "ignore_port_in_host_matching": True,
        "max_direct_response_body_size_bytes": 1024 * 1024,
    }


def attempts_counted(world: World, proxy: Proxy) -> bool:
    """x-envoy-attempt-count goes upstream unless `proxyHeaders.attemptCount` switches it off."""
    return not disabled(proxy_headers(world, proxy.pod), "attemptCount")


def _virtual_hosts(world: World, proxy: Proxy, listener: EgressListener, port: int, rule_of: RuleOf) -> list[Resource]:
    if listener.port is not None and listener.port.protocol is Protocol.HTTP_PROXY:
        port = 0
    here = _on_port(listener.services, port) if port else {service.hostname: service for service in listener.services}
    context = RouteContext(
        proxy=proxy,
        mesh=world.mesh,
        minor=world.minor,
        port=port,
        gateway=MESH,
        service_of=here.get,
        rule_of=rule_of,
        tells_forwarded_host=tells_forwarded_host(world, proxy.pod),
    )
    claims = list(_claims(listener, here, port, context))
    taken = {service.hostname for claim in claims for service in claim.services}
    claims += _unclaimed(here, taken, context)
    found = _without_duplicates(claims, proxy.namespace, world, with_ports=not port)
    return found if port else _for_proxy_clients(found)


def _on_port(services: Iterable[Service], port: int) -> dict[str, Service]:
    """The services that listen on `port`, with this port only."""
    found: dict[str, Service] = {}
    for service in services:
        listening = service.port(port)
        if listening is not None:
            host = service.hostname.lower()
            same = len(service.ports) == 1 and host == service.hostname
            found[host] = service if same else replace(service, hostname=host, ports=(listening,))
    return found


def _claims(listener: EgressListener, here: Mapping[str, Service], port: int, context: RouteContext) -> Iterable[_Claim]:
    """Per VirtualService, in order: one without a rule for this caller and port claims nothing.

    Only port 80 knows hosts of VirtualServices that have no service there (istio: "a gross HACK").
    """
    wildcards = [host for host in here if hosts.is_wildcard(host)]
    for virtual_service in listener.virtual_services:
        if port != _HTTP_PORT and not _names_any(virtual_service, here, wildcards):
            continue
        routes = routes_of(virtual_service, context)
        if not routes:
            continue
        foreign, services = _hosts_and_services(virtual_service, here, listener)
        by_port: dict[int, list[Service]] = {}
        for service in services:
            for service_port in service.ports:
                if service_port.protocol.is_http_or_sniffed:
                    by_port.setdefault(service_port.number, []).append(service)
        if not by_port and port == _HTTP_PORT:
            by_port[port] = []
        for number, speaking in by_port.items():
            yield _Claim(port=number, services=tuple(speaking), hosts=foreign, routes=routes)


def _names_any(virtual_service: VirtualService, here: Mapping[str, Service], wildcards: Sequence[str]) -> bool:
    """`wildcards` are those of the services here; looking at them alone keeps the common case a few look-ups."""
    for host in virtual_service.hosts:
        name = host.lower()
        if name in here or any(hosts.matches(name, service) for service in (here if hosts.is_wildcard(name) else wildcards)):
            return True
    return False


def _hosts_and_services(
    virtual_service: VirtualService, here: Mapping[str, Service], listener: EgressListener
) -> tuple[tuple[str, ...], list[Service]]:
    """(hosts without a service here, services meant). A wildcard means those it is the most specific one for."""
    foreign, services = [], []
    written = [host.lower() for host in virtual_service.hosts]
    for host in written:
        if hosts.is_wildcard(host):
            continue
        if host in here:
            services.append(here[host])
        else:
            foreign.append(host)
    for host in filter(hosts.is_wildcard, written):
        covered = [service for name, service in here.items() if hosts.matches(name, host)]
        services += [s for s in covered if listener.wildcard_owner.get(s.hostname) is virtual_service]
        if not covered:
            foreign.append(host)
    return tuple(foreign), list({service.hostname: service for service in services}.values())


def _unclaimed(here: Mapping[str, Service], taken: set[str], context: RouteContext) -> Iterable[_Claim]:
    for host, service in here.items():
        if host in taken or service.resolution is Resolution.ALIAS:
            continue
        for port in service.ports:
            if port.protocol.is_http_or_sniffed:
                hashed = hash_of_service(context.rule_of(host), port.number)
                route = default_route(outbound_cluster(port.number, "", host), context, hashed)
                yield _Claim(port=port.number, services=(service,), hosts=(), routes=[route])


def _without_duplicates(claims: Sequence[_Claim], namespace: str, world: World, *, with_ports: bool) -> list[Resource]:
    """The first claim of a name or domain keeps it; a later virtual host loses the domain, or all of itself."""
    names: set[str] = set()
    domains: set[str] = set()
    known = {host for c in claims for service in c.services for host in (service.hostname, f"{service.hostname}:{c.port}")}
    virtual_hosts: list[Resource] = []

    def add(host: str, port: int, wanted: Sequence[str], expanded: Collection[str], routes: list[Route]) -> None:
        name = f"{host}:{port}"
        if name in names:
            return
        names.add(name)
        kept = [d for d in wanted if d.lower() not in domains and not (d in expanded and d in known)]
        domains.update(d.lower() for d in kept)
        if kept:
            virtual_hosts.append({"name": name, "domains": list(dict.fromkeys(kept)), "routes": routes})

    for claim in claims:
        for host in claim.hosts:
            add(host, claim.port, [host], (), claim.routes)
        for service in claim.services:
            wanted, expanded = domains_of(service, namespace, world, claim.port if with_ports else None)
            add(service.hostname, claim.port, wanted, expanded, claim.routes)
    return virtual_hosts


def domains_of(service: Service, namespace: str, world: World, port: int | None = None) -> tuple[list[str], Collection[str]]:
    """(every name a caller in `namespace` may use for `service`, those of them that are other forms of its own).

    Full name, the same with a final dot (since 1.27, istio#56007), short forms, then the same for each alias; wildcard
    forms of all of them for headless services; then the addresses, of a ServiceEntry only the last. With a `port`
    each also stands with `:port` behind it.
    """
    domains: list[str] = []
    expanded: list[str] = []
    for host in (service.hostname, *service.aliases):
        other = _short_forms(host, namespace, world.mesh.domain)
        if world.minor >= 27:
            other = [f"{host}.", *other]
        domains += _with_port([host], port)
        domains += _with_port(other, port)
        expanded += _with_port(other, port)
    if service.resolution is Resolution.NONE and service.kubernetes:
        domains += [f"*.{domain}" for domain in domains]
    addresses = service.addresses if service.kubernetes else service.addresses[-1:]
    domains += _with_port([address for address in addresses if address not in _UNSPECIFIED], port)
    return domains, frozenset(expanded)


def _with_port(names: Iterable[str], port: int | None) -> list[str]:
    return [form for name in names for form in ([name] if port is None else [name, f"{name}:{port}"])]


def _for_proxy_clients(virtual_hosts: Iterable[Resource]) -> list[Resource]:
    """An HTTP proxy serves all ports at once, so outside port 80 only names with a port say which service is meant."""
    out = []
    for virtual_host in virtual_hosts:
        if str(virtual_host["name"]).endswith(f":{_HTTP_PORT}"):
            out.append(virtual_host)
            continue
        named = [domain for domain in virtual_host["domains"] if ":" in domain]
        if named:
            out.append({**virtual_host, "domains": named})
    return out


def _short_forms(host: str, namespace: str, domain: str) -> list[str]:
    """By the form of the name alone, so a ServiceEntry called `x.ns.svc.cluster.local` has them too."""
    suffix = f".svc.{domain}"
    if not host.endswith(suffix):
        return []
    in_namespace = host[: -len(suffix)]
    name, dot, its_namespace = in_namespace.partition(".")
    if not dot:
        return []
    if its_namespace == namespace:
        return [name, f"{in_namespace}.svc", in_namespace]
    return [in_namespace, f"{in_namespace}.svc"]


def _only(host: str, name: str, virtual_hosts: Sequence[Resource]) -> list[Resource]:
    """A sniffed port has a listener for its service alone: whatever comes there is meant for it."""
    found = [v for v in virtual_hosts if host in v["domains"] or name in v["domains"]]
    return [{**found[0], "domains": ["*"]}] if len(found) == 1 else found


def _catch_all(scope: Scope, counted: bool) -> Resource:
    """Unknown hosts: through as they are (ALLOW_ANY), to the egress proxy, or refused with 502 (REGISTRY_ONLY)."""
    route: Route = {"match": {"prefix": "/"}}
    if scope.outbound_mode == "ALLOW_ANY":
        name = "allow_any"
        route["route"] = {"cluster": egress_cluster(scope), "timeout": NO_TIMEOUT, "max_grpc_timeout": NO_TIMEOUT}
    else:
        name = "block_all"
        route["direct_response"] = {"status": 502}
    virtual_host: Resource = {"name": name, "domains": ["*"], "routes": [{"name": name, **route}]}
    if counted:
        virtual_host["include_request_attempt_count"] = True
    return virtual_host


def egress_cluster(scope: Scope) -> str:
    """Where traffic to unknown destinations goes when it may."""
    proxy = scope.egress_proxy
    if not proxy:
        return PASSTHROUGH
    number = int((proxy.get("port") or {}).get("number") or 0)
    return outbound_cluster(number, str(proxy.get("subset") or ""), str(proxy.get("host") or ""))
