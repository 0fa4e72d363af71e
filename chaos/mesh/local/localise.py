"""How does a sidecar of this machine mean what one on a cluster means? istiod's configuration, moved to our own listeners.

A cluster redirects a pod's traffic by iptables and tells listeners apart by original destination. Here nothing is redirected, so

    outbound   one listener for HTTP_PROXY, and one per service port (for clients that ignore HTTP_PROXY, and for gRPC);
               all share one route configuration: istiod's virtual hosts of all ports, each domain with its port
    inbound    one listener per container port, with the filters of istiod's chain for that port
    clusters   the same policies; their endpoints are other sidecars, those of inbound ones the application

Everything else stays as `chaos.envoy.translation` made it. What a stock Envoy does not have (filters named `istio.*`) and what
needs Istio's certificates (mutual TLS between sidecars) is taken out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.envoy.configuration import Configuration, Resource
from chaos.mesh.local.addresses import Block, Endpoint
from chaos.mesh.local.bootstrap import from_file, routes_file
from chaos.mesh.local.clusters import local_clusters
from chaos.mesh.local.stock import (
    CONNECTION_MANAGER,
    TCP_PROXY,
    TYPE,
    adapted,
    chains_of,
    configs,
    is_stock,
    local_listener,
    logged,
    manager_filter,
)

ROUTES = "http_proxy"
"""Name of the one outbound route configuration; Istio calls that of its own HTTP proxy listener so."""
DESTINATION = "x-istio-chaos-destination"
"""Chooses the virtual host: `reviews.bookinfo.svc.cluster.local:9080`. Listeners set it, the routes take it off again.

On a service's own listener it names the service, whatever Host the client sends; on the HTTP_PROXY listener it is the authority.
"""
VIRTUAL_INBOUND = "virtualInbound"
INBOUND_CAPTURE_PORT = 15006
_ROUTER = f"{TYPE}envoy.extensions.filters.http.router.v3.Router"
_SNIFFED_AS_HTTP = ["http/1.0", "http/1.1", "h2c"]
_UNKNOWN_HOST = "No service of this mesh listens at %REQ(:AUTHORITY)%, and "
_ADD_IT = "Check host and port, or add a Service or a ServiceEntry for it to the manifests.\n"
_UNKNOWN = {
    "allow_any": f"{_UNKNOWN_HOST}nothing leaves the local mesh: passthrough is not available here. {_ADD_IT}",
    "block_all": f"{_UNKNOWN_HOST}outboundTrafficPolicy is REGISTRY_ONLY: a cluster answers 502 as well. {_ADD_IT}",
}
"""By the virtual host that istiod makes for the rest."""
_UNKNOWN_ADDRESS = (
    "Only the client knows the address of %REQ(:AUTHORITY)% (a wildcard without resolution), and nothing leaves the local mesh: "
    "passthrough is not available here. Give the ServiceEntry the hosts themselves, with resolution DNS or STATIC.\n"
)
_CONNECT = (
    "CONNECT to %REQ(:AUTHORITY)%: the local mesh carries no tunnels, since a sidecar could not act on what is inside. "
    "Call the service with plain http, as in a mesh; for gRPC take its address from the service's environment variables "
    "(such as REVIEWS_SERVICE_HOST and REVIEWS_SERVICE_PORT).\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedPort:
    """One port of a service, as one sidecar offers it to its application."""

    host: str
    """Full name: `reviews.bookinfo.svc.cluster.local`."""
    number: int
    endpoint: Endpoint
    http: bool
    tcp: bool
    """Both: Istio would sniff the protocol."""
    virtual_addresses: tuple[str, ...] = ()
    """Cluster IPs: part of the names of istiod's listeners for TCP ports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What is local about one proxy."""

    block: Block
    namespace: str
    sidecar: str
    application: str
    proxy_port: int
    offered: tuple[OfferedPort, ...]
    sidecars: frozenset[str]
    """Addresses of the whole mesh, whose ports are moved where they would need a privilege."""
    folder: Path
    """Of the files that the proxy watches."""


def localise(translated: Configuration, place: Place) -> Configuration:
    """istiod's configuration for one sidecar -> the same policies at the addresses of `place`, endpoints inside the clusters."""
    # An owner's internal listeners need no address.
    internal = [listener for listener in translated.listeners if "internal_listener" in listener]
    return Configuration(
        listeners=(
            _proxy_listener(translated, place),
            *(_service_listener(translated, place, port) for port in place.offered),
            *_inbound_listeners(translated, place),
            *internal,
        ),
        routes=(_routes(translated, place.namespace),),
        clusters=tuple(local_clusters(translated, place.block, place.sidecars, place.application)),
    )


# ------------------------------------------------------------------------------------------------------------ outbound
def _proxy_listener(translated: Configuration, place: Place) -> Resource:
    """With the filters of the lowest port: an EnvoyFilter for another port acts on that port's own listeners only."""
    manager = _outbound_manager(translated, place, port=None, destination="%REQ(:AUTHORITY)%")
    manager["stat_prefix"] = "outbound_http_proxy;"
    replies = manager.get("local_reply_config") or {}
    manager["local_reply_config"] = {**replies, "mappers": [*replies.get("mappers", ()), _connect_reply()]}
    endpoint = Endpoint(place.sidecar, place.proxy_port)
    return local_listener("outbound_http_proxy", endpoint, "OUTBOUND", [{"filters": [manager_filter(manager)]}])


def _service_listener(translated: Configuration, place: Place, port: OfferedPort) -> Resource:
    chains: list[Resource] = []
    if port.http:
        manager = _outbound_manager(translated, place, port=port.number, destination=f"{port.host}:{port.number}")
        chains.append({"filters": [manager_filter(manager)]})
    if port.tcp:
        chains.append({"filters": _tcp_filters(translated, port)})
    if port.http and port.tcp:
        chains[0]["filter_chain_match"] = {"application_protocols": _SNIFFED_AS_HTTP}
    return local_listener(f"outbound_{port.host}_{port.number}", port.endpoint, "OUTBOUND", chains)


def _outbound_manager(translated: Configuration, place: Place, *, port: int | None, destination: str) -> Resource:
    manager = adapted(_translated_manager(translated, port), "outbound")
    manager.pop("route_config", None)
    manager["rds"] = {"route_config_name": ROUTES, "config_source": from_file(place.folder / routes_file(ROUTES))}
    manager["early_header_mutation_extensions"] = [*manager.get("early_header_mutation_extensions", ()), _destination(destination)]
    return manager


def _translated_manager(translated: Configuration, port: int | None) -> Resource:
    """The connection manager istiod gives to outbound listeners of this port, or of the lowest that has one."""
    found: dict[int, Resource] = {}
    for listener in translated.listeners:
        number = listener.get("address", {}).get("socket_address", {}).get("port_value")
        if number is not None and listener.get("traffic_direction") != "INBOUND":
            for chain in chains_of(listener):
                for manager in configs(chain, CONNECTION_MANAGER):
                    found.setdefault(int(number), manager)
    if not found:
        return _plain_manager()
    return found[port] if port in found else found[min(found)]


def _plain_manager() -> Resource:
    """For a proxy that can reach no HTTP service at all: it still has to say so."""
    return {
        "@type": f"{TYPE}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "outbound",
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
    }


def _destination(value: str) -> Resource:
    header = {"header": {"key": DESTINATION, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return {
        "name": "istio-chaos.destination",
        "typed_config": {
            "@type": f"{TYPE}envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": [{"append": header}],
        },
    }


def _connect_reply() -> Resource:
    # No route matches CONNECT, so Envoy answers by itself and this rewrites the answer: virtual hosts stay as istiod made them.
    return {
        "filter": {"header_filter": {"header": {"name": ":method", "string_match": {"exact": "CONNECT"}}}},
        "status_code": 501,
        "body_format_override": {"text_format_source": {"inline_string": _CONNECT}},
    }


def _tcp_filters(translated: Configuration, port: OfferedPort) -> list[Resource]:
    """istiod's filters for this TCP port; a plain way to its cluster if there is no listener of its own."""
    named = {f"{address}_{port.number}" for address in port.virtual_addresses}
    for listener in translated.listeners:
        for chain in chains_of(listener):
            for config in configs(chain, TCP_PROXY):
                if listener.get("name") in named or str(config.get("cluster", "")).endswith(f"|{port.number}||{port.host}"):
                    return [logged(f, "outbound") for f in chain["filters"] if is_stock(f)]
    cluster = f"outbound|{port.number}||{port.host}"
    config = {"@type": f"{TYPE}envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": cluster, "cluster": cluster}
    return [logged({"name": TCP_PROXY, "typed_config": config}, "outbound")]


def _routes(translated: Configuration, namespace: str) -> Resource:
    """All ports' virtual hosts in one configuration: where istiod has `reviews` on port 9080, this has `reviews:9080`."""
    unknown = {cluster["name"] for cluster in translated.clusters if cluster.get("type") == "ORIGINAL_DST"}
    seen: set[str] = set()
    hosts: list[Resource] = []
    blocked = False
    for port, configuration in sorted(_by_port(translated.routes), key=lambda pair: pair[0]):
        for host in configuration.get("virtual_hosts", ()):
            if host["name"] in _UNKNOWN:
                blocked |= host["name"] == "block_all"
                continue
            written = host["domains"] if host["domains"] != ["*"] else _names(str(host["name"]).rpartition(":")[0], namespace)
            domains = [d for d in _with_port(written, port) if d not in seen]
            if domains:
                seen.update(domains)
                hosts.append({**host, "domains": domains, "routes": [_answered(route, unknown) for route in host["routes"]]})
    return {
        "name": ROUTES,
        "vhost_header": DESTINATION,
        "request_headers_to_remove": [DESTINATION],
        "validate_clusters": False,
        "max_direct_response_body_size_bytes": 1048576,
        "virtual_hosts": [*hosts, _unknown_host("block_all" if blocked else "allow_any")],
    }


def _by_port(translated: Sequence[Resource]) -> Iterator[tuple[int, Resource]]:
    for configuration in translated:
        port = str(configuration["name"]).rpartition(":")[2]
        if port.isdigit():
            yield int(port), configuration


def _names(host: str, namespace: str) -> list[str]:
    """What a service is called in `namespace`. istiod leaves them out for a sniffed port, whose listener is the service's own."""
    name, _, rest = host.partition(".")
    owner = rest.partition(".")[0]
    if not rest.startswith(f"{owner}.svc."):
        return [host]
    return [host, f"{name}.{owner}.svc", f"{name}.{owner}", *([name] if owner == namespace else [])]


def _with_port(domains: Sequence[str], port: int) -> Iterator[str]:
    for domain in domains:
        yield f"{domain}:{port}"
        if port == 80:
            yield domain


def _unknown_host(name: str) -> Resource:
    route = {"name": name, "match": {"prefix": "/"}, "direct_response": _explanation(_UNKNOWN[name])}
    return {"name": name, "domains": ["*"], "routes": [route]}


def _answered(route: Resource, unknown: Collection[str]) -> Resource:
    """A route to addresses that only the client knows answers with the reason; any other stays as it is."""
    if route.get("route", {}).get("cluster") not in unknown:
        return route
    return {**{k: v for k, v in route.items() if k != "route"}, "direct_response": _explanation(_UNKNOWN_ADDRESS)}


def _explanation(text: str) -> Resource:
    return {"status": 502, "body_format": {"text_format_source": {"inline_string": text}}}


# ------------------------------------------------------------------------------------------------------------- inbound
def _inbound_listeners(translated: Configuration, place: Place) -> Iterator[Resource]:
    by_port: dict[int, list[Resource]] = {}
    for listener in translated.listeners:
        if listener.get("traffic_direction") == "INBOUND":
            # A Sidecar's ingress without capture has a listener of its own.
            own = listener["address"]["socket_address"]["port_value"] if listener["name"] != VIRTUAL_INBOUND else None
            for chain in chains_of(listener):
                match = chain.get("filter_chain_match", {})
                port = match.get("destination_port", own)
                # Sidecars speak plain text to each other here.
                if port not in (None, INBOUND_CAPTURE_PORT) and match.get("transport_protocol") != "tls":
                    by_port.setdefault(int(port), []).append(chain)
    for port, chains in by_port.items():
        endpoint = Endpoint(place.sidecar, place.block.bindable(port))
        made = [_inbound_chain(chain, alone=len(chains) == 1) for chain in chains]
        yield local_listener(f"inbound_{port}", endpoint, "INBOUND", made)


def _inbound_chain(chain: Resource, *, alone: bool) -> Resource:
    sniffed = chain.get("filter_chain_match", {}).get("application_protocols")
    local: Resource = {"filters": [_inbound_filter(f) for f in chain["filters"] if is_stock(f)]}
    if sniffed and not alone:
        local["filter_chain_match"] = {"application_protocols": sniffed}
    return local


def _inbound_filter(network_filter: Resource) -> Resource:
    if network_filter["name"] == CONNECTION_MANAGER:
        return {**network_filter, "typed_config": adapted(network_filter["typed_config"], "inbound")}
    return logged(network_filter, "inbound") if network_filter["name"] == TCP_PROXY else network_filter
