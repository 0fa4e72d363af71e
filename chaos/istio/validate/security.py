"""When does istiod refuse a PeerAuthentication, a RequestAuthentication or an AuthorizationPolicy?

Source: istio pkg/config/validation (`ValidatePeerAuthentication`, `validateJwtRule`, `ValidateAuthorizationPolicy`) and
pkg/config/security. A JWKS is not read, nor are path templates: neither bears on traffic tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from chaos.istio.validate import values
from chaos.istio.validate.checker import Checker
from chaos.istio.validate.decoding import Message
from chaos.istio.validate.messages import ISTIO
from chaos.istio.validate.selectors import match_labels_selector, policy_targets

_IP_BLOCKS = ("ip_blocks", "not_ip_blocks", "remote_ip_blocks", "not_remote_ip_blocks")
_TCP_SOURCES = (
    "principals", "not_principals", "ip_blocks", "not_ip_blocks", "namespaces", "not_namespaces", "remote_ip_blocks",
    "not_remote_ip_blocks", "service_accounts", "not_service_accounts",
)  # fmt: skip
_NOT_FOR_CUSTOM = (
    "namespaces", "not_namespaces", "service_accounts", "not_service_accounts", "principals", "not_principals",
    "request_principals", "not_request_principals",
)  # fmt: skip
_KEYS_NOT_FOR_CUSTOM = ("source.namespace", "source.serviceAccount", "source.principal", "request.auth.")
_USELESS = (
    "action without `rules` is meaningless as it will never be triggered, "
    "add an empty rule `{}` if you want it be triggered for every request"
)


def check_peer_authentication(check: Checker, spec: Message) -> None:
    ports = spec["port_level_mtls"]
    if ports and not spec["selector"]["match_labels"]:
        why = "mesh/namespace peer authentication cannot have port level mTLS"
        check.error(spec.at("port_level_mtls"), why)
    if spec.has("port_level_mtls") and not ports:
        why = "port level mTLS, if defined, must have at least one element"
        check.error(spec.at("port_level_mtls"), why)
    for port in ports:
        if not 1 <= port <= 65535:
            check.error(spec.at("port_level_mtls", str(port)), "port must be in range 1..65535")
    match_labels_selector(check, spec["selector"])


def check_request_authentication(check: Checker, spec: Message) -> None:
    policy_targets(check, spec)
    for rule in spec["jwt_rules"]:
        _check_jwt_rule(check, rule)


def _check_jwt_rule(check: Checker, rule: Message) -> None:
    if not rule["issuer"] and not rule["jwks_uri"]:
        check.error(rule.path, "issuer or jwksUri must be non-empty string")
    for field, name in {
        "audiences": "audience must be",
        "from_params": "location query must be",
        "from_cookies": "cookie name must be",
    }.items():
        if "" in rule[field]:
            check.error(rule.at(field), f"{name} non-empty string")
    if rule["jwks_uri"] and urlsplit(rule["jwks_uri"]).scheme not in ("http", "https"):
        check.error(rule.at("jwks_uri"), f"URI scheme {values.quoted(urlsplit(rule['jwks_uri']).scheme)} is not supported")
    for location in rule["from_headers"]:
        if not location["name"]:
            check.error(location.path, "location header name must be non-empty string")
    for pair in rule["output_claim_to_headers"]:
        if not pair["claim"] or not pair["header"]:
            check.error(pair.path, "outputClaimToHeaders header and claim value must be non-empty string")
        else:
            check.refuse(pair.at("header"), values.plain_header_name(pair["header"]))
    if rule.has("timeout"):
        check.refuse(rule.at("timeout"), values.duration(rule["timeout"]))


# ------------------------------------------------------------------------------------------------------ authorization
def check_authorization_policy(check: Checker, spec: Message) -> None:
    policy_targets(check, spec)
    action = spec["action"]
    if action in ("CUSTOM", "DENY") and not spec["rules"]:
        check.error(spec.path, f"{action} {_USELESS}")
    if action == "CUSTOM" and spec["rules"] and not spec["provider"]["name"]:
        check.error(spec.path, "`provider.name` must not be empty")
    if action != "CUSTOM" and spec["provider"]:
        check.error(spec.at("provider"), f"`provider` must not be with non CUSTOM action, found {action}")
    for index, rule in enumerate(spec["rules"]):
        if action == "CUSTOM":
            _check_custom(check, rule)
        _check_rule(check, rule, index, action)


def _check_custom(check: Checker, rule: Message) -> None:
    for part in rule["from"]:
        for field in _NOT_FOR_CUSTOM:
            if part["source"][field]:
                why = f"From.{field} is currently not supported with CUSTOM action"
                check.error(part["source"].at(field), why)
    for condition in rule["when"]:
        if condition["key"].startswith(_KEYS_NOT_FOR_CUSTOM):
            check.error(condition.at("key"), f"{condition['key']} is currently not supported with CUSTOM action")


def _check_rule(check: Checker, rule: Message, index: int, action: str) -> None:
    sources = [part["source"] for part in rule["from"] if part["source"]]
    operations = [part["operation"] for part in rule["to"] if part["operation"]]
    for field, inner in (("from", "source"), ("to", "operation")):
        for part in rule[field]:
            if not part[inner]:
                check.error(part.path, f"`{field}.{inner}` must not be nil, found at rule {index}")
            elif not any(part[inner][each] for each in ISTIO.fields(part[inner].type)):
                check.error(part[inner].path, f"`{field}.{inner}` must not be empty, found at rule {index}")
            else:
                _check_no_empty_values(check, part[inner])
    for source in sources:
        _check_source(check, source, index)
    for operation in operations:
        for field in ("ports", "not_ports"):
            for port in operation[field]:
                check.refuse(operation.at(field), _port(port))
    for condition in rule["when"]:
        if not condition["key"]:
            check.error(condition.path, "`key` must not be empty")
        elif not condition["values"] and not condition["not_values"]:
            why = f"at least one of `values` or `notValues` must be set for key {condition['key']}"
            check.error(condition.path, why)
        else:
            _check_condition(check, condition)
    over_tcp = any(source[field] for source in sources for field in _TCP_SOURCES)
    with_port = any(operation["ports"] or operation["not_ports"] for operation in operations)
    if action == "DENY" and ((sources and not operations and not over_tcp) or (operations and not with_port)):
        check.warn(
            rule.path,
            "configured AuthorizationPolicy will deny all traffic to TCP ports under its scope due to the use of only "
            "HTTP attributes in a DENY rule; it is recommended to explicitly specify the port",
        )


def _check_condition(check: Checker, condition: Message) -> None:
    key = condition["key"]
    if key.startswith(_MAPS):
        if not (_MAP_KEY.fullmatch(key)):
            check.error(condition.at("key"), f"bad key ({key}): should have format a[b]")
    elif key not in _ATTRIBUTES:
        check.error(condition.at("key"), f"unknown attribute: {key}")
    for field, kind in (("values", "value"), ("not_values", "notValue")):
        wrong = [why for value in condition[field] if (why := _ATTRIBUTES.get(key, _anything)(value))]
        if "" in condition[field]:
            wrong.append("empty value not allowed")
        for why in wrong:
            check.error(condition.at(field), f"invalid `{kind}` for `key` {key}: {why}")


def _anything(_value: str) -> str | None:
    return None


def _port(text: str) -> str | None:
    return None if text.isascii() and text.isdigit() and int(text) <= 65535 else f"bad port ({text})"


def _check_source(check: Checker, source: Message, index: int) -> None:
    accounts = source["service_accounts"] or source["not_service_accounts"]
    if accounts and any(source[f] for f in ("principals", "not_principals", "namespaces", "not_namespaces")):
        check.error(source.path, f"cannot set serviceAccounts with namespaces or principals, found at rule {index}")
    for field in _IP_BLOCKS:
        for block in source[field]:
            check.refuse(source.at(field), _ip_block(block))


def _ip_block(block: str) -> str | None:
    if "/" in block:
        return None if values.is_cidr(block) else f"bad CIDR range ({block})"
    return None if values.is_ip(block) else f"bad IP address ({block})"


def _check_no_empty_values(check: Checker, part: Message) -> None:
    for field in _list_fields(part):
        if "" in part[field]:
            check.error(part.at(field), f"`{part.at(field)[-1]}` must not contain an empty value")


# Keys of conditions, with the rule for their values; those in brackets name an entry of a map.
_MAPS = ("request.headers", "request.auth.claims", "experimental.envoy.filters.")
_MAP_KEY = re.compile(r"[^\[]+\[.+\]", re.DOTALL)
_ATTRIBUTES = {
    **dict.fromkeys(("source.ip", "remote.ip", "destination.ip"), _ip_block),
    "destination.port": _port,
    **dict.fromkeys(
        (
            "source.namespace", "source.serviceAccount", "source.principal", "request.auth.principal",
            "request.auth.audiences", "request.auth.presenter", "connection.sni",
        ),
        _anything,
    ),
}  # fmt: skip


def _list_fields(part: Message) -> Iterator[str]:
    return (field for field, kind in ISTIO.fields(part.type).items() if kind == "[]string")
