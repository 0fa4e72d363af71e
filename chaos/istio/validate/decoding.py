"""How does istiod read an object? Proto JSON, with the habits of Go's `jsonpb`, from a manifest to typed messages.

istiod reads `spec` into a protobuf message before any rule looks at it. What does not fit the message's types is refused
outright (a bare `10` as a duration, `true` as a header value); what the message has no field for is dropped without a
word. Facts of the reader (github.com/golang/protobuf/jsonpb, checked against istiod 1.29.6):

- a field may be written as in the proto (`per_try_timeout`) or in camelCase (`perTryTimeout`); camelCase wins;
- `null` is the same as leaving the field out; in a list or map it stands for an empty value;
- numbers may be quoted, booleans may not; an enum is its name, case and all, or its number;
- durations are Go's (`1.5s`, `1h30m`), always with a unit;
- of several members of a oneof the one declared last is taken.

`types` describes the messages, `messages` has Istio's own. The result is a `Message`: values under proto names, with
proto's defaults for what is not set, and the path each value was written at, so that a finding can name the line.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache
from typing import Any

from chaos.istio import durations
from chaos.istio.documents import PathInside
from chaos.istio.validate.types import Types

_INTEGER = re.compile(r"\s*-?(0|[1-9]\d*)\s*")
_NUMBER = re.compile(r"\s*-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?\s*")
_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
_DEFAULTS: Mapping[str, Any] = {
    "string": "", "bytes": b"", "bool": False, "double": 0.0, "float": 0.0,
    "int32": 0, "uint32": 0, "int64": 0, "uint64": 0,
}  # fmt: skip
_LONGEST = timedelta(microseconds=(2**63 - 1) // 1000)  # Go's time.Duration counts nanoseconds in 64 bits
UNKNOWN_TYPE = "could not resolve Any message type"


class Undecodable(ValueError):
    """The manifest does not fit the message. `path` is where, relative to the object."""

    def __init__(self, why: str, path: PathInside) -> None:
        super().__init__(why)
        self.why = why
        self.path = path


class Message:
    """A decoded message. `message["field"]` gives the value or proto's default; a message that is not set is false.

    An unset message field gives an unset Message, so that chains such as `route["headers"]["request"]["add"]` need no
    checks on the way, as with Go's getters.
    """

    __slots__ = ("_decoder", "_fields", "_keys", "path", "present", "type")

    def __init__(self, decoder: Decoder, type_: str, path: PathInside, present: bool) -> None:
        self._decoder = decoder
        self._fields: dict[str, Any] = {}
        self._keys: dict[str, str] = {}
        self.type = type_
        self.path = path
        self.present = present

    def __getitem__(self, field: str) -> Any:
        if field in self._fields:
            return self._fields[field]
        return self._decoder.default(self.type, field, self.path)

    def __bool__(self) -> bool:
        return self.present

    def __repr__(self) -> str:
        return f"Message({self.type}, {self._fields})"

    def has(self, field: str) -> bool:
        """Was it written (and not null)?"""
        return field in self._fields

    def which(self, *fields: str) -> str | None:
        """The member of a oneof that is set."""
        return next((field for field in fields if field in self._fields), None)

    def at(self, field: str, *inside: str | int) -> PathInside:
        """The path of a field as it was written."""
        return (*self.path, self._keys.get(field, json_name(field)), *inside)

    def plain(self) -> dict[str, Any]:
        """As nested mappings without paths: two messages that mean the same are equal."""
        return {field: _plain(value) for field, value in self._fields.items()}

    def put(self, field: str, key: str, value: Any) -> None:
        """For the decoder."""
        self._fields[field] = value
        self._keys[field] = key

    def drop(self, field: str) -> None:
        """For the decoder: an earlier member of a oneof gives way to a later one."""
        self._fields.pop(field, None)


class Decoder:
    """Reads values of one family of messages.

    `unknown` collects the paths of fields that no message has, `rivals` those of fields of which only one may be set.
    """

    def __init__(self, types: Types) -> None:
        self.types = types
        self.unknown: list[tuple[str, PathInside]] = []
        self.rivals: list[tuple[str, PathInside]] = []

    def message(self, type_: str, value: Any, path: PathInside) -> Message:
        """`value` as message `type_`. Raises Undecodable."""
        if value is None:
            return Message(self, type_, path, present=True)
        if not isinstance(value, Mapping):
            raise _unfit(value, "map[string]json.RawMessage", path)
        message = Message(self, type_, path, present=True)
        given = {str(key): inner for key, inner in value.items()}
        for field, kind in self.types.fields(type_).items():
            camel = json_name(field)
            key = camel if camel in given else field
            if (inner := given.get(key)) is None:
                continue
            for rival in self.types.rivals(type_, field):
                if message.has(rival):
                    self.rivals.append((f"{message.at(rival)[-1]} and {key} exclude each other", (*path, key)))
                message.drop(rival)
            message.put(field, key, self.value(kind, inner, (*path, key)))
        known = self.types.fields(type_)
        names = known.keys() | {json_name(field) for field in known}
        self.unknown += [(f'unknown field "{key}" in {type_}', (*path, key)) for key in given if key not in names]
        return message

    def value(self, kind: str, value: Any, path: PathInside) -> Any:
        if kind.startswith("[]"):
            if not isinstance(value, list):
                raise _unfit(value, "[]json.RawMessage", path)
            return [self.single(kind[2:], item, (*path, index)) for index, item in enumerate(value)]
        if kind.startswith("{"):
            return self._mapping(kind, value, path)
        return self.single(kind, value, path)

    def _mapping(self, kind: str, value: Any, path: PathInside) -> dict[Any, Any]:
        key_kind, _, item_kind = kind[1:].partition("}")
        if not isinstance(value, Mapping):
            raise _unfit(value, "map[string]json.RawMessage", path)
        return {
            self.single(key_kind or "string", _key(key), path): self.single(item_kind, item, (*path, str(key)))
            for key, item in value.items()
        }

    def single(self, kind: str, value: Any, path: PathInside) -> Any:
        kind = kind.removesuffix("?")
        if kind in self.types.enums:
            return self._enum(kind, value, path)
        if kind in _SPECIAL:
            return _SPECIAL[kind](self, value, path)
        if kind in _SCALARS:
            return _DEFAULTS[kind] if value is None else _SCALARS[kind](kind, value, path)
        return self.message(kind, value, path)

    def _enum(self, kind: str, value: Any, path: PathInside) -> str:
        values = self.types.enums[kind]
        if value is None:
            return values[0]
        if isinstance(value, str):
            if value not in values:
                raise Undecodable(f'unknown value "{value}" for enum {kind}; it knows {", ".join(values)}', path)
            return value
        number = _integer("int32", value, path)
        return values[number] if 0 <= number < len(values) else str(number)

    def any(self, value: Any, path: PathInside) -> Any:
        """google.protobuf.Any: what `@type` says, if this family knows the type."""
        if not isinstance(value, Mapping):
            raise _unfit(value, "map[string]json.RawMessage", path)
        url = value.get("@type")
        if url is None:
            raise Undecodable("Any JSON doesn't have '@type'", path)
        type_ = _string("string", url, (*path, "@type")).rpartition("/")[2]
        if self.types.is_foreign(type_):
            return value
        if type_ not in self.types:
            raise Undecodable(f"{UNKNOWN_TYPE}: {url}", (*path, "@type"))
        if self.types.is_well_known(type_):
            if "value" not in value:
                raise Undecodable("Any JSON doesn't have 'value'", path)
            return self.single(self.types.well_known(type_), value["value"], (*path, "value"))
        return self.message(type_, {k: v for k, v in value.items() if k != "@type"}, path)

    def default(self, type_: str, field: str, path: PathInside) -> Any:
        """What proto gives for a field that is not set."""
        kind = self.types.fields(type_)[field]
        if kind.startswith("[]"):
            return []
        if kind.startswith("{"):
            return {}
        if kind.endswith("?") or kind in _SPECIAL:
            return None
        if kind in self.types.enums:
            return self.types.enums[kind][0]
        if kind in _DEFAULTS:
            return _DEFAULTS[kind]
        return Message(self, kind, (*path, json_name(field)), present=False)


@cache
def json_name(field: str) -> str:
    """protoc's JSON name: `per_try_timeout` -> `perTryTimeout`, `consecutive_5xx_errors` -> `consecutive5xxErrors`."""
    head, *rest = field.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return value.plain()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _key(key: Any) -> str:
    return {True: "true", False: "false"}.get(key, str(key)) if isinstance(key, bool) else str(key)


def _unfit(value: Any, wanted: str, path: PathInside) -> Undecodable:
    """In the words of Go's encoding/json."""
    shape = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}.get(type(value), "value")
    return Undecodable(f"json: cannot unmarshal {shape} into Go value of type {wanted}", path)


def _string(_kind: str, value: Any, path: PathInside) -> str:
    if not isinstance(value, str):
        raise _unfit(value, "string", path)
    return value


def _bool(_kind: str, value: Any, path: PathInside) -> bool:
    if not isinstance(value, bool):
        raise _unfit(value, "bool", path)
    return value


def _integer(kind: str, value: Any, path: PathInside) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        number = int(value)
    elif isinstance(value, float) and value.is_integer():
        number = int(value)  # YAML's 5.0 arrives as the JSON number 5
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        raise _unfit(value, kind, path)
    low, high = _RANGES[kind]
    if not low <= number <= high:
        raise Undecodable(f"json: cannot unmarshal number {number} into Go value of type {kind}", path)
    return number


def _double(kind: str, value: Any, path: PathInside) -> float:
    if isinstance(value, str) and (_NUMBER.fullmatch(value) or value in ("NaN", "Infinity", "-Infinity")):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _unfit(value, "float64" if kind == "double" else "float32", path)
    return float(value)


def _bytes(_kind: str, value: Any, path: PathInside) -> bytes:
    try:
        return base64.b64decode(_string("string", value, path), validate=True)
    except binascii.Error as error:
        raise Undecodable(f"illegal base64 data: {error}", path) from error


def _duration(_decoder: Decoder, value: Any, path: PathInside) -> timedelta:
    text = _string("string", value, path)
    try:
        duration = durations.parse(text)
    except (ValueError, OverflowError) as error:
        raise Undecodable(f"bad Duration: {error}", path) from error
    if abs(duration) > _LONGEST:
        raise Undecodable(f'bad Duration: "{text}" is longer than 292 years', path)
    return duration


def _struct(_decoder: Decoder, value: Any, path: PathInside) -> Any:
    if not isinstance(value, Mapping):
        raise _unfit(value, "map[string]json.RawMessage", path)
    return value


def _list_value(_decoder: Decoder, value: Any, path: PathInside) -> Any:
    if not isinstance(value, list):
        raise _unfit(value, "[]json.RawMessage", path)
    return value


def _text(_decoder: Decoder, value: Any, path: PathInside) -> str:
    return _string("string", value, path)


def _anything(_decoder: Decoder, value: Any, _path: PathInside) -> Any:
    return value


_SCALARS: Mapping[str, Callable[[str, Any, PathInside], Any]] = {
    "string": _string, "bytes": _bytes, "bool": _bool, "double": _double, "float": _double,
    "int32": _integer, "uint32": _integer, "int64": _integer, "uint64": _integer,
}  # fmt: skip
_SPECIAL: Mapping[str, Callable[[Decoder, Any, PathInside], Any]] = {
    "duration": _duration, "timestamp": _text, "fieldmask": _text, "struct": _struct, "empty": _struct,
    "value": _anything, "listvalue": _list_value, "any": Decoder.any,
}  # fmt: skip
