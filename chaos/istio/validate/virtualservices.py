"""When does istiod refuse a VirtualService, and when does it warn?

Sources: istio pkg/config/validation/virtualservice.go and validation.go (`ValidateVirtualService`). What a rule for a
single value says is in `values`; rules that can never be reached are found in `reachability`.
"""

from __future__ import annotations

from itertools import combinations

from chaos.istio import hosts
from chaos.istio.documents import PathInside
from chaos.istio.validate import reachability, values
from chaos.istio.validate.checker import Checker
from chaos.istio.validate.decoding import Message
from chaos.istio.validate.selectors import export_to

MESH = "mesh"
_KIB = 1024


def check_virtual_service(check: Checker, spec: Message, namespace: str) -> None:
    delegate = not spec["hosts"]
    on_mesh = not spec["gateways"] or MESH in spec["gateways"]
    if delegate:
        for field, meaning in (("gateways", "gateways"), ("tls", "tls route"), ("tcp", "tcp route")):
            if spec[field]:
                check.error(spec.at(field), f"delegate virtual service must have no {meaning} specified")
    check_gateway_names(check, spec)
    if on_mesh:
        _check_claims(check, spec)
    _check_hosts(check, spec, on_mesh)
    if not (spec["http"] or spec["tcp"] or spec["tls"]):
        check.error(spec.path, "http, tcp or tls must be provided in virtual service")
    for route in spec["http"]:
        _check_http_route(check, route, delegate)
    for route in spec["tls"]:
        _check_tls_route(check, route, spec)
    for route in spec["tcp"]:
        _check_tcp_route(check.without_warnings(), route)
    export_to(check, spec, namespace)
    reachability.check_reachability(check, spec)


def check_gateway_names(check: Checker, holder: Message) -> None:
    """A name without a namespace ends the check, whatever stands behind it (istio `validateGatewayNames`)."""
    for index, name in enumerate(holder["gateways"]):
        errors, warnings = values.gateway_name(name)
        check.refuse(holder.at("gateways", index), errors)
        for warning in warnings:
            check.warn(holder.at("gateways", index), warning)
        if "/" not in name:
            return


def _check_claims(check: Checker, spec: Message) -> None:
    for route in spec["http"]:
        for match in route["match"]:
            for field in ("headers", "without_headers"):
                for name in filter(values.is_jwt_claim, match[field]):
                    check.error(
                        match.at(field, name),
                        f"JWT claim based routing (key: {name}) is only supported for gateway, "
                        f"found no gateways: [{' '.join(spec['gateways'])}]",
                    )


def _check_hosts(check: Checker, spec: Message, on_mesh: bool) -> None:
    sni = any(match["sni_hosts"] for route in spec["tls"] for match in route["match"])
    valid = True
    for index, host in enumerate(spec["hosts"]):
        wrong = values.sni_domain(host) if sni and not on_mesh else values.wildcard_domain(host)
        if wrong and values.is_ip(host):
            continue
        if not wrong and on_mesh and host == "*":
            wrong = "wildcard host * is not allowed for virtual services bound to the mesh gateway"
        check.refuse(spec.at("hosts", index), wrong)
        valid = valid and not wrong
    if valid:
        for (_, one), (index, other) in combinations(enumerate(spec["hosts"]), 2):
            if hosts.matches(one, other):
                check.error(spec.at("hosts", index), f"duplicate hosts in virtual service: {one} & {other}")


# --------------------------------------------------------------------------------------------------------------- HTTP
def _check_http_route(check: Checker, route: Message, delegate: bool) -> None:
    _check_actions(check, route, delegate)
    silent = check.without_warnings()
    for match in route["match"]:
        _check_match(silent, match)
    _check_headers(check, route["headers"])
    if route["cors_policy"]:
        _check_cors(check, route["cors_policy"])
    if route["fault"]:
        _check_fault(check, route["fault"])
    _check_mirrors(check, route)
    _check_redirect(check, route["redirect"])
    _check_direct_response(check, route["direct_response"])
    _check_retries(check, route["retries"])
    _check_rewrite(check, route)
    _check_weighted(check, route)
    if route.has("timeout"):
        check.refuse(route.at("timeout"), values.duration(route["timeout"]))


def _check_actions(check: Checker, route: Message, delegate: bool) -> None:
    """Which actions exclude each other; a rule that delegates may do nothing else."""
    if route["delegate"] and not delegate:
        for field in ("redirect", "route"):
            if route[field]:
                check.error(route.at(field), f"root HTTP route {route['name']} must not specify {field}")
        return
    if route["delegate"]:
        check.error(route.at("delegate"), "delegate HTTP route cannot contain delegate")
    action = "redirect" if route["redirect"] else "direct_response" if route["direct_response"] else None
    if action is None and not route["route"]:
        check.error(route.path, "HTTP route, redirect or direct_response is required")
    if action is not None:
        rivals = {"route": "HTTP route", "fault": "HTTP route", "rewrite": "HTTP route rule"}
        for field, subject in rivals.items():
            if route[field]:
                check.error(route.at(field), f"{subject} cannot contain both {field} and {action}")
        if route["redirect"] and route["direct_response"]:
            check.error(route.path, "HTTP route rule cannot contain both direct_response and redirect")
    if route["mirror"] and route["mirrors"]:
        check.error(route.at("mirrors"), "HTTP route cannot contain both mirror and mirrors")


def _check_match(check: Checker, match: Message) -> None:
    for name, text in match["headers"].items():
        check.refuse(match.at("headers", name), values.matched_header_name(name))
        _check_string_match(check, text, "headers")
    for name, text in match["without_headers"].items():
        check.refuse(match.at("without_headers", name), values.matched_header_name(name))
        if text["regex"] != "*":  # not a regular expression: it means "present"
            _check_string_match(check, text, "withoutHeaders")
    # A prefix may be empty for a URI only: Envoy's path matcher takes it, its string matcher does not.
    _check_regex(check, match["uri"], "uri")
    for field in ("scheme", "method", "authority"):
        _check_string_match(check, match[field], field)
    for text in match["query_params"].values():
        _check_string_match(check, text, "queryParams")
    _check_scope(check, match)
    if match["source_namespace"] and not values.is_dns_label(match["source_namespace"]):
        check.error(match.at("source_namespace"), f"sourceNamespace match {match['source_namespace']} is invalid")


def _check_scope(check: Checker, match: Message) -> None:
    """What HTTP, TLS and TCP matches share: port, source labels, gateways."""
    if match["port"]:
        check.refuse(match.at("port"), values.port(match["port"]))
    check.refuse(match.at("source_labels"), values.labels(match["source_labels"]))
    check_gateway_names(check, match)


def _check_string_match(check: Checker, text: Message, where: str) -> None:
    if text.which("prefix") and not text["prefix"]:
        check.error(text.at("prefix"), f"{values.quoted(where)}: prefix string match should not be empty")
    _check_regex(check, text, where)


def _check_regex(check: Checker, text: Message, where: str) -> None:
    if text.which("regex"):
        check.refuse(text.at("regex"), values.regex(text["regex"], where))


def _check_headers(check: Checker, headers: Message) -> None:
    request, response = headers["request"], headers["response"]
    for operations, written in ((request, values.written_header_name), (response, values.changed_header_name)):
        for field in ("add", "set"):
            for name, value in operations[field].items():
                check.refuse(operations.at(field, name), written(name))
                check.refuse(operations.at(field, name), values.header_value(value))
        for index, name in enumerate(operations["remove"]):
            check.refuse(operations.at("remove", index), values.changed_header_name(name))


def _check_cors(check: Checker, policy: Message) -> None:
    for origin in policy["allow_origins"]:
        if not (origin["exact"] or origin["prefix"] or origin["regex"]):
            check.error(origin.path, "'' is not a valid match type for CORS allow origins")
        else:
            _check_regex(check, origin, "corsPolicy.allowOrigins")
    for index, method in enumerate(policy["allow_methods"]):
        if method not in values.CORS_METHODS:
            check.error(policy.at("allow_methods", index), f"{values.quoted(method)} is not a supported HTTP method")
    for field in ("allow_headers", "expose_headers"):
        for index, name in enumerate(policy[field]):
            check.refuse(policy.at(field, index), values.cors_header_name(name))
    if policy.has("max_age"):
        check.refuse(policy.at("max_age"), values.duration(policy["max_age"]))
        if policy["max_age"].microseconds:
            check.error(policy.at("max_age"), "max_age duration is accurate only to seconds precision")


def _check_fault(check: Checker, fault: Message) -> None:
    """Istio's warning about an abort without a status is lost on the way, so there is none here."""
    abort, delay = fault["abort"], fault["delay"]
    if not abort and not delay:
        check.error(fault.path, "HTTP fault injection must have an abort and/or a delay")
    for part in (abort, delay):
        check.refuse(part["percentage"].path, values.percentage(part["percentage"]["value"]))
    match abort.which("grpc_status", "http2_error", "http_status"):
        case "grpc_status":
            check.refuse(abort.at("grpc_status"), values.grpc_status(abort["grpc_status"]))
        case "http2_error":
            check.error(abort.at("http2_error"), "HTTP/2 abort fault injection not supported yet")
        case "http_status":
            check.refuse(abort.at("http_status"), values.http_status(abort["http_status"]))
    kind = delay.which("fixed_delay", "exponential_delay")
    if kind:
        check.refuse(delay.at(kind), values.duration(delay[kind]))
    if kind == "exponential_delay":
        check.error(delay.at(kind), "exponentialDelay not supported yet")


def _check_mirrors(check: Checker, route: Message) -> None:
    if route.has("mirror_percent"):
        if route["mirror_percent"] > 100:
            why = f"mirror_percent must have a max value of 100 (it has {route['mirror_percent']})"
            check.error(route.at("mirror_percent"), why)
        check.warn(route.at("mirror_percent"), 'using deprecated setting "mirrorPercent", use "mirrorPercentage" instead')
    share = route["mirror_percentage"]
    check.refuse(share.path, values.mirror_percentage(share["value"], "mirror_percentage"))
    if route["mirror"]:
        check_destination(check, route["mirror"])
    for mirror in route["mirrors"]:
        if not mirror["destination"]:
            check.error(mirror.path, "destination is required for mirrors")
            continue
        check_destination(check, mirror["destination"])
        share = mirror["percentage"]
        check.refuse(share.path, values.mirror_percentage(share["value"], "mirror percentage"))


def check_destination(check: Checker, destination: Message) -> None:
    host = destination["host"]
    wrong = f"invalid destination host {host}" if host == "*" else values.wildcard_domain(host)
    check.refuse(destination.at("host"), wrong)
    if destination["subset"]:
        check.refuse(destination.at("subset"), values.subset_name(destination["subset"]))
    if destination["port"]:
        check.refuse(destination["port"].at("number"), values.port(destination["port"]["number"]))


def _check_redirect(check: Checker, redirect: Message) -> None:
    """Istio stops at the first thing wrong."""
    if not redirect:
        return
    code, scheme, port = redirect["redirect_code"], redirect["scheme"], redirect["port"]
    if not (redirect["uri"] or redirect["authority"] or scheme or redirect.which("port", "derive_port")):
        check.error(redirect.path, "redirect must specify URI, authority, scheme, or port")
    elif code and not 300 <= code <= 399:
        check.error(redirect.at("redirect_code"), f"{code} is not a valid redirect code, must be 3xx")
    elif scheme not in ("", "http", "https"):
        check.error(redirect.at("scheme"), 'invalid redirect scheme, must be "http" or "https"')
    elif port:
        check.refuse(redirect.at("port"), values.port(port))


def _check_direct_response(check: Checker, response: Message) -> None:
    if not response:
        return
    body = response["body"]
    size = max(len(body["string"].encode()), len(body["bytes"]))
    large = "large direct_responses may impact control plane performance"
    if size > 1024 * _KIB:
        check.error(body.path, f"{large}, must be less than 1MB")
    elif size > 100 * _KIB:
        check.warn(body.path, large)
    check.refuse(response.at("status"), values.http_status(response["status"]))


def _check_retries(check: Checker, retries: Message) -> None:
    if not retries:
        return
    attempts = retries["attempts"]
    if attempts < 0:
        check.error(retries.at("attempts"), "attempts cannot be negative")
    if attempts == 0 and (retries.has("per_try_timeout") or retries["retry_on"] or retries.has("retry_remote_localities")):
        check.error(retries.path, "http retry policy configured when attempts are set to 0 (disabled)")
    for field in ("per_try_timeout", "backoff"):
        if retries.has(field):
            check.refuse(retries.at(field), values.duration(retries[field]))
    for token in retries["retry_on"].split(",") if retries["retry_on"] else ():
        check.refuse(retries.at("retry_on"), values.retry_condition(token))


def _check_rewrite(check: Checker, route: Message) -> None:
    rewrite, regex = route["rewrite"], route["rewrite"]["uri_regex_rewrite"]
    if rewrite:
        if rewrite["uri"] and regex:
            check.error(rewrite.path, "rewrite may only contain one of URI or UriRegexRewrite")
        elif not (rewrite["uri"] or regex or rewrite["authority"]):
            check.error(
                rewrite.path,
                "rewrite must specify at least one of URI, UriRegexRewrite, or authority. "
                "Only one of URI or UriRegexRewrite may be specified",
            )
        elif regex and not (regex["match"] and regex["rewrite"]):
            check.error(regex.path, "UriRegexRewrite requires both Rewrite and Match fields to be specified")
        elif regex:
            check.refuse(regex.at("match"), values.regex(regex["match"], "HTTPRewrite.UriRegexRewrite.Match"))
    current = rewrite["authority"]
    request = route["headers"]["request"]
    for field in ("set", "add"):
        for name, value in request[field].items():
            if values.is_authority(name) and current:
                check.error(
                    request.at(field, name),
                    "authority header cannot be set multiple times: "
                    f"have {values.quoted(current)}, attempting to set {values.quoted(value)}",
                )
                return
            if values.is_authority(name):
                current = value


def _check_weighted(check: Checker, route: Message) -> None:
    """The destinations of an HTTP, TLS or TCP rule and their weights."""
    total = 0
    for share in route["route"]:
        if not share["destination"]:
            check.error(share.path, "destination is required")
        else:
            check_destination(check, share["destination"])
        if share.type == "HTTPRouteDestination":
            _check_headers(check, share["headers"])
        check.refuse(share.at("weight"), values.weight(share["weight"]))
        total += share["weight"]
    if len(route["route"]) > 1 and total == 0:
        check.error(route.at("route"), "total destination weight = 0")


# ---------------------------------------------------------------------------------------------------------- TLS, TCP
def _check_tls_route(check: Checker, route: Message, spec: Message) -> None:
    if not route["match"]:
        check.error(route.path, "TLS route must have at least one match condition")
    for match in route["match"]:
        if not match["sni_hosts"]:
            check.error(match.path, "TLS match must have at least one SNI host")
        for index, host in enumerate(match["sni_hosts"]):
            _check_sni(check, host, match.at("sni_hosts", index), spec)
        _check_l4(check, match)
    if not route["route"]:
        check.error(route.path, "TLS route is required")
    _check_weighted(check, route)


def _check_sni(check: Checker, host: str, path: PathInside, spec: Message) -> None:
    wrong = values.wildcard_domain(host) if MESH in spec["gateways"] else values.sni_domain(host)
    if wrong and values.is_ip(host):
        check.warn(path, f"using an IP address ({values.quoted(host)}) goes against SNI spec and most clients do not support this")
    elif wrong:
        check.error(path, wrong)
    elif not any(hosts.covers(known, host) for known in spec["hosts"]):
        check.error(
            path,
            f"SNI host {values.quoted(host)} is not a compatible subset of any of the virtual service hosts: "
            f"[{', '.join(spec['hosts'])}]",
        )


def _check_l4(check: Checker, match: Message) -> None:
    for index, subnet in enumerate(match["destination_subnets"]):
        check.refuse(match.at("destination_subnets", index), values.subnet(subnet))
    _check_scope(check, match)


def _check_tcp_route(check: Checker, route: Message) -> None:
    for match in route["match"]:
        _check_l4(check, match)
    if not route["route"]:
        check.error(route.path, "TCP route is required")
    _check_weighted(check, route)
