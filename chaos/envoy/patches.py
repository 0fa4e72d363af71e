"""What do EnvoyFilters make of a configuration? Selects those that concern a proxy and applies their patches in istiod's order.

`apply` works on any configuration, also on one that is patched already: it returns a new one and shares everything it
does not change, so that adding one route to one virtual host costs next to nothing. Facts: istio pilot/pkg/model/envoyfilter.go,
push_context.go (`EnvoyFilters`) and pilot/pkg/networking/core/envoyfilter.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from chaos.envoy import clusterpatches, listenerpatches, routepatches
from chaos.envoy.configuration import Configuration
from chaos.envoy.merging import canonical
from chaos.envoy.patchmatch import GATEWAY, SIDECAR_INBOUND, SIDECAR_OUTBOUND, Patch
from chaos.istio import services
from chaos.istio.documents import Document
from chaos.istio.world import DEFAULT_PROFILE, Proxy, World

ByTarget = Mapping[str, Sequence[Patch]]
"""applyTo -> patches, in order."""
_ROOT_NAMESPACE = "istio-system"
_MESSAGES = {
    "LISTENER": "envoy.config.listener.v3.Listener",
    "LISTENER_FILTER": "envoy.config.listener.v3.ListenerFilter",
    "FILTER_CHAIN": "envoy.config.listener.v3.FilterChain",
    "NETWORK_FILTER": "envoy.config.listener.v3.Filter",
    "HTTP_FILTER": "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
    "ROUTE_CONFIGURATION": "envoy.config.route.v3.RouteConfiguration",
    "VIRTUAL_HOST": "envoy.config.route.v3.VirtualHost",
    "HTTP_ROUTE": "envoy.config.route.v3.Route",
    "CLUSTER": "envoy.config.cluster.v3.Cluster",
}
# Everywhere else an insert has no neighbour to stand beside and becomes an ADD.
_ORDERED = frozenset({"NETWORK_FILTER", "HTTP_FILTER", "HTTP_ROUTE", "LISTENER_FILTER"})
_INSERTS = frozenset({"INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST"})


def filters_for(world: World, proxy: Proxy) -> list[Document]:
    """The EnvoyFilters of a world that concern `proxy`, in the order they are applied."""
    root = world.mesh.root_namespace
    mine = [d for d in world.envoy_filters if d.namespace in (root, proxy.namespace)]
    return in_order(mine, proxy, root_namespace=root)


def in_order(filters: Iterable[Document], proxy: Proxy, *, root_namespace: str = _ROOT_NAMESPACE) -> list[Document]:
    """Those that concern `proxy`: low priority first, the root namespace's before the proxy's own, then by age and name."""
    concerned = [d for d in filters if concerns(d, proxy, root_namespace=root_namespace)]
    return sorted(
        concerned,
        key=lambda d: (int(d.spec.get("priority") or 0), d.namespace != root_namespace, services.created(d), d.name),
    )


def concerns(document: Document, proxy: Proxy, *, root_namespace: str = _ROOT_NAMESPACE) -> bool:
    """Own or root namespace, and a selector that picks the proxy's labels. `targetRefs` never mean a sidecar."""
    if document.namespace not in (root_namespace, proxy.namespace) or document.spec.get("targetRefs"):
        return False
    return proxy.pod.has((document.spec.get("workloadSelector") or {}).get("labels") or {})


def apply(
    configuration: Configuration,
    filters: Iterable[Document],
    proxy: Proxy,
    *,
    root_namespace: str = _ROOT_NAMESPACE,
    profile: str = DEFAULT_PROFILE,
    gateway_ports: Mapping[int, Collection[int]] | None = None,
    inbound_hosts: Mapping[int, Collection[str]] | None = None,
) -> Configuration:
    """`configuration` with every patch of `filters` that concerns `proxy`; the given one stays as it is.

    `gateway_ports`: port a gateway is bound to -> ports its Gateways write, where they differ. `inbound_hosts`: target port ->
    hosts of the services that lead there, for cluster patches that name a service.
    """
    patches = _patches(in_order(filters, proxy, root_namespace=root_namespace), profile)
    if not patches:
        return configuration
    listeners, routes, clusters = configuration.listeners, configuration.routes, configuration.clusters
    contexts = (GATEWAY,) if proxy.is_gateway else (SIDECAR_OUTBOUND, SIDECAR_INBOUND)
    if patches.keys() & routepatches.TARGETS:
        ports = gateway_ports or {}
        routes = tuple(routepatches.patched(route, contexts[0], patches, ports) for route in routes)
    if patches.keys() & listenerpatches.TARGETS or (SIDECAR_INBOUND in contexts and patches.keys() & routepatches.TARGETS):
        listeners = tuple(
            listener for context in contexts for listener in listenerpatches.patched(_of_side(listeners, context), context, patches)
        )
    if "CLUSTER" in patches:
        hosts = inbound_hosts or {}
        clusters = tuple(
            cluster
            for context in contexts
            for cluster in clusterpatches.patched(_clusters_of_side(clusters, context), context, patches["CLUSTER"], hosts)
        )
    return Configuration(listeners=listeners, routes=routes, clusters=clusters, endpoints=configuration.endpoints)


def _patches(filters: Iterable[Document], profile: str) -> ByTarget:
    found: dict[str, list[Patch]] = defaultdict(list)
    for document in filters:
        for patch in _patches_of(document, profile):
            found[patch.apply_to].append(patch)
    return found


@lru_cache(maxsize=1024)
def _patches_of(document: Document, profile: str) -> tuple[Patch, ...]:
    """Read once for all proxies and all changes: an injection is switched by one filter while large ones stand beside it."""
    return tuple(
        _patch(raw, target)
        for raw in document.spec.get("configPatches") or ()
        if (target := str(raw.get("applyTo") or "")) in _MESSAGES
        and raw.get("patch")
        and _meets_proxy(raw.get("match") or {}, profile)
    )


def _patch(raw: Mapping[str, Any], target: str) -> Patch:
    match, patch = raw.get("match") or {}, raw["patch"]
    operation = str(patch.get("operation") or "")
    if operation in _INSERTS and target not in _ORDERED:
        operation = "ADD"
    return Patch(
        apply_to=target,
        operation=operation,
        context=str(match.get("context") or "ANY"),
        value=canonical(_MESSAGES[target], patch.get("value") or {}),
        listener=match.get("listener"),
        routes=match.get("routeConfiguration"),
        cluster=match.get("cluster"),
    )


def _meets_proxy(match: Mapping[str, Any], profile: str) -> bool:
    """`proxyVersion` is searched for in the Istio version of the proxy; metadata of ours is only that version."""
    wanted = match.get("proxy") or {}
    version = f"{profile}.0"
    if wanted.get("proxyVersion") and not re.search(str(wanted["proxyVersion"]), version):
        return False
    return all(key == "ISTIO_VERSION" and value == version for key, value in (wanted.get("metadata") or {}).items())


def _of_side(listeners: Sequence[Mapping[str, Any]], context: str) -> list[dict[str, Any]]:
    if context == GATEWAY:
        return [dict(listener) for listener in listeners]
    inbound = context == SIDECAR_INBOUND
    return [dict(li) for li in listeners if (li.get("traffic_direction") == "INBOUND") is inbound]


def _clusters_of_side(clusters: Sequence[Mapping[str, Any]], context: str) -> list[dict[str, Any]]:
    if context == GATEWAY:
        return [dict(cluster) for cluster in clusters]
    inbound = context == SIDECAR_INBOUND
    return [dict(c) for c in clusters if str(c["name"]).lower().startswith("inbound") is inbound]
