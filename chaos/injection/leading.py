"""Which requests of a gateway's virtual host lead to the callee?

A sidecar has a virtual host for each service. A gateway has one for each host name of the world outside, whose routes may lead to
several services; routes of ours stand in front of all of them, and must take no request that goes elsewhere. So they match what
the routes to the callee match, but for what a route before these takes. Pure; `private_path` copies those routes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from chaos.envoy.configuration import Configuration
from chaos.envoy.naming import parse_cluster
from chaos.errors import Refused
from chaos.model.edge import Edge

Json = dict[str, Any]

EVERYTHING: Json = {"prefix": "/"}
MOST_MATCHES = 64
"""So many routes in front of a virtual host are plenty; more come of a virtual host that is better tested at the callee."""
_PATHS = ("path", "prefix", "path_separated_prefix")
_UNDERSTOOD = {*_PATHS, "safe_regex", "case_sensitive", "headers"}


def hosts_to(configuration: Configuration, callee: str) -> list[str]:
    """The virtual hosts that have a route to the callee; not those that redirect everything to HTTPS."""
    hosts = (host for routes in configuration.routes for host in routes.get("virtual_hosts", ()))
    leading = (h for h in hosts if h.get("require_tls") != "ALL" and any(leads(r, callee) for r in h.get("routes", ())))
    return list(dict.fromkeys(str(host["name"]) for host in leading))


def leads(route: Mapping[str, Any], callee: str) -> bool:
    """To the callee, or to it among others."""
    action = route.get("route", {})
    clusters = [action.get("cluster", ""), *(c.get("name", "") for c in action.get("weighted_clusters", {}).get("clusters", ()))]
    return any(parse_cluster(name).host == callee for name in clusters)


def matches_to(routes: Sequence[Mapping[str, Any]], callee: str, edge: Edge) -> list[Json]:
    """Match exactly the requests that these routes lead to the callee. Raises Refused where no match can say which."""
    found: list[Json] = []
    others: list[Mapping[str, Any]] = []
    for route in routes:
        if leads(route, callee):
            found += _without(route["match"], others, edge)
        else:
            others.append(route["match"])
    if not found:
        raise Refused(f"{edge}: the routes to {callee} come after one that takes every request; mend the VirtualServices first")
    if len(found) > MOST_MATCHES:
        raise Refused(
            f"{edge}: the routes of other services stand so between those of {callee} that it would take {len(found)} routes of "
            "ours to tell their requests apart; inject on an edge behind the gateway"
        )
    return found


def _without(match: Mapping[str, Any], others: Iterable[Mapping[str, Any]], edge: Edge) -> list[Json]:
    """`match`, and none of `others`: one match for each way in which a request can miss all of them."""
    misses = [_misses(other, edge) for other in others if not _apart(match, other)]
    return [
        {**match, "headers": [*match.get("headers", ()), *conditions]} if conditions else dict(match)
        for conditions in itertools.islice(itertools.product(*misses), MOST_MATCHES + 1)
    ]


def _apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """No path can meet both; said only where that is easy to see."""
    texts = []
    for match in (one, other):
        kind = next((key for key in _PATHS if key in match), None)
        if kind is None:
            return False
        texts.append((kind == "path", str(match[kind]).lower()))
    (first_whole, first), (second_whole, second) = texts
    if first_whole and second_whole:
        return first != second
    return not (second.startswith(first) and not first_whole) and not (first.startswith(second) and not second_whole)


def _misses(match: Mapping[str, Any], edge: Edge) -> list[Json]:
    """Conditions of which a request that misses `match` meets at least one."""
    if unknown := sorted(match.keys() - _UNDERSTOOD):
        raise Refused(
            f"{edge}: a route of the gateway to another service, which comes first, matches {unknown[0]}; no route can match what "
            "that one leaves. Let it match path or headers, or inject on an edge behind the gateway"
        )
    return [*_other_paths(match), *map(_inverted, match.get("headers", ()))]


def _other_paths(match: Mapping[str, Any]) -> Iterator[Json]:
    """`:path` has the query too, which a route's path knows nothing of."""
    if "safe_regex" in match:
        text = f"(?:{match['safe_regex']['regex']})([?].*)?"
    elif "path" in match:
        text = f"{re.escape(match['path'])}([?].*)?"
    elif "path_separated_prefix" in match:
        text = f"{re.escape(match['path_separated_prefix'])}([/?].*)?"
    elif match.get("prefix", "/") != "/":
        text = f"{re.escape(match['prefix'])}.*"
    else:
        return
    insensitive = "" if match.get("case_sensitive", True) else "(?i)"
    yield {"name": ":path", "string_match": {"safe_regex": {"regex": insensitive + text}}, "invert_match": True}


def _inverted(header: Mapping[str, Any]) -> Json:
    kept = {key: value for key, value in header.items() if key not in ("invert_match", "treat_missing_header_as_empty")}
    if header.get("invert_match"):
        return kept
    missing = {} if "present_match" in header else {"treat_missing_header_as_empty": True}
    return {**kept, "invert_match": True, **missing}
