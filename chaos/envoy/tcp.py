"""Where do opaque connections go? Filter chains of TCP and TLS ports, with the `tcp` and `tls` rules of VirtualServices.

No fault acts here and no header is seen: whoever wants to inject needs an HTTP port. Facts: istio
pilot/pkg/networking/core/tls.go and networkfilter.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from chaos.envoy.configuration import Resource
from chaos.envoy.naming import outbound_cluster
from chaos.istio import hosts
from chaos.istio.services import Service, ServicePort
from chaos.istio.virtualservices import MESH, VirtualService
from chaos.istio.world import Proxy, World

_TYPE = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


def proxy_to(cluster: str) -> Resource:
    """A TCP proxy filter for one cluster."""
    return _tcp_proxy(cluster, {"cluster": cluster})


def outbound_chains(
    world: World, proxy: Proxy, virtual_services: Iterable[VirtualService], service: Service, port: ServicePort, cidr: str
) -> list[Resource]:
    """Chains for one service port: by SNI and by connection from its VirtualServices, else straight to its cluster."""
    chains: list[Resource] = []
    cidrs = [cidr] if cidr else []
    for virtual_service in virtual_services:
        if not any(hosts.matches(host, service.hostname) for host in virtual_service.hosts):
            continue
        if port.protocol.is_tls:
            chains += _by_server_name(virtual_service, proxy, port.number, cidrs)
        chains += _by_connection(virtual_service, proxy, port.number, cidrs)
        if chains:
            break
    if not any(not _server_names(chain) for chain in chains):
        chains.append(_chain([proxy_to(outbound_cluster(port.number, "", service.hostname))], cidrs=cidrs))
    return chains


def routed_filters(rule: Mapping[str, Any], port: int, stat_prefix: str) -> list[Resource]:
    """The filters for the destinations of one `tcp` or `tls` rule."""
    routes: Sequence[Mapping[str, Any]] = rule.get("route") or ()
    if len(routes) == 1:
        return [proxy_to(_cluster(routes[0], port))]
    weighted = [{"name": _cluster(r, port), "weight": int(r.get("weight") or 0)} for r in routes if r.get("weight")]
    return [_tcp_proxy(stat_prefix, {"weighted_clusters": {"clusters": weighted}})]


def concerns(match: Mapping[str, Any], *, gateway: str, port: int, proxy: Proxy | None) -> bool:
    """Does an L4 match hold for this gateway (or the mesh), port and client?"""
    if match.get("port") and int(match["port"]) != port:
        return False
    if match.get("gateways"):
        return gateway in match["gateways"]
    if proxy is None:
        return True
    return proxy.pod.has(match.get("sourceLabels") or {}) and match.get("sourceNamespace") in (None, "", proxy.namespace)


def _by_server_name(virtual_service: VirtualService, proxy: Proxy, port: int, cidrs: Sequence[str]) -> Iterable[Resource]:
    for rule in virtual_service.tls:
        for match in rule.get("match") or ():
            if concerns(match, gateway=MESH, port=port, proxy=proxy):
                ranges = match.get("destinationSubnets") or cidrs
                filters = routed_filters(rule, port, virtual_service.key)
                yield _chain(filters, names=match.get("sniHosts") or (), cidrs=ranges)


def _by_connection(virtual_service: VirtualService, proxy: Proxy, port: int, cidrs: Sequence[str]) -> Iterable[Resource]:
    """Rules up to the first that takes every connection."""
    for rule in virtual_service.tcp:
        matches = [m for m in rule.get("match") or [{}] if concerns(m, gateway=MESH, port=port, proxy=proxy)]
        for match in matches:
            subnets = match.get("destinationSubnets") or ()
            yield _chain(routed_filters(rule, port, virtual_service.key), cidrs=subnets or cidrs)
            if not subnets:
                return


def _chain(filters: list[Resource], *, names: Sequence[str] = (), cidrs: Sequence[str] = ()) -> Resource:
    match: Resource = {}
    if names:
        match["server_names"] = list(names)
    if cidrs:
        match["prefix_ranges"] = [_prefix(cidr) for cidr in cidrs]
    return {"filter_chain_match": match, "filters": filters} if match else {"filters": filters}


def _prefix(cidr: str) -> Resource:
    if "/" not in cidr:
        return {"address_prefix": cidr, "prefix_len": ip_address(cidr).max_prefixlen}
    network = ip_network(cidr, strict=False)
    return {"address_prefix": str(network.network_address), "prefix_len": network.prefixlen}


def _server_names(chain: Mapping[str, Any]) -> bool:
    return bool((chain.get("filter_chain_match") or {}).get("server_names"))


def _cluster(route: Mapping[str, Any], port: int) -> str:
    destination = route.get("destination") or {}
    number = int((destination.get("port") or {}).get("number") or port)
    return outbound_cluster(number, str(destination.get("subset") or ""), str(destination.get("host") or ""))


def _tcp_proxy(stat_prefix: str, target: Resource) -> Resource:
    return {
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {"@type": _TYPE, "stat_prefix": stat_prefix, **target},
    }
