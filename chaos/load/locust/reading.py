"""What has a flow recorded so far? The files of `files`, read from where the last reading ended.

Asked every 50 ms while a window is open, so the price of a reading is what is new, plus one copy of the columns when
anything was.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from pathlib import Path

from chaos.load.locust.files import Files, entries
from chaos.model.samples import COLUMNS, RECORD, Response, Samples, Tables


class Growing:
    """A file that another process appends to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def new(self, unit: int = 1) -> bytes:
        """What was appended since the last call, in whole units of that many bytes."""
        if not self._path.exists() or self._path.stat().st_size - self._read < unit:
            return b""
        with self._path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        data = data[: len(data) - len(data) % unit]
        self._read += len(data)
        return data

    def unread(self, size: int) -> None:
        """The last `size` bytes were not whole after all: give them again next time."""
        self._read -= size


class Recorded:
    """The requests of one flow, in scheduled order. Safe to ask from several threads."""

    def __init__(self, files: Files) -> None:
        self._records = Growing(files.records)
        self._entries = Growing(files.tables)
        self._starts_file = Growing(files.starts)
        self._lock = threading.Lock()
        self._texts = [""]
        self._responses: list[Response | None] = [None]
        self._tables = Tables(self._texts, self._responses)
        self._samples = Samples({column: array("q") for column in COLUMNS}, self._tables)
        self._starts = array("q")
        self._started_until = 0

    def samples(self) -> Samples:
        """Everything recorded so far; the same object as before when nothing is new."""
        with self._lock:
            # Records first: the entries they refer to were written before them.
            records = self._records.new(RECORD)
            if records:
                self._read_tables()
                self._samples = self._with(Samples.from_bytes(records, self._tables))
            return self._samples

    def ended_before(self, moment: int) -> int:
        """How many of the requests scheduled before `moment` have ended."""
        return bisect_left(self.samples()["scheduled"], moment)

    def started_before(self, moment: int) -> tuple[int, bool]:
        """How many requests of a closed model began before `moment`, and whether that is final."""
        with self._lock:
            for value in array("q", self._starts_file.new(8)):
                if value < 0:
                    self._started_until = -value
                else:
                    self._starts.append(value)
            return bisect_left(self._starts, moment), self._started_until >= moment

    def _read_tables(self) -> None:
        data = self._entries.new()
        whole = 0
        for entry, end in entries(data):
            whole = end
            if isinstance(entry, str):
                self._texts.append(entry)
            else:
                self._responses.append(entry)
        self._entries.unread(len(data) - whole)

    def _with(self, batch: Samples) -> Samples:
        """Requests end out of order, but only those in flight a moment ago: sort again from the first that is concerned."""
        held = self._samples
        cut = bisect_left(held["scheduled"], batch["scheduled"][0])
        tail = Samples({name: held[name][cut:] + batch[name] for name in COLUMNS}).by_schedule()
        return Samples({name: held[name][:cut] + tail[name] for name in COLUMNS}, self._tables)
