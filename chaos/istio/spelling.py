"""Which spelling of a field counts? Istio's objects with every known field under its JSON name.

Proto JSON takes `per_try_timeout` for `perTryTimeout` (camelCase wins where both stand), and `null` for a field that is not
there. Everything after `world` reads one spelling only. Fields the messages do not have are left as they are: nobody reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from chaos.istio.documents import Document
from chaos.istio.validate.decoding import json_name
from chaos.istio.validate.messages import ISTIO, KINDS


def normal(document: Document) -> Document:
    """The same document if its spelling is the usual one, as it nearly always is."""
    if KINDS.get(document.kind) != document.group or not isinstance(document.raw.get("spec"), Mapping):
        return document
    spec = _message(document.kind, document.raw["spec"])
    return document if spec is document.raw["spec"] else replace(document, raw={**document.raw, "spec": spec})


def _message(type_: str, written: Mapping[str, Any]) -> Mapping[str, Any]:
    fields = ISTIO.fields(type_)
    out: dict[str, Any] = {}
    for key, value in written.items():
        name = json_name(key) if key in fields else key
        if name != key and written.get(name) is not None:
            continue
        out[name] = _value(fields.get(key) or fields.get(_proto_name(key), ""), value)
    same = len(out) == len(written) and all(out.get(key) is value for key, value in written.items())
    return written if same else out


def _value(kind: str, written: Any) -> Any:
    if kind.startswith("[]") and isinstance(written, list):
        items = [_value(kind[2:], item) for item in written]
        return written if all(new is old for new, old in zip(items, written, strict=True)) else items
    if kind.startswith("{") and isinstance(written, Mapping):
        inner = {key: _value(kind.partition("}")[2], item) for key, item in written.items()}
        return written if all(inner[key] is item for key, item in written.items()) else inner
    if isinstance(written, Mapping) and kind in ISTIO and not ISTIO.is_well_known(kind):
        return _message(kind, written)
    return written


def _proto_name(key: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in key)
