"""Where does a sidecar take outbound traffic? One listener per HTTP port, one per address for TCP and sniffed ports.

HTTP services share `0.0.0.0_<port>` and are told apart by virtual host; TCP ones have a listener on their own address.
Two kinds on one address and port share it by sniffing. Facts: istio pilot/pkg/networking/core/listener.go
(`buildSidecarOutboundListener`, `buildListenerFromEntry`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from chaos.envoy import tcp
from chaos.envoy.configuration import Resource
from chaos.envoy.httpfilters import Side, connection_manager
from chaos.envoy.naming import BLACK_HOLE
from chaos.envoy.virtualhosts import HTTP_PROXY, egress_cluster
from chaos.istio.scope import EgressListener, Scope
from chaos.istio.services import Protocol, Resolution, Service, ServicePort
from chaos.istio.virtualservices import VirtualService
from chaos.istio.world import Proxy, World

WILDCARD = "0.0.0.0"
LOCALHOST = "127.0.0.1"
PROXY_PORT = 15001
_RESERVED = frozenset({PROXY_PORT, 15006, 15021, 15090})
_PLAINTEXT_HTTP = ("http/1.1", "h2c")
_INSPECTORS = "type.googleapis.com/envoy.extensions.filters.listener"
AddressesOf = Callable[[Service], Iterable[str]]
"""The addresses of the endpoints behind a service."""


@dataclass(slots=True, kw_only=True)
class _Entry:
    """A listener being put together."""

    bind: str
    port: ServicePort
    protocol: Protocol
    """AUTO once it tells kinds apart by sniffing."""
    chains: list[Resource]
    bound: bool
    routes: str = ""
    """Name of the route configuration of its HTTP chain."""
    locked: bool = False


def outbound_listeners(world: World, proxy: Proxy, scope: Scope, addresses_of: AddressesOf) -> list[Resource]:
    """Every outbound listener and `virtualOutbound`, which hands redirected connections to them."""
    entries: dict[tuple[str, int], _Entry] = {}
    for egress in scope.egress:
        if egress.port is None:
            for entry in entries.values():
                entry.locked = True
        for service, port, bind in _wanted(proxy, egress, addresses_of):
            _add(entries, world, proxy, egress, service, port, bind)
    built = [_listener(world, proxy, scope, entry) for entry in entries.values()]
    if world.mesh.proxy_http_port:
        built.append(_http_proxy(world, proxy, world.mesh.proxy_http_port))
    return [*built, _virtual_outbound(scope)]


def route_names(listeners: Iterable[Mapping[str, Any]]) -> list[str]:
    """The route configurations that listeners ask for, each once, in their order."""
    names: dict[str, None] = {}
    for listener in listeners:
        for chain in (*listener.get("filter_chains", ()), listener.get("default_filter_chain") or {}):
            for network_filter in chain.get("filters", ()):
                asked = network_filter.get("typed_config", {}).get("rds", {}).get("route_config_name")
                if asked:
                    names[asked] = None
    return list(names)


def _wanted(proxy: Proxy, egress: EgressListener, addresses_of: AddressesOf) -> Iterable[tuple[Service, ServicePort, str]]:
    """(service, port, address to bind to; empty: by protocol), without ports of the proxy itself."""
    bind = egress.bind or (LOCALHOST if egress.capture_mode == "NONE" else "")
    for service in egress.services:
        if service.resolution is Resolution.ALIAS:
            continue
        for port in (egress.port,) if egress.port else service.ports:
            if not bind and port.protocol.is_http and port.number in _RESERVED:
                continue
            if egress.port is None and not bind and _per_endpoint(service, port):
                for address in _others(proxy, addresses_of(service)):
                    yield service, port, address
            else:
                yield service, port, bind


def _per_endpoint(service: Service, port: ServicePort) -> bool:
    """TCP without a VIP: one listener per endpoint, since 0.0.0.0 would take the port from everybody."""
    if service.resolution is not Resolution.NONE or service.addresses or port.protocol.is_http:
        return False
    return service.kubernetes or bool(service.selector) or bool(service.endpoints)


def _others(proxy: Proxy, addresses: Iterable[str]) -> Iterable[str]:
    """A pod does not call itself through an outbound listener."""
    return (address for address in addresses if address != proxy.ip and _is_ip(address))


def _add(
    entries: dict[tuple[str, int], _Entry],
    world: World,
    proxy: Proxy,
    egress: EgressListener,
    service: Service,
    port: ServicePort,
    bind: str,
) -> None:
    cidr = ""
    if not bind:
        bind, cidr = (WILDCARD, "") if port.protocol.is_http else _own_address(service)
    entry = entries.get((bind, port.number))
    if port.protocol is Protocol.UDP or (entry and entry.locked):
        return
    if entry is None:
        entry = _Entry(bind=bind, port=port, protocol=port.protocol, chains=[], bound=egress.capture_mode == "NONE")
        entries[bind, port.number] = entry
    elif entry.protocol is Protocol.AUTO and port.protocol.is_http_or_sniffed and entry.routes:
        return
    if port.protocol.is_http_or_sniffed and not entry.routes:
        shared = port.protocol.is_http or bind == WILDCARD
        entry.routes = str(port.number) if shared else f"{service.hostname}:{port.number}"
    if not port.protocol.is_http:
        _merge(entry.chains, _tcp_chains(world, proxy, egress.virtual_services, service, port, cidr))
    if entry.routes and (bind == WILDCARD or entry.chains or not port.protocol.is_http):
        entry.protocol = Protocol.AUTO


def _own_address(service: Service) -> tuple[str, str]:
    """(address to bind to, CIDR to match): the VIP; a CIDR cannot be bound to; no VIP means every address."""
    address = service.addresses[-1] if service.addresses else WILDCARD
    return (WILDCARD, address) if "/" in address else (address, "")


def _tcp_chains(
    world: World, proxy: Proxy, virtual_services: Iterable[VirtualService], service: Service, port: ServicePort, cidr: str
) -> list[Resource]:
    return tcp.outbound_chains(world, proxy, virtual_services, service, port, cidr)


def _merge(chains: list[Resource], added: Iterable[Resource]) -> None:
    """The first chain of a match keeps it: Envoy refuses two alike."""
    known = [chain.get("filter_chain_match") for chain in chains]
    chains += [chain for chain in added if chain.get("filter_chain_match") not in known]


def _listener(world: World, proxy: Proxy, scope: Scope, entry: _Entry) -> Resource:
    name = f"{entry.bind}_{entry.port.number}"
    chains = list(entry.chains)
    sniffs = bool(entry.routes) and entry.protocol is Protocol.AUTO
    if entry.routes:
        manager = connection_manager(
            world, proxy, Side.OUTBOUND, prefix=f"outbound_{name}", routes=entry.routes, protocol=entry.port.protocol
        )
        chain: Resource = {"filters": [manager]}
        if sniffs:
            chain["filter_chain_match"] = {"transport_protocol": "raw_buffer", "application_protocols": list(_PLAINTEXT_HTTP)}
        chains.append(chain)
    listener: Resource = {
        "name": name,
        "address": socket_address(entry.bind, entry.port.number),
        "traffic_direction": "OUTBOUND",
        "continue_on_listener_filters_timeout": True,
    }
    if not entry.bound:
        listener["bind_to_port"] = False
    by_name = any(chain.get("filter_chain_match", {}).get("server_names") for chain in chains)
    if sniffs or by_name:
        listener["listener_filters"] = [tls_inspector(), *([http_inspector()] if sniffs else [])]
    if not sniffs:
        listener["listener_filters_timeout"] = "0s"
    _place_chains(listener, chains, scope)
    return listener


def _place_chains(listener: Resource, chains: list[Resource], scope: Scope) -> None:
    """A chain that matches everything becomes the default, so that no connection falls between two matches (istio#26079)."""
    matching = [chain for chain in chains if chain.get("filter_chain_match")]
    everything = [chain for chain in chains if not chain.get("filter_chain_match")]
    if everything and not matching:
        listener["filter_chains"] = everything[:1]
        return
    listener["filter_chains"] = matching
    fallback = everything[0] if everything else {"name": "PassthroughFilterChain", "filters": [_unknown_tcp(scope)]}
    listener["default_filter_chain"] = fallback


def _http_proxy(world: World, proxy: Proxy, port: int) -> Resource:
    """`proxyHttpPort`: for clients with HTTP_PROXY set, on the loopback address."""
    name = f"{LOCALHOST}_{port}"
    manager = connection_manager(
        world, proxy, Side.OUTBOUND, prefix=f"outbound_{name}", routes=HTTP_PROXY, protocol=Protocol.HTTP_PROXY
    )
    manager["typed_config"]["http_protocol_options"] = {"allow_absolute_url": True}
    return {
        "name": name,
        "address": socket_address(LOCALHOST, port),
        "traffic_direction": "OUTBOUND",
        "continue_on_listener_filters_timeout": True,
        "listener_filters_timeout": "0s",
        "filter_chains": [{"filters": [manager]}],
    }


def _virtual_outbound(scope: Scope) -> Resource:
    """Where iptables redirects to; connections to addresses of no listener go on as they are, or nowhere."""
    return {
        "name": "virtualOutbound",
        "address": socket_address(WILDCARD, PROXY_PORT),
        "traffic_direction": "OUTBOUND",
        "use_original_dst": True,
        "filter_chains": [
            {
                "name": "virtualOutbound-blackhole",
                "filter_chain_match": {"destination_port": PROXY_PORT},
                "filters": [tcp.proxy_to(BLACK_HOLE)],
            },
            {"name": "virtualOutbound-catchall-tcp", "filters": [_unknown_tcp(scope)]},
        ],
    }


def _unknown_tcp(scope: Scope) -> Resource:
    return tcp.proxy_to(egress_cluster(scope) if scope.outbound_mode == "ALLOW_ANY" else BLACK_HOLE)


def socket_address(address: str, port: int) -> Resource:
    return {"socket_address": {"address": address, "port_value": port}}


def tls_inspector() -> Resource:
    return {
        "name": "envoy.filters.listener.tls_inspector",
        "typed_config": {"@type": f"{_INSPECTORS}.tls_inspector.v3.TlsInspector"},
    }


def http_inspector() -> Resource:
    return {
        "name": "envoy.filters.listener.http_inspector",
        "typed_config": {"@type": f"{_INSPECTORS}.http_inspector.v3.HttpInspector"},
    }


def _is_ip(address: str) -> bool:
    return bool(address) and (":" in address or address.replace(".", "").isdigit())
