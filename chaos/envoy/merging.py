"""What does a patch's value mean, and what is left when it is merged? Protobuf's rules, on proto JSON.

An EnvoyFilter carries proto JSON as people write it. istiod reads it into Envoy's messages, so what remains is: known
fields only, under their proto names, without those that have the zero value of their type (a `false` or the first name of an
enum cannot be told from "not set", unless the field is a wrapper or part of a oneof). A merge then appends lists, joins
maps by key, merges messages field by field and overwrites the rest: a `false` cannot be merged over a `true`, nor a zero
over a number even where Envoy wraps it, and circuit breaker thresholds gain a second entry. Facts: google.golang.org/protobuf
`proto.Merge`, istio pkg/proto/merge.

Nothing is changed in place: results share what they did not change with their sources.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from chaos.envoy.configuration import Resource
from chaos.istio import durations
from chaos.istio.validate.envoymessages import envoy

_NUMBERS = frozenset({"int32", "uint32", "int64", "uint64", "double", "float"})
_CAMEL = re.compile(r"(?<=[a-z0-9])([A-Z])")
_FREE = frozenset({"struct", "value", "listvalue", "empty", "timestamp", "fieldmask"})


def canonical(type_: str, value: Mapping[str, Any]) -> Resource:
    """`value` as istiod would print the message it reads from it; fields that Envoy does not have are gone."""
    types = envoy()
    fields = types.fields(type_)
    out: Resource = {}
    for key, written in value.items():
        field = _proto_name(key, fields)
        if field is None or written is None:
            continue
        read = _value(fields[field], written)
        rivals = types.rivals(type_, field)
        if rivals or not _is_zero(fields[field], read):
            for rival in rivals:
                out.pop(rival, None)
            out[field] = read
    return out


def merged(type_: str, below: Mapping[str, Any], above: Mapping[str, Any], *, replace_lists: bool = False) -> Resource:
    """`above` (canonical) merged over `below`. `replace_lists` is MERGE_AND_REPLACE_LIST."""
    types = envoy()
    fields = types.fields(type_)
    out = dict(below)
    for field, value in above.items():
        if field not in fields:
            continue  # of another message: a typed configuration merged into one of another type
        kind, known = fields[field], out.get(field)
        for rival in types.rivals(type_, field):
            if rival != field:
                out.pop(rival, None)
        if known is None:
            out[field] = value
        elif kind.startswith("[]"):
            out[field] = value if replace_lists else [*known, *value]
        elif kind.startswith("{"):
            out[field] = {**known, **value}
        elif _is_message(kind):
            out[field] = merged(kind, known, value, replace_lists=replace_lists)
        elif not _is_empty(kind, value):
            out[field] = value
    return out


def merged_any(below: Mapping[str, Any], above: Mapping[str, Any]) -> Resource:
    """Two typed configurations: the one below keeps its type, whatever type the other says (istio util.MergeAnyWithAny).

    Lists are joined also under MERGE_AND_REPLACE_LIST, which only looks at the patched message itself.
    """
    type_ = _type_of(below)
    inside = {key: value for key, value in above.items() if key != "@type"}
    if type_ not in envoy() or envoy().is_well_known(type_):
        return {**below, **inside}  # a filter of Istio's own: nothing is known of its fields
    return merged(type_, below, inside)


def _value(kind: str, written: Any) -> Any:
    if kind.startswith("[]"):
        items = written if isinstance(written, list) else [written]
        return [_single(kind[2:], item) for item in items]
    if kind.startswith("{"):
        item_kind = kind.partition("}")[2]
        return {str(key): _single(item_kind, item) for key, item in written.items()}
    return _single(kind.removesuffix("?"), written)


def _single(kind: str, written: Any) -> Any:
    kind = kind.removesuffix("?")
    if kind == "any":
        return _any(written)
    if kind == "duration":
        return durations.to_proto(written) if isinstance(written, str) else written
    if kind in envoy().enums:
        values = envoy().enums[kind]
        return values[written] if isinstance(written, int) and 0 <= written < len(values) else written
    if kind in _NUMBERS and isinstance(written, str):
        return int(written) if kind not in ("double", "float") else float(written)
    if _is_message(kind):
        return canonical(kind, written or {})
    return written


def _any(written: Mapping[str, Any]) -> Resource:
    """By its `@type`; a type that is not described here stays as it is written."""
    type_ = _type_of(written)
    if type_ not in envoy() or envoy().is_well_known(type_):
        return dict(written)
    inside = {key: value for key, value in written.items() if key != "@type"}
    return {"@type": written["@type"], **canonical(type_, inside)}


def _type_of(typed: Mapping[str, Any]) -> str:
    return str(typed.get("@type") or "").rpartition("/")[2]


def _proto_name(key: str, fields: Mapping[str, str]) -> str | None:
    if key in fields:
        return key
    snake = _CAMEL.sub(r"_\1", key).lower()
    return snake if snake in fields else None


def _is_empty(kind: str, value: Any) -> bool:
    """A wrapper around a zero, or a typed configuration that says nothing, is a message without fields: nothing is merged."""
    if kind == "any":
        return not value.keys() - {"@type"}
    return kind.endswith("?") and not value


def _is_message(kind: str) -> bool:
    return kind in envoy() and not envoy().is_well_known(kind)


def _is_zero(kind: str, value: Any) -> bool:
    """Would proto JSON leave it out? Wrappers and messages have presence, everything else only by its value."""
    if kind.startswith(("[]", "{")):
        return not value
    if kind.endswith("?") or kind in _FREE or kind in ("any", "duration") or _is_message(kind):
        return False
    if kind in envoy().enums:
        return bool(value == envoy().enums[kind][0])
    return value in (False, 0, "")
