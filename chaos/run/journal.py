"""What has to be undone? A file that says so before anything is done, line by line, forced to the disk.

One journal per process of a run. Its entries are the inverse of what is about to happen: process groups to end, objects to
delete. The undo of an entry is written as well, so that whoever reads a journal knows what is left.
`watchdog` reads it when its owner dies; `sweep` when both did.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.run import state


def runner(run: str, pid: int) -> str:
    """One process of a run: names its journal, and stands in the environment of every child that it starts for a mesh."""
    return f"{run}-{pid}"


class Journal:
    """Append-only; every entry is on the disk when its method returns. Thread-safe."""

    def __init__(self, path: Path, run: str) -> None:
        self.path = path
        self.runner = runner(run, os.getpid())
        self._lock = threading.Lock()
        # Nobody may see it without its first line, which says whose it is.
        aside = path.with_suffix(".new")
        self._file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._write({"run": run, "pid": os.getpid(), "started": process_start(os.getpid())})
        aside.rename(path)

    @classmethod
    def opened(cls, run: str) -> Journal:
        return cls(state.folder() / f"{runner(run, os.getpid())}.journal", run)

    def mesh(self, kind: str, name: str, reach: Mapping[str, str] | None = None) -> None:
        """Which mesh; with `reach`, how another process comes to it (no secrets: a context and where it is looked up)."""
        self._write({"mesh": {"kind": kind, "name": name}, "reach": dict(reach or {})})

    def leasing(self, namespace: str, name: str) -> None:
        """A lease is about to be taken."""
        self._write({"leasing": [namespace, name]})

    def spawned(self, group: int, what: str) -> None:
        """A process group of ours was just started."""
        self._write({"spawned": group, "started": process_start(group), "what": what})

    def writing(self, objects: Sequence[tuple[str, str]]) -> None:
        """These objects (namespace, name) are about to be written."""
        self._write({"writing": [list(key) for key in objects]})

    def removed(self, objects: Sequence[tuple[str, str]]) -> None:
        self._write({"removed": [list(key) for key in objects]})

    def silencing(self, proxies: Sequence[tuple[str, str, str]]) -> None:
        """Keys (namespace, pod, key) are about to be set in the runtime of these proxies: they outlive everything."""
        self._write({"silencing": [list(each) for each in proxies]})

    def cleared(self, proxies: Sequence[tuple[str, str, str]]) -> None:
        """These keys are taken away again."""
        self._write({"cleared": [list(each) for each in proxies]})

    def close(self, *, clean: bool) -> None:
        """Everything was undone (`clean`): the journal goes. Otherwise it stays for the watchdog and the next run."""
        with self._lock:
            os.close(self._file)
        if clean:
            self.path.unlink(missing_ok=True)

    def _write(self, entry: dict[str, Any]) -> None:
        with self._lock:
            os.write(self._file, json.dumps(entry).encode() + b"\n")
            os.fdatasync(self._file)


@dataclass(slots=True)
class Left:
    """What a journal says is still there."""

    run: str = ""
    pid: int = 0
    started: int = 0
    mesh: dict[str, str] = field(default_factory=dict)
    reach: dict[str, str] = field(default_factory=dict)
    """How to come to it; empty where nothing outlives the run's processes."""
    groups: dict[int, int] = field(default_factory=dict)
    """Process group -> start time of its leader, so that a reused number is never ended."""
    objects: list[tuple[str, str]] = field(default_factory=list)
    leases: list[tuple[str, str]] = field(default_factory=list)
    silenced: list[tuple[str, str, str]] = field(default_factory=list)
    """Keys (namespace, pod, key) in the runtime of proxies."""
    trouble: str = ""
    """Why whoever came after it could not undo everything."""

    @property
    def runner(self) -> str:
        return runner(self.run, self.pid)


def left(path: Path) -> Left:
    """Read a journal to its last whole line."""
    found = Left()
    for line in path.read_bytes().split(b"\n"):
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # the line that was being written when its owner died
        _take(found, entry)
    return found


def _take(found: Left, entry: dict[str, Any]) -> None:
    match entry:
        case {"run": run, "pid": pid, "started": started}:
            found.run, found.pid, found.started = run, pid, started
        case {"mesh": mesh}:
            found.mesh, found.reach = mesh, entry.get("reach", {})
        case {"trouble": text}:
            found.trouble = text
        case {"leasing": [namespace, name]}:
            found.leases.append((namespace, name))
        case {"spawned": group, "started": started}:
            found.groups[group] = started
        case {"writing": keys}:
            found.objects += [(namespace, name) for namespace, name in keys if (namespace, name) not in found.objects]
        case {"silencing": keys}:
            found.silenced += [(namespace, pod, key) for namespace, pod, key in keys]
        case {"cleared": keys}:
            found.silenced = [each for each in found.silenced if list(each) not in keys]
        case {"removed": keys}:
            gone = {(namespace, name) for namespace, name in keys}
            found.objects = [key for key in found.objects if key not in gone]


def troubled(path: Path, text: str) -> None:
    """Written by who could not undo everything, for the next one; the journal stays."""
    with suppress(OSError):
        # Never made anew: somebody else may have done everything meanwhile.
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(file, b"\n" + json.dumps({"trouble": text}).encode() + b"\n")
        finally:
            os.close(file)


def process_start(pid: int) -> int:
    """Start time of a process in clock ticks since boot, 0 where it cannot be told: with the pid it names one process for ever."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
