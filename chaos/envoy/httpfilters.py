"""Through which filters does every HTTP request go? The HTTP connection manager of sidecars and gateways.

Filter order as istiod has it: metadata exchange, gRPC statistics, ALPN (not inbound), fault, CORS, Istio's statistics, router. The
filters named `istio.*` exist in Istio's build of Envoy only; they stay in the configuration because EnvoyFilters are
positioned against them, and `without_istio_extensions` takes them out for a plain Envoy. Facts: istio
pilot/pkg/networking/core/listener_builder.go (`buildHTTPConnectionManager`).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

from chaos.envoy.configuration import Resource
from chaos.envoy.cors import CORS
from chaos.envoy.faults import FAULT, http_fault
from chaos.envoy.naming import stat_prefix
from chaos.envoy.protocols import PRESERVE_CASE
from chaos.envoy.proxyconfig import disabled, proxy_config, proxy_headers
from chaos.istio.services import Protocol
from chaos.istio.world import Proxy, World

CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager"
ROUTER = "envoy.filters.http.router"
_ENVOY = "type.googleapis.com/envoy.extensions.filters"
_ISTIO_PREFIX = "istio."
_NORMALIZATIONS: Mapping[str, Mapping[str, Any]] = {
    "NONE": {"normalize_path": False},
    "BASE": {"normalize_path": True},
    "MERGE_SLASHES": {"normalize_path": True, "merge_slashes": True},
    "DECODE_AND_MERGE_SLASHES": {
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD",
    },
}


class Side(enum.Enum):
    """Where a connection manager stands; istiod's "listener class"."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"
    GATEWAY = "gateway"


def connection_manager(
    world: World,
    proxy: Proxy,
    side: Side,
    *,
    prefix: str,
    routes: str | Resource,
    protocol: Protocol = Protocol.HTTP,
) -> Resource:
    """A network filter. `routes` is the name of a route configuration, or one that is built in (inbound)."""
    headers = proxy_headers(world, proxy.pod)
    config: Resource = {
        "@type": f"{_ENVOY}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": stat_prefix(prefix),
        "http_filters": http_filters(side, protocol, suppress_debug_headers=disabled(headers, "envoyDebugHeaders")),
        "use_remote_address": side is Side.GATEWAY,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "stream_idle_timeout": "0s",
        "proxy_100_continue": True,
        **_NORMALIZATIONS.get(world.mesh.path_normalization, _NORMALIZATIONS["BASE"]),
        **_identity(headers, side),
        **_client_certificates(side),
    }
    if disabled(headers, "requestId"):
        config["generate_request_id"] = False
    if headers.get("preserveHttp1HeaderCase"):
        config["http_protocol_options"] = PRESERVE_CASE
    idle = (proxy_config(world, proxy.pod).get("proxyMetadata") or {}).get("ISTIO_META_IDLE_TIMEOUT")
    if idle:
        config["common_http_protocol_options"] = {"idle_timeout": str(idle)}
    if isinstance(routes, str):
        source = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
        config["rds"] = {"config_source": source, "route_config_name": routes}
    else:
        config["route_config"] = routes
    return {"name": CONNECTION_MANAGER, "typed_config": config}


def http_filters(side: Side, protocol: Protocol, *, suppress_debug_headers: bool = False) -> list[Resource]:
    """Fault and CORS stand everywhere without configuration: routes bring theirs (`typed_per_filter_config`)."""
    filters = [_filter("istio.metadata_exchange", "type.googleapis.com/io.istio.http.peer_metadata.Config")]
    if protocol is Protocol.GRPC_WEB:
        filters.append(_filter("envoy.filters.http.grpc_web", f"{_ENVOY}.http.grpc_web.v3.GrpcWeb"))
    filters.append(
        _filter(
            "envoy.filters.http.grpc_stats",
            f"{_ENVOY}.http.grpc_stats.v3.FilterConfig",
            emit_filter_state=True,
            stats_for_all_methods=False,
        )
    )
    if side is not Side.INBOUND:
        filters.append(_filter("istio.alpn", "type.googleapis.com/istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig"))
    filters.append({"name": FAULT, "typed_config": http_fault()})
    filters.append(_filter(CORS, f"{_ENVOY}.http.cors.v3.Cors"))
    filters.append(_filter("istio.stats", "type.googleapis.com/stats.PluginConfig"))
    router = {"suppress_envoy_headers": True} if suppress_debug_headers else {}
    filters.append(_filter(ROUTER, f"{_ENVOY}.http.router.v3.Router", **router))
    return filters


def without_istio_extensions(listener: Mapping[str, Any]) -> Resource:
    """The same listener without the filters that only Istio's Envoy knows; what does not change is shared."""
    out = dict(listener)
    if listener.get("filter_chains"):
        out["filter_chains"] = [_plain_chain(chain) for chain in listener["filter_chains"]]
    if listener.get("default_filter_chain"):
        out["default_filter_chain"] = _plain_chain(listener["default_filter_chain"])
    return out


def _plain_chain(chain: Mapping[str, Any]) -> Resource:
    filters = [f for f in chain.get("filters", ()) if not str(f["name"]).startswith(_ISTIO_PREFIX)]
    return {**chain, "filters": [_plain_manager(f) if f["name"] == CONNECTION_MANAGER else f for f in filters]}


def _plain_manager(manager: Mapping[str, Any]) -> Resource:
    config = manager["typed_config"]
    kept = [f for f in config.get("http_filters", ()) if not str(f["name"]).startswith(_ISTIO_PREFIX)]
    return {**manager, "typed_config": {**config, "http_filters": kept}}


def _filter(name: str, type_url: str, **config: Any) -> Resource:
    return {"name": name, "typed_config": {"@type": type_url, **config}}


def _identity(headers: Mapping[str, Any], side: Side) -> Resource:
    """Outbound keeps Envoy's own `server: envoy`; the other sides say `istio-envoy`, unless proxyHeaders.server differs."""
    server = headers.get("server") or {}
    if server.get("disabled"):
        return {"server_header_transformation": "PASS_THROUGH"}
    name = server.get("value") or ("" if side is Side.OUTBOUND else "istio-envoy")
    return {"server_name": str(name)} if name else {}


def _client_certificates(side: Side) -> Resource:
    """x-forwarded-client-cert: appended at the callee, set anew at a gateway."""
    if side is Side.INBOUND:
        return {
            "forward_client_cert_details": "APPEND_FORWARD",
            "set_current_client_cert_details": {"subject": True, "dns": True, "uri": True},
        }
    if side is Side.GATEWAY:
        return {
            "forward_client_cert_details": "SANITIZE_SET",
            "set_current_client_cert_details": {"subject": True, "cert": True, "dns": True, "uri": True},
        }
    return {}
