"""Which headers are set, added and removed? From a VirtualService's `headers` to the header fields of a route or cluster weight.

Facts: istio RT `TranslateHeadersOperations`. `host` and `:authority` become a rewrite of the host; other pseudo headers
cannot be changed and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_AUTHORITY = frozenset({":authority", "host"})
_FIELDS = ("request_headers_to_add", "request_headers_to_remove", "response_headers_to_add", "response_headers_to_remove")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderOperations:
    fields: Mapping[str, list[Any]]
    """request_headers_to_add, ... as routes and cluster weights have them; only those that are not empty."""
    authority: str = ""
    """What `host` is set to; empty where it stays."""

    def apply_to(self, target: dict[str, Any]) -> None:
        """Append to what stands there: what comes later in Envoy's list wins."""
        for field in _FIELDS:
            if field in self.fields:
                target[field] = [*target.get(field, ()), *self.fields[field]]


def operations(written: Mapping[str, Any] | None) -> HeaderOperations:
    if not written:
        return HeaderOperations(fields={})
    request, response = written.get("request") or {}, written.get("response") or {}
    fields: dict[str, list[Any]] = {
        "request_headers_to_add": _added(request),
        "request_headers_to_remove": _removed(request),
        "response_headers_to_add": _added(response),
        "response_headers_to_remove": _removed(response),
    }
    authority = _authority(request.get("set")) or _authority(request.get("add"))
    return HeaderOperations(fields={key: values for key, values in fields.items() if values}, authority=authority)


def _added(side: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`set` overwrites, `add` appends (Envoy's default action, left out in proto JSON); each by name."""
    set_ = [{**option, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"} for option in _options(side.get("set"))]
    return [*set_, *_options(side.get("add"))]


def _options(values: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    return [
        {"header": {"key": key, "value": "" if value is None else str(value)}}
        for key, value in sorted((values or {}).items())
        if not _is_internal(key)
    ]


def _removed(side: Mapping[str, Any]) -> list[str]:
    return [str(name) for name in side.get("remove") or () if not _is_internal(str(name))]


def _authority(values: Mapping[str, Any] | None) -> str:
    return next((str(value) for key, value in (values or {}).items() if key.lower() in _AUTHORITY), "")


def _is_internal(name: str) -> bool:
    return name.startswith(":") or name.lower() == "host"
