"""What did the load see? Every request exactly, in columns: a million of them are judged in milliseconds.

The load generator appends records of ten 64-bit integers to a file (`RECORD`); `Samples.from_bytes` takes them apart with
array slices. Texts (errors, names) and responses (headers and bodies) are kept once each, in tables beside the records.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Final

COLUMNS: Final = (
    "sequence",  # number of the request within its load, from 0 in scheduled order
    "scheduled",  # monotonic ns: when it should have started
    "sent",  # monotonic ns: when it did; 0 = unsent (over the in-flight cap)
    "ended",  # monotonic ns: last byte, or the failure
    "status",  # HTTP status; 0 = no response
    "grpc",  # grpc-status; -1 = the response had none
    "error",  # index into the texts; 0 = none
    "name",  # index into the texts: what the request is called ("/productpage")
    "response",  # index into the responses; 0 = not kept
    "size",  # bytes of the response body
)
RECORD: Final = len(COLUMNS) * 8

STALE_CONNECTION: Final = "stale_connection"
"""Error text of a request that met a reused idle connection the server had closed (the client does not resend)."""
TIMED_OUT: Final = "timeout"
"""Error text of a request that was given up after the load's own timeout."""


@dataclass(frozen=True, slots=True)
class Response:
    """One distinct response: header block (lower-case names) and body, as received."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """What the indexes of the columns mean. Index 0 is "none" in both."""

    texts: Sequence[str] = ("",)
    responses: Sequence[Response | None] = (None,)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Samples:
    """Requests in scheduled order, one array('q') per name of `COLUMNS`."""

    columns: Mapping[str, array[int]]
    tables: Tables = field(default_factory=Tables)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview, tables: Tables) -> Samples:
        """Whole records only; a torn last record is left out (it is read again next time)."""
        whole = len(data) - len(data) % RECORD
        flat: array[int] = array("q")
        flat.frombytes(memoryview(data)[:whole])
        width = len(COLUMNS)
        return cls({name: flat[i::width] for i, name in enumerate(COLUMNS)}, tables).by_schedule()

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, int]], tables: Tables | None = None) -> Samples:
        """From rows, for tests and fakes; missing columns are 0 (grpc: -1)."""
        rows = list(rows)
        default = {"grpc": -1}
        columns = {c: array("q", (row.get(c, default.get(c, 0)) for row in rows)) for c in COLUMNS}
        return cls(columns, tables or Tables()).by_schedule()

    def __len__(self) -> int:
        return len(self.columns["sequence"])

    def __getitem__(self, column: str) -> array[int]:
        return self.columns[column]

    def by_schedule(self) -> Samples:
        """The same requests ordered by (scheduled, sequence)."""
        scheduled, sequence = self.columns["scheduled"], self.columns["sequence"]
        order = sorted(range(len(sequence)), key=lambda i: (scheduled[i], sequence[i]))
        if order == list(range(len(order))):
            return self
        return Samples({name: array("q", (column[i] for i in order)) for name, column in self.columns.items()}, self.tables)

    def where(self, keep: Sequence[int]) -> Samples:
        """Those whose entry in `keep` (0 or 1, one per request) is true."""
        return Samples({name: array("q", compress(column, keep)) for name, column in self.columns.items()}, self.tables)

    def between(self, start: int, end: int) -> Samples:
        """Requests scheduled in [start, end), monotonic ns."""
        scheduled = self.columns["scheduled"]
        first, last = bisect_left(scheduled, start), bisect_left(scheduled, end)
        return Samples({name: column[first:last] for name, column in self.columns.items()}, self.tables)

    def error(self, index: int) -> str:
        """Why request number `index` (position, not sequence) failed; empty if it did not."""
        return self.tables.texts[self.columns["error"][index]]

    def response(self, index: int) -> Response | None:
        return self.tables.responses[self.columns["response"][index]]
