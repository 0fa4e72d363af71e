"""What does a flow leave in the run folder? Three append-only files, written by the child and read while they grow.

- `flow-N.records`: one record of `chaos.model.samples.RECORD` bytes for each request that has ended.
- `flow-N.tables`: the texts and responses that records refer to, each once, numbered from 1 in order of appearance; an
  entry is on disk before the first record that refers to it, so a reader takes the records first.
- `flow-N.starts`: closed model only, one 64-bit integer per request begun, in order of its sequence number: its start
  (monotonic ns). A negative integer -t says that every request begun before t is already written above.

Files and not a pipe: a pipe left unread for 3 s made 948 of 2,500 arrivals late, because its writer blocks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Final

from chaos.model.samples import Response

TEXT: Final = b"t"
RESPONSE: Final = b"r"
_ENTRY: Final = Struct("<cII")  # kind, bytes of the head, bytes of the body

VOLATILE_HEADERS: Final = frozenset({"date", "x-envoy-upstream-service-time"})
"""Response headers that are not kept: they differ between answers that are otherwise the same."""
LARGEST_BODY: Final = 256 * 1024
"""A response with a longer body is not kept (its record has response 0 and the true size)."""
LARGEST_TABLES: Final = 64 * 1024 * 1024
"""Bytes of kept responses per flow; once they are used up no new response is kept."""
LONGEST_TEXT: Final = 500
"""Characters kept of an error or a name; a locustfile may put a whole page into one."""
ALL_STARTED: Final = 2**63 - 1
"""The last mark in a file of starts: no further request will begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The files of one flow."""

    records: Path
    tables: Path
    starts: Path

    @classmethod
    def of(cls, folder: Path, flow: int) -> Files:
        stem = folder / f"flow-{flow}"
        return cls(records=stem.with_suffix(".records"), tables=stem.with_suffix(".tables"), starts=stem.with_suffix(".starts"))


def text_entry(text: str) -> bytes:
    head = text.encode(errors="replace")
    return _ENTRY.pack(TEXT, len(head), 0) + head


def response_entry(headers: Mapping[str, str], body: bytes) -> bytes:
    head = json.dumps(dict(headers)).encode()
    return _ENTRY.pack(RESPONSE, len(head), len(body)) + head + body


def entries(data: bytes) -> Iterator[tuple[str | Response, int]]:
    """Each whole entry with the offset behind it; a torn last entry is left out."""
    position = 0
    while position + _ENTRY.size <= len(data):
        kind, head_size, body_size = _ENTRY.unpack_from(data, position)
        head_at = position + _ENTRY.size
        body_at = head_at + head_size
        position = body_at + body_size
        if position > len(data):
            return
        head = data[head_at:body_at].decode()
        yield (head if kind == TEXT else Response(json.loads(head), data[body_at:position])), position
