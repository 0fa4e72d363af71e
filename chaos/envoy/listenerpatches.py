"""What do EnvoyFilters make of the listeners? Patches of listeners, filter chains, network filters and HTTP filters.

Each level is patched before the next: a listener, its listener filters, its chains, their network filters, and inside a
connection manager its HTTP filters (adds, inserts and removals in order, then merges) and the routes built into it. Facts: istio
pilot/pkg/networking/core/envoyfilter/listener_patch.go. Nothing is changed in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from chaos.envoy import routepatches
from chaos.envoy.configuration import Resource
from chaos.envoy.httpfilters import CONNECTION_MANAGER
from chaos.envoy.merging import merged, merged_any
from chaos.envoy.patchmatch import SIDECAR_INBOUND, Patch
from chaos.envoy.splicing import inserted, replaced

TARGETS = frozenset({"LISTENER", "LISTENER_FILTER", "FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER"})
_PACKAGE = "envoy.config.listener.v3"
ByTarget = Mapping[str, Sequence[Patch]]
Named = Callable[[Patch], Callable[[Resource], bool] | None]


def patched(listeners: Iterable[Resource], context: str, patches: ByTarget) -> list[Resource]:
    """An ADD for ANY context is made once, outbound."""
    meant = {target: [p for p in found if p.is_for(context)] for target, found in patches.items()}
    changed = (_listener(listener, context, meant) for listener in listeners)
    kept = [listener for listener in changed if listener is not None]
    adding = (patch for patch in meant.get("LISTENER", ()) if patch.operation == "ADD")
    return kept + [p.value for p in adding if not (p.context == "ANY" and context == SIDECAR_INBOUND)]


def _listener(listener: Resource, context: str, patches: ByTarget) -> Resource | None:
    """None if it is removed."""
    for patch in patches.get("LISTENER", ()):
        if not patch.meets_listener(listener):
            continue
        if patch.operation == "REMOVE":
            return None
        if patch.merges:
            listener = merged(f"{_PACKAGE}.Listener", listener, patch.value, replace_lists=patch.replaces_lists)
    meant = {target: [p for p in found if p.meets_listener(listener)] for target, found in patches.items()}
    out = dict(listener)
    filters = _listener_filters(listener.get("listener_filters", []), meant.get("LISTENER_FILTER", ()))
    if filters:
        out["listener_filters"] = filters
    chains = [_chain(listener, chain, context, meant) for chain in listener.get("filter_chains", [])]
    added = [p.value for p in meant.get("FILTER_CHAIN", ()) if p.operation == "ADD"]
    if "filter_chains" in listener or added:
        out["filter_chains"] = [chain for chain in chains if chain is not None] + added
    if listener.get("default_filter_chain"):
        default = _chain(listener, listener["default_filter_chain"], context, meant)
        if default is None:
            del out["default_filter_chain"]
        else:
            out["default_filter_chain"] = default
    return out


def _listener_filters(filters: Sequence[Resource], patches: Iterable[Patch]) -> list[Resource]:
    """In order, merges among them; those need a filter by name, whose name they cannot change."""
    out = list(filters)
    for patch in patches:
        out = _spliced(out, [patch], _listener_filter_named)
        beside = _listener_filter_named(patch)
        if patch.merges and beside is not None:
            out = [{**_merged_filter(item, patch), "name": item["name"]} if beside(item) else item for item in out]
    return out


def _chain(listener: Resource, chain: Resource, context: str, patches: ByTarget) -> Resource | None:
    for patch in patches.get("FILTER_CHAIN", ()):
        if not patch.meets_chain(listener, chain):
            continue
        if patch.operation == "REMOVE":
            return None
        if patch.merges:
            chain = merged(f"{_PACKAGE}.FilterChain", chain, patch.value, replace_lists=patch.replaces_lists)
    of_filters = [p for p in patches.get("NETWORK_FILTER", ()) if p.meets_chain(listener, chain)]
    of_http = [p for p in patches.get("HTTP_FILTER", ()) if p.meets_chain(listener, chain)]
    filters = _spliced(chain.get("filters", []), of_filters, _network_filter_named)
    return {**chain, "filters": [_network_filter(f, of_filters, of_http, context, patches) for f in filters]}


def _network_filter(
    network_filter: Resource, of_filters: Sequence[Patch], of_http: Sequence[Patch], context: str, patches: ByTarget
) -> Resource:
    for patch in of_filters:
        if patch.merges and patch.meets_network_filter(str(network_filter.get("name", ""))):
            network_filter = _merged_filter(network_filter, patch)
    if network_filter.get("name") != CONNECTION_MANAGER or "typed_config" not in network_filter:
        return network_filter
    config = dict(network_filter["typed_config"])
    meant = [p for p in of_http if p.meets_network_filter(str(network_filter["name"]))]
    if meant:
        config["http_filters"] = _http_filters(config.get("http_filters", []), meant)
    if "route_config" in config:
        config["route_config"] = routepatches.patched(config["route_config"], context, patches, {})
    return {**network_filter, "typed_config": config}


def _http_filters(filters: Sequence[Resource], patches: Sequence[Patch]) -> list[Resource]:
    out = []
    for http_filter in _spliced(filters, patches, _http_filter_named):
        for patch in patches:
            if patch.merges and patch.meets_http_filter(str(http_filter.get("name", ""))):
                http_filter = _merged_filter(http_filter, patch)
        out.append(http_filter)
    return out


def _merged_filter(below: Resource, patch: Patch) -> Resource:
    """Name and configuration; a filter without configuration is left alone."""
    if not below.get("typed_config"):
        return below
    out = {**below, "name": patch.value.get("name") or below.get("name", "")}
    if patch.value.get("typed_config"):
        out["typed_config"] = merged_any(below["typed_config"], patch.value["typed_config"])
    return out


def _spliced(items: Sequence[Resource], patches: Iterable[Patch], named: Named) -> list[Resource]:
    out = list(items)
    for patch in patches:
        beside = named(patch)
        out = replaced(inserted(out, patch, beside), patch, beside)
    return out


def _listener_filter_named(patch: Patch) -> Callable[[Resource], bool] | None:
    return _by_name(patch.meets_listener_filter) if patch.names_listener_filter else None


def _network_filter_named(patch: Patch) -> Callable[[Resource], bool] | None:
    return _by_name(patch.meets_network_filter) if patch.names_network_filter else None


def _http_filter_named(patch: Patch) -> Callable[[Resource], bool] | None:
    return _by_name(patch.meets_http_filter) if patch.names_http_filter else None


def _by_name(meets: Callable[[str], bool]) -> Callable[[Mapping[str, Any]], bool]:
    return lambda item: meets(str(item.get("name", "")))
