"""Where does a request go, and how? From the HTTP rules of one VirtualService to Envoy routes, as one listener port sees them.

`virtualhosts` (sidecars) and `gateways` collect the routes by host. Facts: istio RT `BuildHTTPRoutesForVirtualService`,
`translateRoute`, `applyHTTPRouteDestination`, `ApplyRedirect`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chaos.envoy.cors import CORS, cors_policy
from chaos.envoy.faults import FAULT, http_fault, hundredths, millionths
from chaos.envoy.hashing import hash_of_destination, hash_policy
from chaos.envoy.headers import HeaderOperations, operations
from chaos.envoy.matches import is_catch_all, route_match
from chaos.envoy.naming import outbound_cluster
from chaos.envoy.retries import retry_policy
from chaos.istio.destinationrules import DestinationRule
from chaos.istio.durations import to_proto
from chaos.istio.meshconfig import MeshConfig
from chaos.istio.services import Service
from chaos.istio.virtualservices import VirtualService
from chaos.istio.world import Proxy

Route = dict[str, Any]
_REDIRECT_CODES = {0: None, 301: None, 302: "FOUND", 303: "SEE_OTHER", 307: "TEMPORARY_REDIRECT", 308: "PERMANENT_REDIRECT"}
_DEFAULT_PORTS = {("http", 80), ("https", 443)}
NO_TIMEOUT = "0s"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteContext:
    """Who asks: routes differ by proxy, port and gateway."""

    proxy: Proxy
    mesh: MeshConfig
    minor: int
    """Istio's minor version."""
    port: int
    """Of the listener (sidecar: the service port; gateway: the server port)."""
    gateway: str
    """`mesh` or `namespace/name`."""
    service_of: Callable[[str], Service | None]
    """The service behind a destination's host, with the ports that count here."""
    rule_of: Callable[[str], DestinationRule | None]
    """The DestinationRule in force for a host."""
    tls: bool = False
    tells_forwarded_host: bool = False
    """`proxyHeaders.xForwardedHost`: the original host goes along where it is rewritten."""


def routes_of(virtual_service: VirtualService, context: RouteContext) -> list[Route]:
    """In order, until one takes everything: what stands behind a catch-all is never sent.

    Each entry of `match` is a route of its own. Rules that do not concern this proxy, port or gateway are left out.
    """
    routes: list[Route] = []
    for rule in virtual_service.http:
        matches = rule.get("match") or [None]
        for match in matches:
            if not _concerns(match, context):
                continue
            route = _route(rule, match, virtual_service, context)
            routes.append(route)
            if is_catch_all(route["match"]):
                return routes
        if matches == [None]:
            return routes
    return routes


def default_route(cluster: str, context: RouteContext, consistent_hash: Mapping[str, Any] | None = None) -> Route:
    """For a service that no VirtualService has taken."""
    action: dict[str, Any] = {"cluster": cluster, "timeout": NO_TIMEOUT, "max_grpc_timeout": NO_TIMEOUT}
    retries = retry_policy(context.mesh.default_http_retry_policy, consistent_hash=False, minor=context.minor)
    if retries is not None:
        action["retry_policy"] = retries
    policy = hash_policy(consistent_hash)
    if policy is not None:
        action["hash_policy"] = [policy]
    return {"name": "default", "match": route_match(None), "route": action}


def _concerns(match: Mapping[str, Any] | None, context: RouteContext) -> bool:
    """`gateways` in a match switches sourceLabels and sourceNamespace off (istio RT `sourceMatchHTTP`)."""
    if match is None:
        return True
    if match.get("port") and int(match["port"]) != context.port:
        return False
    if match.get("gateways"):
        return context.gateway in match["gateways"]
    return context.proxy.pod.has(match.get("sourceLabels") or {}) and match.get("sourceNamespace") in (
        None,
        "",
        context.proxy.namespace,
    )


def _route(rule: Mapping[str, Any], match: Mapping[str, Any] | None, owner: VirtualService, context: RouteContext) -> Route:
    name = _name(rule, match)
    route: Route = {"name": name} if name else {}
    route["match"] = route_match(match)
    if match and match.get("statPrefix"):
        route["stat_prefix"] = match["statPrefix"]
    headers = operations(rule.get("headers"))
    headers.apply_to(route)
    if rule.get("redirect") is not None:
        redirect = _redirect(rule["redirect"], context)
        if redirect is not None:
            route["redirect"] = redirect
    elif rule.get("directResponse") is not None:
        route["direct_response"] = _direct_response(rule["directResponse"])
    else:
        route["route"] = _action(rule, route, headers, context)
    filters = {}
    if rule.get("fault") is not None:
        filters[FAULT] = http_fault(rule["fault"])
    if rule.get("corsPolicy") is not None:
        filters[CORS] = cors_policy(rule["corsPolicy"])
    if filters:
        route["typed_per_filter_config"] = filters
    path = f"/apis/networking.istio.io/v1/namespaces/{owner.namespace}/virtual-service/{owner.name}"
    route["metadata"] = {"filter_metadata": {"istio": {"config": path}}}
    return route


def _name(rule: Mapping[str, Any], match: Mapping[str, Any] | None) -> str:
    name = str(rule.get("name") or "")
    return f"{name}.{match['name']}" if match and match.get("name") else name


def _action(rule: Mapping[str, Any], route: Route, headers: HeaderOperations, context: RouteContext) -> dict[str, Any]:
    timeout = to_proto(rule["timeout"]) if rule.get("timeout") is not None else NO_TIMEOUT
    action: dict[str, Any] = {"timeout": timeout, "max_grpc_timeout": timeout}
    authority = _rewrite(action, rule.get("rewrite")) or headers.authority
    if authority:
        action["host_rewrite_literal"] = authority
    mirrors = _mirrors(rule, context)
    if mirrors:
        action["request_mirror_policies"] = mirrors
    destinations = rule.get("route") or []
    if len(destinations) == 1:
        sticky = _single_destination(action, route, destinations[0], context)
    else:
        _weighted_destinations(action, destinations, context)
        sticky = False
    if context.tells_forwarded_host and "host_rewrite_literal" in action:
        action["append_x_forwarded_host"] = True
    written = rule.get("retries")
    retries = retry_policy(
        context.mesh.default_http_retry_policy if written is None else written, consistent_hash=sticky, minor=context.minor
    )
    if retries is not None:
        action["retry_policy"] = retries
    return action


def _rewrite(action: dict[str, Any], rewrite: Mapping[str, Any] | None) -> str:
    """The path; returns the host to rewrite to, if any."""
    if not rewrite:
        return ""
    regex = rewrite.get("uriRegexRewrite")
    if regex is not None:
        pattern = {"regex": regex["match"]} if regex.get("match") else {}
        action["regex_rewrite"] = {"pattern": pattern}
        if regex.get("rewrite"):
            action["regex_rewrite"]["substitution"] = regex["rewrite"]
    elif rewrite.get("uri"):
        action["prefix_rewrite"] = rewrite["uri"]
    return str(rewrite.get("authority") or "")


def _single_destination(action: dict[str, Any], route: Route, written: Mapping[str, Any], context: RouteContext) -> bool:
    """Its headers join those of the rule and its weight does not matter; returns whether it hashes consistently."""
    destination = written.get("destination") or {}
    action["cluster"] = _cluster(destination, context)
    headers = operations(written.get("headers"))
    headers.apply_to(route)
    if headers.authority and "host_rewrite_literal" not in action:
        action["host_rewrite_literal"] = headers.authority
    hashed = hash_of_destination(context.rule_of(str(destination.get("host") or "")), destination)
    _add_hash_policy(action, hashed)
    return hashed is not None


def _weighted_destinations(action: dict[str, Any], written: list[Mapping[str, Any]], context: RouteContext) -> None:
    """Weights are not normalised (Envoy takes their sum); those of zero are dropped."""
    weighted = []
    for entry in written:
        weight = int(entry.get("weight") or 0)
        if not weight:
            continue
        destination = entry.get("destination") or {}
        cluster: dict[str, Any] = {"name": _cluster(destination, context), "weight": weight}
        headers = operations(entry.get("headers"))
        headers.apply_to(cluster)
        if headers.authority:
            cluster["host_rewrite_literal"] = headers.authority
        _add_hash_policy(action, hash_of_destination(context.rule_of(str(destination.get("host") or "")), destination))
        weighted.append(cluster)
    action["weighted_clusters"] = {"clusters": weighted} if weighted else {}


def _add_hash_policy(action: dict[str, Any], consistent_hash: Mapping[str, Any] | None) -> None:
    policy = hash_policy(consistent_hash)
    if policy is not None:
        action["hash_policy"] = [*action.get("hash_policy", ()), policy]


def _cluster(destination: Mapping[str, Any], context: RouteContext) -> str:
    """Port: the destination's, else the service's only one (of those that count here), else the listener's.

    An ExternalName service stands for its target. Whether the cluster exists is not asked (503 NC at run time if not).
    """
    host = str(destination.get("host") or "")
    service = context.service_of(host)
    if service is not None and service.external_name:
        host = service.external_name
    port = int((destination.get("port") or {}).get("number") or 0)
    if not port:
        port = service.ports[0].number if service is not None and len(service.ports) == 1 else context.port
    return outbound_cluster(port, str(destination.get("subset") or ""), host)


def _mirrors(rule: Mapping[str, Any], context: RouteContext) -> list[dict[str, Any]]:
    """A share of zero mirrors nothing; no share at all mirrors everything."""
    copies = [(rule.get("mirror"), _mirror_share(rule.get("mirrorPercentage"), rule.get("mirrorPercent")))]
    copies += [(m.get("destination"), _mirror_share(m.get("percentage"), None)) for m in rule.get("mirrors") or ()]
    return [_mirror(destination, share, context) for destination, share in copies if destination and share is not None]


def _mirror_share(percentage: Mapping[str, Any] | None, percent: Any) -> dict[str, Any] | None:
    if percentage is not None:
        return millionths(percentage) if float(percentage.get("value") or 0) > 0 else None
    if percent is not None:
        return hundredths(int(percent)) if int(percent) > 0 else None
    return hundredths(100)


def _mirror(destination: Mapping[str, Any], share: dict[str, Any], context: RouteContext) -> dict[str, Any]:
    policy: dict[str, Any] = {
        "cluster": _cluster(destination, context),
        "runtime_fraction": {"default_value": share},
        "trace_sampled": False,
    }
    if context.minor >= 28:  # before that the copy went to `<host>-shadow`
        policy["disable_shadow_host_suffix_append"] = True
    return policy


def _redirect(written: Mapping[str, Any], context: RouteContext) -> dict[str, Any] | None:
    """None for a code that Envoy has no redirect for (305): the route is sent without any action."""
    code = int(written.get("redirectCode") or 0)
    if code not in _REDIRECT_CODES:
        return None
    redirect: dict[str, Any] = {"path_redirect": str(written.get("uri") or "")}
    if written.get("prefixRewrite"):
        redirect = {"prefix_rewrite": written["prefixRewrite"]}
    if written.get("authority"):
        redirect["host_redirect"] = written["authority"]
    if written.get("scheme"):
        redirect["scheme_redirect"] = written["scheme"]
    port = _redirect_port(written, context)
    scheme = str(written.get("scheme") or ("https" if context.tls else "http"))
    if port and (scheme, port) not in _DEFAULT_PORTS:
        redirect["port_redirect"] = port
    if _REDIRECT_CODES[code]:
        redirect["response_code"] = _REDIRECT_CODES[code]
    return redirect


def _redirect_port(written: Mapping[str, Any], context: RouteContext) -> int:
    if written.get("derivePort") is not None:
        return context.port if written["derivePort"] == "FROM_REQUEST_PORT" else 0
    return int(written.get("port") or 0)


def _direct_response(written: Mapping[str, Any]) -> dict[str, Any]:
    response: dict[str, Any] = {"status": int(written.get("status") or 0)}
    body = written.get("body") or {}
    if body.get("bytes") is not None:
        response["body"] = {"inline_bytes": str(body["bytes"])}
    elif body.get("string") is not None:
        response["body"] = {"inline_string": str(body["string"])}
    return response
