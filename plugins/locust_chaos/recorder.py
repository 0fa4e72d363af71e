"""How is a request written down? As one record in a buffer, appended to the flow's files every 20 ms.

Recording costs a few microseconds and never waits; the format is that of `chaos.load.locust.files`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from struct import Struct
from typing import Final

import gevent
from gevent.event import Event

from chaos.clock import now
from chaos.load.locust.files import (
    ALL_STARTED,
    LARGEST_BODY,
    LARGEST_TABLES,
    LONGEST_TEXT,
    VOLATILE_HEADERS,
    Files,
    response_entry,
    text_entry,
)
from chaos.model.samples import COLUMNS

FLUSH: Final = 0.02
"""Seconds between two writes."""

_RECORD: Final = Struct(f"={len(COLUMNS)}q")
_START: Final = Struct("=q")


class Recorder:
    """Writes the three files of one flow. `failed` is called when that becomes impossible."""

    def __init__(self, files: Files, *, closed_model: bool, failed: Callable[[BaseException], None]) -> None:
        append = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._records_file, self._tables_file, self._starts_file = (
            os.open(path, append, 0o644) for path in (files.records, files.tables, files.starts)
        )
        self._records = bytearray()
        self._tables = bytearray()
        self._starts = bytearray()
        self._texts: dict[str, int] = {}
        self._responses: dict[tuple[tuple[tuple[str, str], ...], bytes], int] = {}
        self._kept = 0
        self._started = 0
        self._closed_model = closed_model
        self.begun = Event()
        self.first_start: int | None = None
        self._failed = failed
        self._writer = gevent.spawn(self._write_on)

    def begin(self) -> tuple[int, int]:
        """A request of a closed model starts now: its sequence number and its start."""
        sequence, start = self._started, now()
        self._started += 1
        self._starts += _START.pack(start)
        if sequence == 0:
            self.first_start = start
            self.begun.set()
        return sequence, start

    def add(
        self,
        sequence: int,
        scheduled: int,
        sent: int,
        ended: int,
        *,
        name: str,
        status: int = 0,
        grpc: int = -1,
        error: str = "",
        response: int = 0,
        size: int = 0,
    ) -> None:
        """A request has ended; `response` is what `keep` gave for it."""
        self._records += _RECORD.pack(
            sequence, scheduled, sent, ended, status, grpc, self._text(error), self._text(name), response, size
        )

    def unsent(self, sequence: int, scheduled: int, *, name: str) -> None:
        """An arrival that could not be sent."""
        self.add(sequence, scheduled, 0, scheduled, name=name)

    def keep(self, headers: Iterable[tuple[str, str]], body: bytes) -> int:
        """The index of this response among those kept; 0 if it is too long, or the room for responses is used up.

        `headers` have lower-case names, one pair per line of the response.
        """
        if len(body) > LARGEST_BODY:
            return 0
        key = (tuple(pair for pair in headers if pair[0] not in VOLATILE_HEADERS), body)
        index = self._responses.get(key)
        if index is not None:
            return index
        merged: dict[str, str] = {}
        for field, value in key[0]:
            merged[field] = f"{merged[field]}, {value}" if field in merged else value
        entry = response_entry(merged, body)
        if self._kept + len(entry) > LARGEST_TABLES:
            return 0
        self._kept += len(entry)
        self._tables += entry
        self._responses[key] = index = len(self._responses) + 1
        return index

    def close(self) -> None:
        """Nothing more will come: write what is left."""
        self._writer.kill()
        self._write(ALL_STARTED)
        for file in (self._records_file, self._tables_file, self._starts_file):
            os.close(file)

    def _text(self, text: str) -> int:
        if not text:
            return 0
        text = text[:LONGEST_TEXT]
        index = self._texts.get(text)
        if index is None:
            self._texts[text] = index = len(self._texts) + 1
            self._tables += text_entry(text)
        return index

    def _write_on(self) -> None:
        try:
            while True:
                gevent.sleep(FLUSH)
                self._write(now())
        except OSError as error:
            # Not left to gevent: on a full disk it fails to print it, and then loses the greenlets that were to run next.
            self._failed(error)

    def _write(self, moment: int) -> None:
        if self._closed_model:
            self._starts += _START.pack(-moment)
            _append(self._starts_file, self._starts)
        # The entries before the records that refer to them.
        _append(self._tables_file, self._tables)
        _append(self._records_file, self._records)


def _append(file: int, buffer: bytearray) -> None:
    """Empties the buffer as far as it is written, so that what fails half-way can go on where it was."""
    while buffer:
        del buffer[: os.write(file, buffer)]
