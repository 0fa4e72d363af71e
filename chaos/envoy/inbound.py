"""What does a sidecar do with calls to its own application? `virtualInbound`: one filter chain per port of the pod.

Only the plaintext chains are made (of PERMISSIVE, Istio's default): TLS between sidecars is not this tool's subject. Facts: istio
pilot/pkg/networking/core/listener_inbound.go and RT `BuildDefaultHTTPInboundRoute`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from chaos.envoy import tcp
from chaos.envoy.configuration import Resource
from chaos.envoy.httpfilters import Side, connection_manager
from chaos.envoy.listeners import WILDCARD, http_inspector, socket_address
from chaos.envoy.naming import BLACK_HOLE, INBOUND_PASSTHROUGH, inbound_cluster
from chaos.envoy.retries import inbound_retry_policy
from chaos.envoy.routes import NO_TIMEOUT
from chaos.istio.scope import Scope
from chaos.istio.services import Protocol, parse_protocol
from chaos.istio.targets import inbound_ports
from chaos.istio.world import Proxy, World

VIRTUAL_INBOUND = "virtualInbound"
PROXY_PORT = 15006
_HTTP_PROTOCOLS = ("http/1.1", "h2c")


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundPort:
    """One port of the pod that takes calls."""

    number: int
    service_port: int
    protocol: Protocol
    bind: str = WILDCARD
    own_listener: bool = False
    """`captureMode: NONE` of a Sidecar ingress: the proxy listens on the port itself."""

    @property
    def name(self) -> str:
        return f"{self.bind}_{self.number}"


def inbound_listeners(world: World, proxy: Proxy, scope: Scope) -> list[Resource]:
    ports = ports_of(world, proxy, scope)
    shared = [port for port in ports if not port.own_listener]
    chains = [chain for port in shared for chain in _chains(world, proxy, port)]
    listeners = [_listener(VIRTUAL_INBOUND, WILDCARD, PROXY_PORT, [*_catch_all_chains(world, proxy), *chains], original_dst=True)]
    for port in ports:
        if port.own_listener:
            own = list(_chains(world, proxy, port))
            listeners.append(_listener(port.name, port.bind, port.number, own, original_dst=False))
    return listeners


def ports_of(world: World, proxy: Proxy, scope: Scope) -> list[InboundPort]:
    """By number: the ports of the services on this pod, or, if the Sidecar resource lists `ingress`, those instead."""
    if not scope.ingress:
        return [
            InboundPort(number=number, service_port=target.port.number, protocol=target.port.protocol)
            for number, target in inbound_ports(world, proxy.pod).items()
        ]
    first: dict[int, InboundPort] = {}
    for written in scope.ingress:
        port = _ingress_port(written, proxy)
        first.setdefault(port.number, port)
    return [first[number] for number in sorted(first)]


def _ingress_port(written: Mapping[str, Any], proxy: Proxy) -> InboundPort:
    """Without a `bind` the pod's address is meant."""
    port = written.get("port") or {}
    number = int(port.get("number") or 0)
    return InboundPort(
        number=number,
        service_port=number,
        protocol=parse_protocol(str(port.get("protocol") or "")),
        bind=str(written.get("bind") or proxy.ip),
        own_listener=written.get("captureMode") == "NONE",
    )


def _chains(world: World, proxy: Proxy, port: InboundPort) -> Iterable[Resource]:
    """One chain; for a sniffed port one for HTTP and one for everything else."""
    match = {"destination_port": port.number, "transport_protocol": "raw_buffer"}
    if port.protocol.is_http_or_sniffed:
        sniffed = {"application_protocols": list(_HTTP_PROTOCOLS)} if port.protocol is Protocol.AUTO else {}
        manager = connection_manager(
            world,
            proxy,
            Side.INBOUND,
            prefix=f"inbound_{port.name}",
            routes=_routes(world, inbound_cluster(port.number), port.service_port, port.protocol),
            protocol=port.protocol,
        )
        yield {"name": port.name, "filter_chain_match": {**match, **sniffed}, "filters": [manager]}
    if not port.protocol.is_http and port.protocol is not Protocol.UDP:
        yield {"name": port.name, "filter_chain_match": match, "filters": [tcp.proxy_to(inbound_cluster(port.number))]}


def _routes(world: World, cluster: str, port: int, protocol: Protocol) -> Resource:
    """Everything to the application, without timeout; retried once the application had closed an idle connection (not gRPC)."""
    action: Resource = {
        "cluster": cluster,
        "timeout": NO_TIMEOUT,
        "max_stream_duration": {"max_stream_duration": NO_TIMEOUT, "grpc_timeout_header_max": NO_TIMEOUT},
    }
    retries = None if protocol.is_grpc else inbound_retry_policy(world.minor, world.mesh.default_inbound_http_retry_policy)
    if retries is not None:
        action["retry_policy"] = retries
    route = {"name": "default", "match": {"prefix": "/"}, "route": action}
    virtual_host = {"name": f"inbound|http|{port}", "domains": ["*"], "routes": [route]}
    return {"name": cluster, "virtual_hosts": [virtual_host], "validate_clusters": False}


def _catch_all_chains(world: World, proxy: Proxy) -> list[Resource]:
    """Ports no service names: through to the application as they are, but never to the proxy's own port."""
    http = connection_manager(
        world,
        proxy,
        Side.INBOUND,
        prefix=INBOUND_PASSTHROUGH,
        routes=_routes(world, INBOUND_PASSTHROUGH, 0, Protocol.HTTP),
    )
    return [
        {
            "name": "virtualInbound-blackhole",
            "filter_chain_match": {"destination_port": PROXY_PORT},
            "filters": [tcp.proxy_to(BLACK_HOLE)],
        },
        {
            "name": "virtualInbound-catchall-http",
            "filter_chain_match": {"transport_protocol": "raw_buffer", "application_protocols": list(_HTTP_PROTOCOLS)},
            "filters": [http],
        },
        {
            "name": VIRTUAL_INBOUND,
            "filter_chain_match": {"transport_protocol": "raw_buffer"},
            "filters": [tcp.proxy_to(INBOUND_PASSTHROUGH)],
        },
    ]


def _listener(name: str, address: str, port: int, chains: list[Resource], *, original_dst: bool) -> Resource:
    original = {
        "name": "envoy.filters.listener.original_dst",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst"},
    }
    return {
        "name": name,
        "address": socket_address(address, port),
        "traffic_direction": "INBOUND",
        "continue_on_listener_filters_timeout": True,
        "listener_filters": [*([original] if original_dst else []), http_inspector()],
        "listener_filters_timeout": "0s",
        "filter_chains": chains,
    }
