"""What do EnvoyFilters make of a route configuration? ROUTE_CONFIGURATION, VIRTUAL_HOST and HTTP_ROUTE patches.

Facts: istio pilot/pkg/networking/core/envoyfilter/rc_patch.go. Nothing is changed in place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from chaos.envoy.configuration import Resource
from chaos.envoy.merging import merged
from chaos.envoy.patchmatch import Patch
from chaos.envoy.splicing import inserted

TARGETS = frozenset({"ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE"})
_PACKAGE = "envoy.config.route.v3"


def patched(
    configuration: Resource,
    context: str,
    patches: Mapping[str, Sequence[Patch]],
    gateway_ports: Mapping[int, Collection[int]],
) -> Resource:
    """The route configuration after its patches; the very same object if none applies."""
    name = str(configuration["name"])
    meant = {
        target: [p for p in patches.get(target, ()) if p.is_for(context) and p.meets_routes(name, context, gateway_ports)]
        for target in TARGETS
    }
    if not any(meant.values()):
        return configuration
    for patch in meant["ROUTE_CONFIGURATION"]:
        if patch.merges:
            value = patch.value
            configuration = merged(f"{_PACKAGE}.RouteConfiguration", configuration, value, replace_lists=patch.replaces_lists)
    before = configuration.get("virtual_hosts", [])
    after = [_virtual_host(v, meant["VIRTUAL_HOST"], meant["HTTP_ROUTE"]) for v in before]
    added = [patch.value for patch in meant["VIRTUAL_HOST"] if patch.operation == "ADD"]
    if not added and all(old is new for old, new in zip(before, after, strict=True)):
        return configuration
    return {**configuration, "virtual_hosts": [v for v in after if v is not None] + added}


def _virtual_host(virtual_host: Resource, of_host: Sequence[Patch], of_route: Sequence[Patch]) -> Resource | None:
    """None if it is removed."""
    for patch in of_host:
        if not patch.meets_virtual_host(virtual_host):
            continue
        if patch.operation == "REMOVE":
            return None
        if patch.merges:
            virtual_host = merged(f"{_PACKAGE}.VirtualHost", virtual_host, patch.value, replace_lists=patch.replaces_lists)
        elif patch.operation == "REPLACE":
            virtual_host = patch.value
    meant = [patch for patch in of_route if patch.meets_virtual_host(virtual_host)]
    return {**virtual_host, "routes": _routes(virtual_host.get("routes", []), meant)} if meant else virtual_host


def _routes(routes: Sequence[Resource], patches: Sequence[Patch]) -> list[Resource]:
    """First every route's merges and removals, then what is added, in order."""
    changed = (_route(route, patches) for route in routes)
    kept = [route for route in changed if route is not None]
    for patch in patches:
        kept = _with_added(kept, patch)
    return kept


def _route(route: Resource, patches: Sequence[Patch]) -> Resource | None:
    for patch in patches:
        if not patch.meets_route(route):
            continue
        if patch.operation == "REMOVE":
            return None
        if patch.merges:
            route = merged(f"{_PACKAGE}.Route", route, patch.value, replace_lists=patch.replaces_lists)
    return route


def _with_added(routes: list[Resource], patch: Patch) -> list[Resource]:
    """INSERT_FIRST with a route to stand before only asks whether there is one: it lands on top all the same."""
    if patch.operation == "INSERT_FIRST" and patch.names_route and not any(map(patch.meets_route, routes)):
        return routes
    return inserted(routes, patch, patch.meets_route if patch.names_route else None)
