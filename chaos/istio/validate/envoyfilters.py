"""When does istiod refuse an EnvoyFilter, and when does it warn?

Source: istio pkg/config/validation/envoyfilter. The value of a patch must fit the Envoy message it is applied to; a field
Envoy does not have is only warned of, since istiod's copy of the messages may be older than the proxy.
"""

from __future__ import annotations

from chaos.istio.validate import re2, values
from chaos.istio.validate.checker import Checker
from chaos.istio.validate.decoding import UNKNOWN_TYPE, Decoder, Message, Undecodable
from chaos.istio.validate.envoymessages import envoy
from chaos.istio.validate.selectors import labels_selector, target_reference

_ALWAYS = (
    "EnvoyFilter exposes internal implementation details that may change at any time. "
    "Prefer other APIs if possible, and exercise extreme caution, especially around upgrades."
)
# applyTo -> the message a patch's value is part of
_PATCHED = {
    "LISTENER": "envoy.config.listener.v3.Listener",
    "FILTER_CHAIN": "envoy.config.listener.v3.FilterChain",
    "NETWORK_FILTER": "envoy.config.listener.v3.Filter",
    "HTTP_FILTER": "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
    "ROUTE_CONFIGURATION": "envoy.config.route.v3.RouteConfiguration",
    "VIRTUAL_HOST": "envoy.config.route.v3.VirtualHost",
    "HTTP_ROUTE": "envoy.config.route.v3.Route",
    "CLUSTER": "envoy.config.cluster.v3.Cluster",
    "EXTENSION_CONFIG": "envoy.config.core.v3.TypedExtensionConfig",
    "BOOTSTRAP": "envoy.config.bootstrap.v3.Bootstrap",
    "LISTENER_FILTER": "envoy.config.listener.v3.ListenerFilter",
}
_LISTENER_CLASS = ("LISTENER", "FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER")
_ROUTE_CLASS = ("ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE")
_CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager"
_OLD_CONNECTION_MANAGER = "envoy.http_connection_manager"
# Old filter name -> the name of today (istio pkg/config/xds/deprecated.go)
_RENAMED = {
    **{
        f"envoy.{old}": f"envoy.filters.http.{new}"
        for old, new in {
            "buffer": "buffer", "cors": "cors", "csrf": "csrf", "http_dynamo_filter": "dynamo", "ext_authz": "ext_authz",
            "fault": "fault", "grpc_http1_bridge": "grpc_http1_bridge", "grpc_json_transcoder": "grpc_json_transcoder",
            "grpc_web": "grpc_web", "gzip": "gzip", "health_check": "health_check", "ip_tagging": "ip_tagging", "lua": "lua",
            "rate_limit": "ratelimit", "router": "router", "squash": "squash",
        }.items()
    },
    **{
        f"envoy.listener.{name}": f"envoy.filters.listener.{name}"
        for name in ("http_inspector", "original_dst", "original_src", "proxy_protocol", "tls_inspector")
    },
    **{
        f"envoy.{name}": f"envoy.filters.network.{name}"
        for name in ("client_ssl_auth", "http_connection_manager", "mongo_proxy", "ratelimit", "redis_proxy", "tcp_proxy")
    },
}  # fmt: skip


def check_envoy_filter(check: Checker, spec: Message) -> None:
    if not labels_selector(check, spec["workload_selector"], "Envoy filter"):
        return
    check.warn(spec.path, _ALWAYS)
    if spec["workload_selector"] and spec["target_refs"]:
        check.error(spec.path, "only one of targetRefs or workloadSelector can be set")
    for reference in spec["target_refs"]:
        target_reference(check, reference)
    for patch in spec["config_patches"]:
        if _is_complete(check, patch) and _match_fits(check, patch):
            _check_value(check, patch)


def _is_complete(check: Checker, patch: Message) -> bool:
    """Istio looks no further where one of these is missing."""
    change, version = patch["patch"], patch["match"]["proxy"]["proxy_version"]
    if patch["apply_to"] == "INVALID":
        why, at = "missing applyTo", patch.path
    elif not change:
        why, at = "missing patch", patch.path
    elif change["operation"] == "INVALID":
        why, at = "missing patch operation", change.path
    elif change["operation"] != "REMOVE" and not change.has("value"):
        why, at = "missing patch value for non-remove operation", change.path
    elif version and (problem := re2.problem(version)):
        why, at = f"invalid regex for proxy version, [{problem}]", patch["match"]["proxy"].at("proxy_version")
    else:
        return True
    check.error(at, f"Envoy filter: {why}")
    return False


def _match_fits(check: Checker, patch: Message) -> bool:
    """Does the match speak of the same class of objects as applyTo? False: Istio does not look at the value any more."""
    match, apply_to = patch["match"], patch["apply_to"]
    kind = match.which("listener", "route_configuration", "cluster", "waypoint")
    if kind is None:
        return True
    if apply_to in _LISTENER_CLASS and kind != "listener":
        check.error(match.at(kind), "Envoy filter: applyTo for listener class objects cannot have non listener match")
        return False
    if apply_to in _LISTENER_CLASS:
        return _filter_fits(check, match["listener"]["filter_chain"]["filter"], apply_to)
    if apply_to in _ROUTE_CLASS and kind != "route_configuration":
        why = "Envoy filter: applyTo for http route class objects cannot have non route configuration match"
        check.error(match.at(kind), why)
    if apply_to == "CLUSTER" and kind != "cluster":
        check.error(match.at(kind), "Envoy filter: applyTo for cluster class objects cannot have non cluster match")
    return True


def _filter_fits(check: Checker, wanted: Message, apply_to: str) -> bool:
    if not wanted:
        return True
    if apply_to in ("LISTENER", "FILTER_CHAIN"):
        check.warn(wanted.path, f"Envoy filter: filter match has no effect when used with {apply_to}")
    inner = wanted["sub_filter"]
    if not wanted["name"]:
        check.error(wanted.path, "Envoy filter: filter match has no name to match on")
    elif inner and apply_to != "HTTP_FILTER":
        check.error(inner.path, "Envoy filter: subfilter match can be used with applyTo HTTP_FILTER only")
    elif inner and wanted["name"] not in (_CONNECTION_MANAGER, _OLD_CONNECTION_MANAGER):
        check.error(inner.path, f"Envoy filter: subfilter match requires filter match with {_CONNECTION_MANAGER}")
    elif inner and not inner["name"]:
        check.error(inner.path, "Envoy filter: subfilter match has no name to match on")
    else:
        for named in (wanted, inner):
            if new := _RENAMED.get(named["name"]):
                why = f"using deprecated filter name {values.quoted(named['name'])}; use {values.quoted(new)} instead"
                check.warn(named.at("name"), why)
        return True
    return False


def _check_value(check: Checker, patch: Message) -> None:
    change = patch["patch"]
    if not change.has("value"):
        return
    if patch["apply_to"] not in _PATCHED:
        check.error(patch.at("apply_to"), f"Envoy filter: unknown object type for applyTo {patch['apply_to']}")
        return
    decoder = Decoder(envoy())
    try:
        value = decoder.message(_PATCHED[patch["apply_to"]], change["value"], change.at("value"))
    except Undecodable as error:
        hint = " (hint: try using the v3 XDS API)" if ".v2." in error.why else ""
        unknown = f"referenced type unknown{hint}: " if UNKNOWN_TYPE in error.why else ""
        check.error(error.path, f"{unknown}Envoy filter: {error.why}")
        return
    for why, path in decoder.unknown:
        check.warn(path, f"Envoy filter: {why}")
    if not decoder.unknown and (names := _without_typed_config(value)):
        why = f"using deprecated types by name without typed_config; {', '.join(names)}"
        check.warn(value.path, why)


def _without_typed_config(message: Message) -> list[str]:
    """The names of extensions chosen by name alone. Istio looks into single messages only, not into lists or an Any."""
    fields = envoy().fields(message.type)
    inner = (message[field] for field, kind in fields.items() if kind in envoy() and message.has(field))
    names = [name for value in inner if isinstance(value, Message) for name in _without_typed_config(value)]
    if "typed_config" in fields and not message.which("typed_config", "config_discovery"):
        names.append(message["name"])
    return names
