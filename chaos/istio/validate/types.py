"""What is a message made of? Tables of protobuf types in one short notation, for Istio's messages and for Envoy's.

A table maps message names to their fields (proto names) and kinds: a scalar (`string`, `uint32`, `double`...), a scalar
with presence (`uint32?`, a proto wrapper), a well-known type (`duration`, `struct`, `any`...), the name of a message or
an enum, `[]KIND` for a list, `{}KIND` for a map with text keys, `{uint32}KIND` for other keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WELL_KNOWN = {
    "google.protobuf.Duration": "duration",
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.FieldMask": "fieldmask",
    "google.protobuf.Struct": "struct",
    "google.protobuf.Value": "value",
    "google.protobuf.ListValue": "listvalue",
    "google.protobuf.Any": "any",
    "google.protobuf.Empty": "empty",
    "google.protobuf.BoolValue": "bool",
    "google.protobuf.StringValue": "string",
    "google.protobuf.BytesValue": "bytes",
    "google.protobuf.DoubleValue": "double",
    "google.protobuf.FloatValue": "float",
    "google.protobuf.Int32Value": "int32",
    "google.protobuf.Int64Value": "int64",
    "google.protobuf.UInt32Value": "uint32",
    "google.protobuf.UInt64Value": "uint64",
}


class Types:
    """One family of messages.

    `oneofs` names, per message, groups of fields of which only one can be set, in the order of their declaration.
    `foreign` are the beginnings of names of messages that exist but are not described: an Any may carry them unread.
    An enum's first value is its default.
    """

    def __init__(
        self,
        messages: Mapping[str, Mapping[str, str]],
        enums: Mapping[str, Sequence[str]],
        oneofs: Mapping[str, Sequence[Sequence[str]]] | None = None,
        foreign: tuple[str, ...] = (),
    ) -> None:
        self._messages = messages
        self.enums = enums
        self._oneofs = oneofs or {}
        self._foreign = foreign

    def fields(self, type_: str) -> Mapping[str, str]:
        return self._messages[type_]

    def rivals(self, type_: str, field: str) -> Sequence[str]:
        """The fields that give way when `field` is set."""
        return next((group for group in self._oneofs.get(type_, ()) if field in group), ())

    def __contains__(self, type_: str) -> bool:
        return type_ in self._messages or self.is_well_known(type_)

    def is_foreign(self, type_: str) -> bool:
        return type_ not in self and type_.startswith(self._foreign)

    @staticmethod
    def is_well_known(type_: str) -> bool:
        """Has it a JSON form of its own, so that an Any wraps it in `value`?"""
        return type_ in WELL_KNOWN

    @staticmethod
    def well_known(type_: str) -> str:
        return WELL_KNOWN[type_]
