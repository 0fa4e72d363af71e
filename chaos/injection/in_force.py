"""Does a proxy hold what was sent? Compares dumped resources with ours, by name and by content.

A dump spells values its own way (defaults dropped, durations in full), so both sides are brought into one form first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chaos.injection.names import is_ours
from chaos.injection.private_path import PrivatePath

_DURATION = re.compile(r"(\d+)(\.\d+)?s")
_DEFAULT_ENUMS = {("type", "STATIC"), ("lb_policy", "ROUND_ROBIN"), ("denominator", "HUNDRED"), ("priority", "DEFAULT")}
"""First values of their enums: proto JSON leaves them out."""


def plain(value: Any) -> Any:
    """One spelling for equal proto JSON: no defaults, durations as numbers."""
    if isinstance(value, Mapping):
        inside = {key: plain(item) for key, item in value.items() if (key, str(item)) not in _DEFAULT_ENUMS}
        return {key: item for key, item in inside.items() if item not in (None, False, 0, "", [])}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return float(value[:-1])
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def same(sent: Any, held: Any) -> bool:
    """Equal as proto messages."""
    return bool(plain(sent) == plain(held))


def missing(sent: Iterable[Mapping[str, Any]], held: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of resources that are not there, or not as sent."""
    # A dump wraps each resource in an Any, whose type is not part of the resource.
    by_name = {str(item.get("name")): {key: value for key, value in item.items() if key != "@type"} for item in held}
    return [str(item["name"]) for item in sent if item["name"] not in by_name or not same(item, by_name[item["name"]])]


def own_routes(route_configurations: Iterable[Mapping[str, Any]], virtual_host: str) -> list[list[Mapping[str, Any]]]:
    """Our routes at the head of a virtual host, once per route configuration that has it."""
    return [
        [route for route in host.get("routes", []) if is_ours(str(route.get("name", "")))]
        for routes in route_configurations
        for host in routes.get("virtual_hosts", [])
        if host["name"] == virtual_host
    ]


def switched(path: PrivatePath, wanted: Sequence[Mapping[str, Any]], route_configurations: Sequence[Mapping[str, Any]]) -> bool:
    """True when every virtual host of that name starts with exactly these routes of this path (none: with no route of it)."""
    lists = own_routes(route_configurations, path.virtual_host)
    return bool(lists) and all(same(list(wanted), [route for route in own if route["name"] == path.name]) for own in lists)
