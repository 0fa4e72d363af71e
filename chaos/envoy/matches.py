"""Which requests does a rule mean? From a VirtualService's HTTP match to Envoy's RouteMatch.

Facts: istio RT `TranslateRouteMatch`, `translateHeaderMatch`, `IsCatchAllRoute`; JWT claims: pilot/pkg/security/authz/model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

CLAIMS = "@request.auth.claims"
_PSEUDO_HEADERS = (("method", ":method"), ("authority", ":authority"), ("scheme", ":scheme"))
StringMatch = Mapping[str, str] | None


def route_match(written: Mapping[str, Any] | None) -> dict[str, Any]:
    """`written` None is a rule without match: every request."""
    if written is None:
        return {"prefix": "/"}
    match: dict[str, Any] = _path(written.get("uri"))
    headers: list[dict[str, Any]] = []
    claims: list[dict[str, Any]] = []
    for name, condition in (written.get("headers") or {}).items():
        (claims if _is_claim(name) else headers).append(_header_or_claim(name, condition))
    for name, condition in (written.get("withoutHeaders") or {}).items():
        (claims if _is_claim(name) else headers).append(_without(name, condition))
    headers.sort(key=lambda header: str(header["name"]))
    match["case_sensitive"] = not written.get("ignoreUriCase")
    headers += [_header(name, written[key]) for key, name in _PSEUDO_HEADERS if written.get(key) is not None]
    if headers:
        match["headers"] = headers
    if claims:
        match["dynamic_metadata"] = claims
    query = written.get("queryParams") or {}
    if query:
        match["query_parameters"] = [{"name": name, **_condition(query[name])} for name in sorted(query)]
    return match


def is_catch_all(match: Mapping[str, Any]) -> bool:
    """Prefix `/` or regex `.*`, and nothing else asked. (An empty prefix is none, although it matches everything.)"""
    whole = match.get("prefix") == "/" or (match.get("safe_regex") or {}).get("regex") == ".*"
    return whole and not any(match.get(key) for key in ("headers", "query_parameters", "dynamic_metadata"))


def string_match(condition: Mapping[str, str]) -> dict[str, Any]:
    """envoy.type.matcher.v3.StringMatcher. Of several conditions the last in the API's order counts, as of every `oneof`."""
    if condition.get("regex") is not None:
        return {"safe_regex": {"regex": condition["regex"]}}
    if condition.get("prefix") is not None:
        return {"prefix": condition["prefix"]}
    return {"exact": condition.get("exact") or ""}


def _path(uri: StringMatch) -> dict[str, Any]:
    if uri and uri.get("regex") is not None:
        return {"safe_regex": {"regex": uri["regex"]}}
    if uri and uri.get("prefix") is not None:
        return {"prefix": uri["prefix"]}
    if uri and uri.get("exact") is not None:
        return {"path": uri["exact"]}
    return {"prefix": "/"}


def _is_present_match(condition: StringMatch) -> bool:
    """An empty condition, and the regex `*` (which is none), ask only that the header is there."""
    return not condition or all(condition.get(k) is None for k in ("exact", "prefix", "regex")) or condition.get("regex") == "*"


def _condition(condition: StringMatch) -> dict[str, Any]:
    if condition is None or _is_present_match(condition):
        return {"present_match": True}
    return {"string_match": string_match(condition)}


def _header(name: str, condition: StringMatch) -> dict[str, Any]:
    return {"name": name, **_condition(condition)}


def _header_or_claim(name: str, condition: StringMatch) -> dict[str, Any]:
    return _claim(name, condition) if _is_claim(name) else _header(name, condition)


def _without(name: str, condition: StringMatch) -> dict[str, Any]:
    out = _header_or_claim(name, condition)
    if _is_claim(name):
        return {**out, "invert": True}
    out["invert_match"] = True
    if not _is_present_match(condition):
        out["treat_missing_header_as_empty"] = True
    return out


def _is_claim(name: str) -> bool:
    return name.lower().startswith(CLAIMS)


def _claim(name: str, condition: StringMatch) -> dict[str, Any]:
    """A JWT claim, at gateways only: a string claim or one element of a list claim, below the metadata of jwt_authn."""
    rest = name[len(CLAIMS) :]
    keys = re.findall(r"\[([^\]]+)\]", rest) if rest.startswith("[") else rest.lstrip(".").split(".")
    value = string_match(condition or {})
    return {
        "filter": "envoy.filters.http.jwt_authn",
        "path": [{"key": "payload"}, *({"key": key} for key in keys)],
        "value": {"or_match": {"value_matchers": [{"list_match": {"one_of": {"string_match": value}}}, {"string_match": value}]}},
    }
