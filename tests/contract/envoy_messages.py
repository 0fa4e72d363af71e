"""Which messages does Envoy know? Read from the descriptors that an Envoy binary carries.

`chaos/istio/validate/envoy-messages.json` is made with

    python -m tests.contract.envoy_messages > chaos/istio/validate/envoy-messages.json

and `test_envoy_messages.py` compares it with the installed binary. The file has one line per message, in the notation of
`chaos.istio.validate.types`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.istio.validate.types import WELL_KNOWN
from chaos.mesh.local import binary

# google.protobuf.FieldDescriptorProto.Type
_SCALARS = {
    1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 6: "uint64", 7: "uint32", 8: "bool", 9: "string",
    12: "bytes", 13: "uint32", 15: "int32", 16: "int64", 17: "int32", 18: "int64",
}  # fmt: skip
_REPEATED = 3
_FILE = re.compile(rb"\x0a[\x08-\x7f]((?:envoy|xds|udpa)/[\w/.]+?\.proto)\x12")
# What a patch of an EnvoyFilter may start with; the rest follows from what these refer to.
_ROOTS = ("envoy.config.", "envoy.extensions.", "envoy.type.", "envoy.watchdog.", "udpa.type.", "xds.core.", "xds.type.")


@dataclass(slots=True)
class _Found:
    """Messages as fields of (name, kind) and enums as names, under full names; maps appear as their entry messages."""

    messages: dict[str, dict[str, str]] = field(default_factory=dict)
    oneofs: dict[str, list[list[str]]] = field(default_factory=dict)
    entries: set[str] = field(default_factory=set)
    enums: dict[str, list[str]] = field(default_factory=dict)


def messages(envoy: Path) -> dict[str, Any]:
    """`{"enums": {name: [values]}, "messages": {name: {field: kind}}, "oneofs": {name: [[field, ...], ...]}}`"""
    found = _Found()
    for descriptor in _files(envoy.read_bytes()):
        _read_file(descriptor, found)
    needed = _reachable(found)
    return {
        "enums": {name: found.enums[name] for name in sorted(needed & found.enums.keys())},
        "messages": {
            name: {key: _kind(kind, found) for key, kind in found.messages[name].items()}
            for name in sorted(needed & found.messages.keys() - found.entries)
        },
        "oneofs": {name: found.oneofs[name] for name in sorted(needed & found.oneofs.keys())},
    }


def written(table: dict[str, Any]) -> str:
    """As the file has it: one line per message, enum or message with oneofs, so that a new Envoy gives a readable difference."""
    parts = []
    for part in ("enums", "messages", "oneofs"):
        lines = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in table[part].items())
        parts.append(f'"{part}": {{\n' + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _kind(kind: str, found: _Found) -> str:
    prefix, name = ("[]", kind[2:]) if kind.startswith("[]") else ("", kind)
    if prefix and name in found.entries:
        entry = found.messages[name]
        key = "" if entry["key"] == "string" else entry["key"]
        return f"{{{key}}}{_kind(entry['value'], found).rstrip('?')}"
    if name in WELL_KNOWN:
        wrapper = not prefix and WELL_KNOWN[name] in _SCALARS.values()
        return prefix + WELL_KNOWN[name] + ("?" if wrapper else "")
    known = name in found.messages or name in found.enums or "." not in name
    return prefix + (name if known else "value")


def _reachable(found: _Found) -> set[str]:
    waiting = [name for name in (*found.messages, *found.enums) if name.startswith(_ROOTS)]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [kind.removeprefix("[]") for kind in found.messages.get(name, {}).values()]
    return seen


# ------------------------------------------------------------------------------------- google.protobuf's descriptors
def _read_file(data: bytes, found: _Found) -> None:
    parts = list(_fields(data))
    package = next((value.decode() for number, value in parts if number == 2), "")
    for number, value in parts:
        if number == 4:
            _read_message(value, package, found)
        elif number == 5:
            _read_enum(value, package, found)


def _read_message(data: bytes, prefix: str, found: _Found) -> None:
    parts = list(_fields(data))
    name = f"{prefix}.{next(value.decode() for number, value in parts if number == 1)}"
    found.messages[name] = dict(_read_field(value) for number, value in parts if number == 2)
    oneofs = _read_oneofs([value for number, value in parts if number == 2])
    if oneofs:
        found.oneofs[name] = oneofs
    for number, value in parts:
        if number == 3:
            _read_message(value, name, found)
        elif number == 4:
            _read_enum(value, name, found)
        elif number == 7 and dict(_fields(value)).get(7):
            found.entries.add(name)


def _read_field(data: bytes) -> tuple[str, str]:
    parts = dict(_fields(data))
    kind = _SCALARS.get(parts[5]) or parts[6].decode().lstrip(".")
    return parts[1].decode(), f"[]{kind}" if parts[4] == _REPEATED else kind


def _read_oneofs(fields: list[bytes]) -> list[list[str]]:
    """Fields of one message by the oneof they belong to; a field that belongs to none has no index."""
    groups: dict[int, list[str]] = {}
    for data in fields:
        parts = dict(_fields(data))
        if 9 in parts:
            groups.setdefault(parts[9], []).append(parts[1].decode())
    return list(groups.values())


def _read_enum(data: bytes, prefix: str, found: _Found) -> None:
    parts = list(_fields(data))
    name = next(value.decode() for number, value in parts if number == 1)
    found.enums[f"{prefix}.{name}"] = [dict(_fields(value))[1].decode() for number, value in parts if number == 2]


# ------------------------------------------------------------------------------------------------------- wire format
def _files(data: bytes) -> Iterator[bytes]:
    """Every serialized FileDescriptorProto: they begin with the file's name and the package."""
    for start in _FILE.finditer(data):
        name = start.group(1)
        if data[start.start() + 1] == len(name):
            yield data[start.start() : _end_of_file(data, start.start())]


def _end_of_file(data: bytes, start: int) -> int:
    """Where the fields stop that a file descriptor can have: name once, `syntax` last."""
    at = start
    while True:
        tag, after = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if number not in (*range(1, 13), 14, 15) or wire not in (0, 2) or (number == 1 and at > start):
            return at
        size, after = _varint(data, after)
        at = after + size if wire == 2 else after
        if number == 12:
            return at


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
        else:
            size, at = _varint(data, at) if wire == 2 else ({1: 8, 5: 4}[wire], at)
            yield number, data[at : at + size]
            at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


if __name__ == "__main__":
    sys.stdout.write(written(messages(binary.find({}))))
