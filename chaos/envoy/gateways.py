"""What does a gateway listen on, and where does it send requests? Listeners and routes from Gateways and their VirtualServices.

Unlike in sidecars, the rules of several VirtualServices for one host are joined: in order of age, catch-alls last. Facts:
istio pilot/pkg/networking/core/gateway.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chaos.envoy import tcp
from chaos.envoy.configuration import Resource
from chaos.envoy.httpfilters import Side, connection_manager
from chaos.envoy.listeners import WILDCARD, socket_address, tls_inspector
from chaos.envoy.matches import is_catch_all
from chaos.envoy.proxyconfig import tells_forwarded_host
from chaos.envoy.routes import Route, RouteContext, routes_of
from chaos.envoy.virtualhosts import RuleOf, attempts_counted, route_configuration
from chaos.istio import hosts, virtualservices
from chaos.istio.gateways import MergedGateway, Server, intersection
from chaos.istio.scope import scope_of
from chaos.istio.services import Service
from chaos.istio.virtualservices import VirtualService
from chaos.istio.world import Proxy, World

_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"


def gateway_listeners(world: World, proxy: Proxy, merged: MergedGateway) -> list[Resource]:
    """One per port that the proxy binds; a port whose servers lead nowhere has none."""
    listeners = []
    for (port, bind), servers in merged.by_port.items():
        chains = _chains(world, proxy, port, bind, servers)
        if not chains:
            continue
        listener: Resource = {
            "name": _listener_name(port, bind),
            "address": socket_address(bind or WILDCARD, port),
            "traffic_direction": "OUTBOUND",
            "listener_filters_timeout": "0s",
            "filter_chains": chains,
        }
        if any((chain.get("filter_chain_match") or {}).get("server_names") for chain in chains):
            listener["listener_filters"] = [tls_inspector()]
        listeners.append(listener)
    return listeners


def gateway_routes(world: World, proxy: Proxy, merged: MergedGateway, rule_of: RuleOf) -> list[Resource]:
    return [_route_configuration(world, proxy, name, servers, rule_of) for name, servers in merged.by_route.items()]


# ----------------------------------------------------------------------------------------------------------- listeners
def _listener_name(port: int, bind: str) -> str:
    return f"{bind or WILDCARD}_{port}"


def _chains(world: World, proxy: Proxy, port: int, bind: str, servers: Sequence[Server]) -> list[Resource]:
    prefix = f"outbound_{_listener_name(port, bind)}"
    first = servers[0]
    if first.protocol.is_http:
        manager = connection_manager(world, proxy, Side.GATEWAY, prefix=prefix, routes=first.route_name, protocol=first.protocol)
        return [{"filters": [manager]}]
    chains: list[Resource] = []
    for server in servers:
        if server.route_name:
            manager = connection_manager(
                world, proxy, Side.GATEWAY, prefix=prefix, routes=server.route_name, protocol=server.protocol
            )
            if server.name:
                manager["typed_config"]["stat_prefix"] = server.name
            chains.append(_with_tls({"filters": [manager]}, server))
        else:
            chains += _opaque_chains(world, proxy, server)
    return chains


def _with_tls(chain: Resource, server: Server) -> Resource:
    """Told apart by SNI; a server for every host matches any. Certificates come over SDS by the name of their Secret."""
    names = sorted({host.rpartition("/")[2] for host in server.hosts})
    out = dict(chain)
    if names and "*" not in names:
        out["filter_chain_match"] = {"server_names": names}
    if server.tls is not None and not server.is_passthrough:
        out["transport_socket"] = _transport_socket(server.tls)
    return out


def _transport_socket(tls: Mapping[str, Any]) -> Resource:
    credential = tls.get("credentialName") or "default"
    context: Resource = {
        "@type": _TLS,
        "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificate_sds_secret_configs": [{"name": f"kubernetes://{credential}", "sds_config": {"ads": {}}}],
        },
    }
    if tls.get("mode") in ("MUTUAL", "ISTIO_MUTUAL"):
        context["require_client_certificate"] = True
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _opaque_chains(world: World, proxy: Proxy, server: Server) -> list[Resource]:
    """TCP, and TLS that is passed through by SNI: the `tcp` and `tls` rules of the VirtualServices."""
    chains: list[Resource] = []
    for virtual_service in virtualservices.bound_to(world, server.gateway, proxy.namespace):
        if not intersection(server.hosts_for(virtual_service.namespace), virtual_service.hosts):
            continue
        if server.is_passthrough:
            chains += _passthrough_chains(virtual_service, server)
            continue
        for rule in virtual_service.tcp:
            matches = rule.get("match") or [{}]
            if any(tcp.concerns(match, gateway=server.gateway, port=server.number, proxy=None) for match in matches):
                filters = tcp.routed_filters(rule, server.number, virtual_service.key)
                return [_with_tls({"filters": filters}, server) if server.tls is not None else {"filters": filters}]
    return chains


def _passthrough_chains(virtual_service: VirtualService, server: Server) -> list[Resource]:
    chains = []
    for rule in virtual_service.tls:
        for match in rule.get("match") or ():
            if tcp.concerns(match, gateway=server.gateway, port=server.number, proxy=None):
                filters = tcp.routed_filters(rule, server.number, virtual_service.key)
                chains.append({"filter_chain_match": {"server_names": list(match.get("sniHosts") or ())}, "filters": filters})
    return chains


# -------------------------------------------------------------------------------------------------------------- routes
def _route_configuration(world: World, proxy: Proxy, name: str, servers: Sequence[Server], rule_of: RuleOf) -> Resource:
    found: dict[str, Resource] = {}
    routes_by_owner: dict[tuple[str, str], list[Route]] = {}
    for server in servers:
        for virtual_service in virtualservices.bound_to(world, server.gateway, proxy.namespace):
            shared = intersection(server.hosts_for(virtual_service.namespace), virtual_service.hosts)
            if not shared:
                continue
            key = (server.gateway, virtual_service.key)
            if key not in routes_by_owner:
                routes_by_owner[key] = routes_of(virtual_service, _context(world, proxy, server, virtual_service, rule_of))
            if routes_by_owner[key]:
                _join(found, shared, routes_by_owner[key], server)
        if server.redirects_to_https:
            _redirect_rest(found, server)
    if not found:
        nothing = {"name": f"blackhole:{servers[0].number}", "domains": ["*"], "routes": []}
        return route_configuration(name, [nothing])
    virtual_hosts = _folded(found)
    for virtual_host in virtual_hosts:
        virtual_host["routes"] = _catch_alls_last(virtual_host["routes"])
        if attempts_counted(world, proxy):
            virtual_host["include_request_attempt_count"] = True
    return route_configuration(name, sorted(virtual_hosts, key=lambda v: str(v["name"])))


def _context(world: World, proxy: Proxy, server: Server, owner: VirtualService, rule_of: RuleOf) -> RouteContext:
    """Destinations mean the services of the VirtualService's own namespace first, with all their ports."""

    visible = scope_of(world, proxy).services_by_host

    def service_of(host: str) -> Service | None:
        for service in world.services_by_host.get(host, ()):
            if service.namespace == owner.namespace and hosts.exported(service.export_to, service.namespace, proxy.namespace):
                return service
        return visible.get(host)

    return RouteContext(
        proxy=proxy,
        mesh=world.mesh,
        minor=world.minor,
        port=server.number,
        gateway=server.gateway,
        service_of=service_of,
        rule_of=rule_of,
        tls=server.tls is not None,
        tells_forwarded_host=tells_forwarded_host(world, proxy.pod),
    )


def _join(found: dict[str, Resource], shared: Sequence[str], routes: list[Route], server: Server) -> None:
    for host in (name.lower() for name in shared):
        if host in found:
            found[host]["routes"] = [*found[host]["routes"], *routes]
        else:
            found[host] = {"name": f"{host}:{server.number}", "domains": [host], "routes": list(routes)}
        if server.redirects_to_https:
            found[host]["require_tls"] = "ALL"


def _redirect_rest(found: dict[str, Resource], server: Server) -> None:
    """`httpsRedirect` holds for every listed host, also where no VirtualService has routes for it."""
    for host in (name.lower() for name in server.hosts):
        virtual_host = found.setdefault(host, {"name": f"{host}:{server.number}", "domains": [host], "routes": []})
        virtual_host["require_tls"] = "ALL"


def _folded(found: Mapping[str, Resource]) -> list[Resource]:
    """Hosts with the very same routes share a virtual host, named after the most specific (`collapseDuplicateRoutes`).

    Of those with the same routes only the last is asked whether it demands TLS as well: one that does not parts those that do.
    """
    last: dict[tuple[int, ...], Resource] = {}
    kept: list[Resource] = []
    for host in sorted(found, key=hosts.specificity):
        virtual_host = found[host]
        routes = tuple(map(id, virtual_host["routes"]))
        known = last.get(routes)
        if known is not None and known.get("require_tls") == virtual_host.get("require_tls"):
            known["domains"] = [*known["domains"], *virtual_host["domains"]]
        else:
            last[routes] = virtual_host
            kept.append(virtual_host)
    return kept


def _catch_alls_last(routes: Sequence[Route]) -> list[Route]:
    return sorted(routes, key=lambda route: is_catch_all(route["match"]))
