"""What is the private path? A copy of the callee's virtual host and clusters in the caller's proxy, behind internal listeners.

    our route -> cluster N.call -> listener N.call (copied routes: the hop's own policy)
              -> clusters N.0, N.1 ... (copies: same endpoints, breakers, outlier detection)
              -> listener N.attempt (one filter chain per replica) -> N.direct -> the real host

Everything is copied from the proxy's own configuration dump, so the policy under test is the one in force. Both listeners
carry a fault filter that obeys only the header of our route, and an access log of ours that writes a line when a stream
starts and one when it ends. Measured through a real istiod 1.29.6 and Envoy 1.40.

Before: `callers`. After: `switch` makes the route into the path, `objects` wraps both into EnvoyFilters.
"""

from __future__ import annotations

import copy
import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.envoy.configuration import Configuration
from chaos.envoy.policy import EdgePolicy, Outlier, edge_policy, short
from chaos.errors import Refused
from chaos.injection.callers import Callers
from chaos.injection.fault_filter import callee_side, caller_side, strip_headers
from chaos.injection.leading import EVERYTHING, leads, matches_to
from chaos.injection.logs import access_log
from chaos.injection.names import HEADER, HEADER_CALL, HEADER_FAILURE, is_ours
from chaos.model.breakers import Breaker
from chaos.model.edge import Edge

Json = dict[str, Any]

HTTP_PROTOCOL_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
TYPE = "type.googleapis.com/"

COPIED_FILTERS = frozenset({"envoy.filters.http.cors", "envoy.filters.http.fault"})
"""Per-route filter configuration that is understood: cors runs where its route is, a fault of the owner is refused apart."""

HOST_LEVEL = frozenset({
    "request_mirror_policies", "hedge_policy", "typed_per_filter_config", "request_headers_to_add", "request_headers_to_remove",
    "response_headers_to_add", "response_headers_to_remove", "rate_limits", "matcher", "cors", "require_tls",
})  # fmt: skip
"""What a virtual host says for all of its routes, ours included. istiod writes none of these for a sidecar."""

COPIED_CLUSTER_FIELDS = (
    "connect_timeout", "per_connection_buffer_limit_bytes", "lb_policy", "lb_subset_config", "least_request_lb_config",
    "round_robin_lb_config", "ring_hash_lb_config", "maglev_lb_config", "load_balancing_policy", "health_checks",
    "max_requests_per_connection", "circuit_breakers", "typed_extension_protocol_options", "outlier_detection",
    "common_lb_config", "upstream_connection_options", "track_cluster_stats", "ignore_health_on_host_removal",
)  # fmt: skip
"""What of a cluster is policy. Not: how its hosts are found, how they are reached (TLS), what its statistics are called."""

FAILURES_RETRIED: Mapping[str, tuple[str, ...]] = {
    "connect-failure": ("connect-failure",),
    "reset": ("connect-failure", "reset"),
    "5xx": ("connect-failure", "reset"),
    "gateway-error": ("connect-failure", "reset"),
    # Of a reset nobody can tell afterwards whether the request had gone out; of a failed connection everybody can.
    "reset-before-request": ("connect-failure",),
}
"""Words of retry_on -> the failures they retry. Not `refused-stream`: that a reset was a refusal is no longer seen behind our
listener, and taking every reset for one would repeat requests that the callee has had."""

REDACTED = ("[redacted]", "W3JlZGFjdGVkXQ==")
"""What a dump shows in the place of a key, as text and as bytes (measured on Envoy 1.40)."""

FAILURE_FLAGS = {"connect-failure": ("UF",), "reset": ("UC", "UR", "LR")}
"""What the first router behind our listener turns into a 503, by the retry_on word that would have seen the failure itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivatePath:
    """One staged path: for the callers of one workload, to one virtual host."""

    name: str
    edge: Edge
    callers: Callers
    virtual_host: str
    """`reviews.bookinfo.svc.cluster.local:9080`: where our route is put in front."""
    grpc: bool
    """The port carries gRPC: what the caller sees of an HTTP status is a gRPC one."""
    clusters: tuple[Json, ...]
    listeners: tuple[Json, ...]
    replicas: tuple[str, ...]
    """`ip:port` of the callee's hosts, in the order of their index in the header."""
    route_configurations: tuple[str, ...]
    """Names of the route configurations that have the virtual host."""
    matches: tuple[Json, ...] = (EVERYTHING,)
    """Which requests of the virtual host are the callee's; in a sidecar all of them are."""
    copied: Mapping[str, Any]
    """What was copied, as it was: a later difference ends the injections on this path."""

    @property
    def breakers(self) -> tuple[Breaker, ...]:
        """The circuit breakers that were copied, with the names of the copies."""
        return tuple(
            Breaker(
                cluster=f"{self.name}.{index}",
                name=short(policy.name),
                proxies=tuple(pod.id for pod in self.callers.pods),
                hosts=_replicas({policy.name: self.copied["endpoints"][policy.name]}),
                limits=policy.limits,
                **(_detection(policy.outlier) if policy.outlier else {}),
            )
            for index, policy in enumerate(self.policy.clusters)
        )

    @property
    def policy(self) -> EdgePolicy:
        """The resilience policy that was copied."""
        return edge_policy(self.copied["virtual_host"], self.copied["clusters"].values())


def private_path(
    *,
    name: str,
    edge: Edge,
    callers: Callers,
    virtual_host: str,
    grpc: bool,
    configuration: Configuration,
    only_to: str | None = None,
) -> PrivatePath:
    """Copy `virtual_host` out of one proxy's dump, or of its routes those to one host. Raises Refused for what cannot be copied."""
    copied = copy_source(configuration, virtual_host, edge, only_to)
    names = {original: f"{name}.{index}" for index, original in enumerate(copied["clusters"])}
    replicas = _replicas(copied["endpoints"])
    if not replicas:
        raise Refused(f"{edge}: {virtual_host} has no endpoint in {callers.pods[0].id}; start the callee first")
    direct = {replica: _direct_cluster(name, copied, replica) for replica in replicas}
    listeners = (
        _attempt_listener(name, replicas, {replica: cluster["name"] for replica, cluster in direct.items()}),
        _call_listener(name, copied, names),
    )
    clusters = (
        *{cluster["name"]: cluster for cluster in direct.values()}.values(),
        *(_private_cluster(name, copied, original, private) for original, private in names.items()),
        _call_cluster(name),
    )
    return PrivatePath(
        name=name, edge=edge, callers=callers, virtual_host=virtual_host, grpc=grpc,
        clusters=clusters, listeners=listeners, replicas=replicas, copied=copied, matches=copied["matches"],
        route_configurations=tuple(
            routes["name"] for routes in configuration.routes
            if any(host["name"] == virtual_host for host in routes.get("virtual_hosts", []))
        ),
    )  # fmt: skip


def _detection(outlier: Outlier) -> dict[str, Any]:
    return {
        "consecutive_5xx": outlier.consecutive_5xx,
        "consecutive_gateway": outlier.consecutive_gateway,
        "interval": outlier.interval,
        "base_ejection": outlier.base_ejection,
        "max_ejection_percent": outlier.max_ejection_percent,
    }


# ------------------------------------------------------------------------------------------------ what is copied
def copy_source(configuration: Configuration, virtual_host: str, edge: Edge, only_to: str | None = None) -> Json:
    """The virtual host without our routes, its clusters and their endpoints, as one proxy holds them now.

    With `only_to`, the host of a callee: of its routes those to that host, and what requests they get.
    """
    host = _virtual_host(configuration, virtual_host, edge)
    matches: tuple[Json, ...] = (EVERYTHING,)
    if only_to is not None:
        matches = tuple(matches_to(host["routes"], only_to, edge))
        host = {**host, "routes": [route for route in host["routes"] if leads(route, only_to)]}
    _check_routes(edge, host)
    wanted = _clusters_of(host)
    clusters = {c["name"]: c for c in configuration.clusters if c["name"] in wanted}
    missing = sorted(wanted - clusters.keys())
    if missing:
        raise Refused(
            f"{edge}: a route of {virtual_host} leads to {missing[0]}, which the proxy does not have (503 NC); "
            "mend the VirtualService first"
        )
    _check_clusters(edge, clusters)
    endpoints = {
        e["cluster_name"]: e.get("endpoints", []) for e in configuration.endpoints if e["cluster_name"] in _service_names(clusters)
    }
    found = {
        name: endpoints.get(_service_name(c), c.get("load_assignment", {}).get("endpoints", []))
        for name, c in sorted(clusters.items())
    }
    _check_addresses(edge, found)
    return {
        "virtual_host": host,
        "matches": matches,
        "clusters": {name: clusters[name] for name in sorted(clusters)},
        "endpoints": found,
        "filters": _filters_for(configuration, virtual_host, host),
    }


def _virtual_host(configuration: Configuration, name: str, edge: Edge) -> Json:
    for routes in configuration.routes:
        for host in routes.get("virtual_hosts", []):
            if host["name"] == name:
                return {**host, "routes": [route for route in host.get("routes", []) if not is_ours(str(route.get("name", "")))]}
    raise Refused(
        f"{edge}: the caller's proxy has no route to {name}; "
        "a Sidecar resource or exportTo keeps it from the caller, or it calls another host"
    )


def _check_routes(edge: Edge, host: Mapping[str, Any]) -> None:
    if not host["routes"]:
        raise Refused(f"{edge}: {host['name']} has no routes in the caller's proxy")
    for key in sorted(HOST_LEVEL & host.keys()):
        raise Refused(f"{edge}: {host['name']} has {key} of its own, which would act twice, before and on the private path")
    for route in host["routes"]:
        _check_route(edge, route)
        fault = route.get("typed_per_filter_config", {}).get("envoy.filters.http.fault")
        if fault and fault.keys() - {"@type"}:
            owner = route.get("metadata", {}).get("filter_metadata", {}).get("istio", {}).get("config", "a VirtualService")
            raise Refused(
                f"{edge}: route {route.get('name', '?')!r} already has a fault of its owner ({owner}); "
                "take it away first, or wait for its end"
            )


def _check_route(edge: Edge, route: Mapping[str, Any]) -> None:
    name, action = route.get("name", "?"), route.get("route")
    if action is not None and "cluster" not in action and not _weighted(action):
        raise Refused(f"{edge}: route {name!r} finds its cluster in a way that cannot be copied ({', '.join(sorted(action))})")
    if any("cluster_header" in weighted for weighted in _weighted(action or {})):
        raise Refused(f"{edge}: route {name!r} takes a cluster's name from a header, which cannot be copied")
    if any("connection_properties" in policy for policy in (action or {}).get("hash_policy", ())):
        raise Refused(f"{edge}: route {name!r} chooses hosts by the caller's address, which is not seen on the private path")
    if unknown := sorted(set(route.get("typed_per_filter_config", {})) - COPIED_FILTERS):
        raise Refused(f"{edge}: route {name!r} configures {unknown[0]}, which would run twice, before and on the private path")
    if {"dynamic_metadata", "filter_state"} & route.get("match", {}).keys():
        raise Refused(f"{edge}: route {name!r} matches what filters found out, which is not known on the private path")


def _weighted(action: Mapping[str, Any]) -> list[Json]:
    return list(action.get("weighted_clusters", {}).get("clusters", []))


def _check_clusters(edge: Edge, clusters: Mapping[str, Json]) -> None:
    for name, cluster in clusters.items():
        if cluster.get("type") == "ORIGINAL_DST":
            raise Refused(
                f"{edge}: {name} goes to original destinations (headless service or PASSTHROUGH), whose hosts cannot be copied"
            )
        if any(mark in json.dumps(cluster) for mark in REDACTED):
            raise Refused(
                f"{edge}: {name} holds a secret in its own configuration, which no proxy shows, so that it cannot be copied; let "
                "the DestinationRule name it (credentialName, or files), or inject on another edge"
            )


def _clusters_of(host: Mapping[str, Any]) -> set[str]:
    names: set[str] = set()
    for route in host["routes"]:
        action = route.get("route", {})
        if "cluster" in action:
            names.add(action["cluster"])
        names |= {c["name"] for c in action.get("weighted_clusters", {}).get("clusters", [])}
    return names


def _service_name(cluster: Mapping[str, Any]) -> str:
    return str(cluster.get("eds_cluster_config", {}).get("service_name") or cluster["name"])


def _service_names(clusters: Mapping[str, Json]) -> set[str]:
    return {_service_name(c) for c in clusters.values()}


def _filters_for(configuration: Configuration, virtual_host: str, host: Mapping[str, Any]) -> list[Json]:
    """The HTTP filters that the copied routes configure (cors and the like): the others have run before our route is reached."""
    wanted = {name for route in host["routes"] for name in route.get("typed_per_filter_config", {})} - {"envoy.filters.http.fault"}
    if not wanted:
        return []
    holder = next(
        rc["name"] for rc in configuration.routes if any(vh["name"] == virtual_host for vh in rc.get("virtual_hosts", []))
    )
    for listener in configuration.listeners:
        for chain in [*listener.get("filter_chains", []), listener.get("default_filter_chain", {})]:
            for network_filter in chain.get("filters", []):
                manager = network_filter.get("typed_config", {})
                if manager.get("rds", {}).get("route_config_name") == holder:
                    return [f for f in manager.get("http_filters", []) if f["name"] in wanted]
    return []


def _check_addresses(edge: Edge, endpoints: Mapping[str, Sequence[Json]]) -> None:
    for name, localities in endpoints.items():
        for endpoint in (e for locality in localities for e in locality.get("lb_endpoints", [])):
            socket = endpoint.get("endpoint", {}).get("address", {}).get("socket_address", {})
            try:
                ipaddress.ip_address(socket.get("address", ""))
            except ValueError:
                raise Refused(
                    f"{edge}: {name} has the host {socket.get('address') or 'of a pipe'!r}, which is no IP address: "
                    "hosts that Envoy looks up by name cannot be copied"
                ) from None


def _replicas(endpoints: Mapping[str, Sequence[Json]]) -> tuple[str, ...]:
    found = {_address(e): None for localities in endpoints.values() for loc in localities for e in loc.get("lb_endpoints", [])}
    return tuple(sorted(found))


def _address(endpoint: Mapping[str, Any]) -> str:
    socket = endpoint["endpoint"]["address"]["socket_address"]
    return f"{socket['address']}:{socket['port_value']}"


# ------------------------------------------------------------------------------------------------ the call
def _call_listener(name: str, copied: Json, names: Mapping[str, str]) -> Json:
    host = copy.deepcopy(copied["virtual_host"])
    host["name"] = f"{name}.call"  # the callee's own name stays unique in a dump of this proxy
    host["domains"] = ["*"]
    host["response_headers_to_remove"] = [*host.get("response_headers_to_remove", []), HEADER_FAILURE]
    if "retry_policy" in host:
        _see_failures(host["retry_policy"])
    for route in host["routes"]:
        _to_private(route.get("route", {}), names)
    manager = _manager(f"{name}.call", access_log(name, "call"), [caller_side(name), *copied["filters"], _router()])
    manager["route_config"] = {"name": f"{name}.call", "virtual_hosts": [host]}
    return {"name": f"{name}.call", "internal_listener": {}, "filter_chains": [{"filters": [_network_filter(manager)]}]}


def _to_private(action: Json, names: Mapping[str, str]) -> None:
    # A mirror would get our headers as well, and it tells nothing of the policy: own traffic is not mirrored.
    action.pop("request_mirror_policies", None)
    if "cluster" in action:
        action["cluster"] = names[action["cluster"]]
    for weighted in action.get("weighted_clusters", {}).get("clusters", []):
        weighted["name"] = names[weighted["name"]]
    if "retry_policy" in action:
        _see_failures(action["retry_policy"])


def _see_failures(retry: Json) -> None:
    """Let the copied retry policy see connect failures and resets, which reach it as a 503 of our own listener."""
    conditions = [c.strip() for c in retry.get("retry_on", "").split(",") if c.strip()]
    seen = sorted({kind for condition in conditions for kind in FAILURES_RETRIED.get(condition, ())})
    if not seen:
        return
    if "retriable-headers" not in conditions:
        conditions.append("retriable-headers")
    retry["retry_on"] = ",".join(conditions)
    matchers = [{"name": HEADER_FAILURE, "string_match": {"exact": kind}} for kind in seen]
    retry["retriable_headers"] = [*retry.get("retriable_headers", []), *matchers]


def _call_cluster(name: str) -> Json:
    endpoint = {"endpoint": {"address": _internal(f"{name}.call", "call")}}
    return {
        "name": f"{name}.call",
        "type": "STATIC",
        "connect_timeout": "10s",
        "circuit_breakers": {"thresholds": [_UNLIMITED]},
        "load_assignment": {"cluster_name": f"{name}.call", "endpoints": [{"lb_endpoints": [endpoint]}]},
        # The caller's own protocol goes through, so that gRPC stays gRPC.
        "typed_extension_protocol_options": {
            HTTP_PROTOCOL_OPTIONS: {
                "@type": f"{TYPE}{HTTP_PROTOCOL_OPTIONS}",
                "use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}},
            }
        },
        "transport_socket": _internal_upstream(),
    }


_UNLIMITED = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), 4294967295)


# ------------------------------------------------------------------------------------------------ the attempts
def _attempt_listener(name: str, replicas: Sequence[str], direct: Mapping[str, str]) -> Json:
    return {
        "name": f"{name}.attempt",
        "internal_listener": {},
        "listener_filters": [
            {
                "name": "envoy.filters.listener.original_dst",
                "typed_config": {"@type": f"{TYPE}envoy.extensions.filters.listener.original_dst.v3.OriginalDst"},
            }
        ],
        "filter_chains": [_replica_chain(name, index, replica, direct[replica]) for index, replica in enumerate(replicas)],
    }


def _replica_chain(name: str, index: int, replica: str, cluster: str) -> Json:
    ip, _, port = replica.rpartition(":")
    route = {
        "match": {"prefix": "/"},
        "name": "attempt",
        "request_headers_to_remove": [HEADER, HEADER_CALL, *strip_headers()],
        "route": {"cluster": cluster, "timeout": "0s"},
    }
    router = _router()
    # The policy's own router has counted the attempts. It costs the application x-envoy-expected-rq-timeout-ms.
    router["typed_config"]["suppress_envoy_headers"] = True
    manager = _manager(f"{name}.attempt", access_log(name, "attempt", host=replica), [callee_side(name, index), router])
    manager["route_config"] = {
        "name": f"{name}.attempt",
        "virtual_hosts": [{"name": "attempt", "domains": ["*"], "routes": [route]}],
    }
    manager["local_reply_config"] = {"mappers": [_failure_header(kind, flags) for kind, flags in FAILURE_FLAGS.items()]}
    return {
        "filter_chain_match": {
            "destination_port": int(port),
            "prefix_ranges": [{"address_prefix": ip.strip("[]"), "prefix_len": 128 if ":" in ip else 32}],
        },
        "filters": [_network_filter(manager)],
    }


def _failure_header(kind: str, flags: Sequence[str]) -> Json:
    return {
        "filter": {"response_flag_filter": {"flags": list(flags)}},
        "headers_to_add": [_set_header(HEADER_FAILURE, kind)],
    }


def _private_cluster(name: str, copied: Json, original: str, private: str) -> Json:
    source = copied["clusters"][original]
    cluster = {key: copy.deepcopy(source[key]) for key in COPIED_CLUSTER_FIELDS if key in source}
    localities = []
    for locality in copied["endpoints"][original]:
        kept = {key: copy.deepcopy(value) for key, value in locality.items() if key != "lb_endpoints"}
        kept["lb_endpoints"] = [_private_endpoint(name, endpoint) for endpoint in locality.get("lb_endpoints", [])]
        localities.append(kept)
    return {
        "name": private,
        "type": "STATIC",
        **cluster,
        "load_assignment": {"cluster_name": private, "endpoints": localities},
        "transport_socket": _internal_upstream(),
    }


def _private_endpoint(name: str, endpoint: Mapping[str, Any]) -> Json:
    address = _address(endpoint)
    kept = {key: endpoint[key] for key in ("health_status", "load_balancing_weight") if key in endpoint}
    return {
        "endpoint": {"address": _internal(f"{name}.attempt", address)},
        "metadata": {
            "filter_metadata": {
                "envoy.filters.listener.original_dst": {"local": address},
                # Consistent hashing goes by the address of a host, and ours are internal ones.
                "envoy.lb": {"hash_key": address, **endpoint.get("metadata", {}).get("filter_metadata", {}).get("envoy.lb", {})},
            }
        },
        **kept,
    }


def _direct_cluster(name: str, copied: Json, replica: str) -> Json:
    """How the real host is reached: connect timeout, HTTP options and TLS of the cluster that lists it."""
    for index, (original, source) in enumerate(copied["clusters"].items()):
        for locality in copied["endpoints"][original]:
            for endpoint in locality.get("lb_endpoints", []):
                if _address(endpoint) == replica:
                    return _direct_of(f"{name}.direct.{index}", source, endpoint)
    raise KeyError(replica)  # pragma: no cover - replicas come from these very endpoints


def _direct_of(name: str, source: Mapping[str, Any], endpoint: Mapping[str, Any]) -> Json:
    suffix, socket = _transport_socket(source, endpoint)
    cluster: Json = {
        "name": f"{name}{suffix}",
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": source.get("connect_timeout", "10s"),
        "circuit_breakers": {"thresholds": [_UNLIMITED]},
    }
    if "typed_extension_protocol_options" in source:
        cluster["typed_extension_protocol_options"] = copy.deepcopy(source["typed_extension_protocol_options"])
    if socket is not None:
        cluster["transport_socket"] = copy.deepcopy(socket)
    return cluster


def _transport_socket(source: Mapping[str, Any], endpoint: Mapping[str, Any]) -> tuple[str, Json | None]:
    """Auto mTLS chooses by endpoint metadata; original-destination hosts have none, so the choice is made here."""
    wanted = endpoint.get("metadata", {}).get("filter_metadata", {}).get("envoy.transport_socket_match", {})
    for candidate in source.get("transport_socket_matches", []):
        if candidate.get("match", {}).items() <= wanted.items():
            return f".{candidate['name']}", candidate.get("transport_socket")
    return "", source.get("transport_socket")


# ------------------------------------------------------------------------------------------------ shapes of Envoy
def _manager(stat_prefix: str, log: Json, filters: Sequence[Json]) -> Json:
    return {
        "@type": f"{TYPE}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": stat_prefix,
        # The request goes on as the outer connection manager has shaped it.
        "generate_request_id": False,
        "preserve_external_request_id": True,
        "server_header_transformation": "PASS_THROUGH",
        "skip_xff_append": True,
        "stream_idle_timeout": "0s",
        "access_log": [log],
        "access_log_options": {"flush_access_log_on_new_request": True},
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "http_filters": list(filters),
    }


def _network_filter(manager: Json) -> Json:
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def _router() -> Json:
    return {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{TYPE}envoy.extensions.filters.http.router.v3.Router"},
    }


def _set_header(key: str, value: str) -> Json:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _internal(listener: str, endpoint: str) -> Json:
    return {"envoy_internal_address": {"server_listener_name": listener, "endpoint_id": endpoint}}


def _internal_upstream() -> Json:
    base = f"{TYPE}envoy.extensions.transport_sockets"
    return {
        "name": "envoy.transport_sockets.internal_upstream",
        "typed_config": {
            "@type": f"{base}.internal_upstream.v3.InternalUpstreamTransport",
            "passthrough_metadata": [{"kind": {"host": {}}, "name": "envoy.filters.listener.original_dst"}],
            "transport_socket": {
                "name": "envoy.transport_sockets.raw_buffer",
                "typed_config": {"@type": f"{base}.raw_buffer.v3.RawBuffer"},
            },
        },
    }
