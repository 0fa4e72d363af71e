"""Whose is it, where there is no API server to ask? Leases in a table, in memory or in a file that processes share.

Judged by this machine's monotonic clock, which goes on while a process is stopped and is one for all of its processes.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from chaos.clock import NS, RealTime
from chaos.errors import LeaseLost, Occupied
from chaos.mesh.port import Lease, Leases

Key = tuple[str, str]


@dataclass(slots=True)
class Row:
    """One lease as it is kept; `renewed` in nanoseconds of the table's clock."""

    holder: str
    renewed: int
    valid: float
    about: str


class TableLeases(Leases):
    """The rules, whatever keeps the table."""

    def __init__(self, now: Callable[[], int] | None = None) -> None:
        self.now = now or RealTime().now
        """A test may put another clock in place."""

    @abstractmethod
    def table(self) -> AbstractContextManager[dict[Key, Row]]:
        """For this block nobody else's."""

    def acquire(self, namespace: str, name: str, holder: str, *, valid: float, about: str = "") -> Lease:
        with self.table() as table:
            found = self._lease((namespace, name), table)
            if found is not None and found.alive and found.holder != holder:
                raise Occupied(occupied(found))
            table[namespace, name] = Row(holder, self.now(), valid, about)
        return Lease(namespace=namespace, name=name, holder=holder, age=0.0, valid=valid, about=about)

    def renew(self, lease: Lease) -> Lease:
        key = (lease.namespace, lease.name)
        with self.table() as table:
            found = self._lease(key, table)
            if found is None or found.holder != lease.holder or not found.alive:
                raise LeaseLost(lost(lease, found))
            table[key] = Row(lease.holder, self.now(), lease.valid, lease.about)
        return lease

    def release(self, lease: Lease) -> None:
        key = (lease.namespace, lease.name)
        with self.table() as table:
            if key in table and table[key].holder == lease.holder:
                del table[key]

    def find(self, namespace: str, name: str) -> Lease | None:
        with self.table() as table:
            return self._lease((namespace, name), table)

    def all(self) -> Sequence[Lease]:
        with self.table() as table:
            return [lease for key in sorted(table) if (lease := self._lease(key, table))]

    def _lease(self, key: Key, table: dict[Key, Row]) -> Lease | None:
        row = table.get(key)
        if row is None:
            return None
        age = max(0, self.now() - row.renewed) / NS
        return Lease(namespace=key[0], name=key[1], holder=row.holder, age=age, valid=row.valid, about=row.about)


class MemoryLeases(TableLeases):
    """Of one process."""

    def __init__(self, now: Callable[[], int] | None = None) -> None:
        super().__init__(now)
        self._rows: dict[Key, Row] = {}
        self._lock = threading.RLock()

    @contextmanager
    def table(self) -> Iterator[dict[Key, Row]]:
        with self._lock:
            yield self._rows


class FileLeases(TableLeases):
    """Of everybody who knows the file; a process that dies holds up nobody, since the system takes its lock away."""

    def __init__(self, file: Path, now: Callable[[], int] | None = None) -> None:
        super().__init__(now)
        self._file = file

    @contextmanager
    def table(self) -> Iterator[dict[Key, Row]]:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            before = os.pread(descriptor, 2**20, 0)
            rows = {(namespace, name): Row(**row) for namespace, name, row in json.loads(before or b"[]")}
            yield rows
            after = json.dumps([[*key, asdict(row)] for key, row in rows.items()]).encode()
            if after != before:
                os.pwrite(descriptor, after, 0)
                os.ftruncate(descriptor, len(after))
        finally:
            os.close(descriptor)


def occupied(lease: Lease) -> str:
    """Who has it, in the words of an error."""
    return (
        f"{lease.about or lease.id} is under test by run {lease.holder}, which renewed its lease {lease.id} {lease.age:.0f} s ago; "
        "wait for its end (--chaos-lease-timeout says how long), or look: istio-chaos status"
    )


def lost(lease: Lease, now: Lease | None) -> str:
    """What became of it, in the words of an error."""
    if now is None:
        why = "is gone"
    elif now.holder != lease.holder:
        why = f"is held by {now.holder or 'nobody'}"
    else:
        why = f"was not renewed for {now.age:.0f} s, and holds for {now.valid:g} s"
    return f"the lease {lease.id} of run {lease.holder} {why}: this run may only undo from now on"
