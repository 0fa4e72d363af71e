"""How do events get from the processes of a run into its reports? One JSON line each, one file per process, merged by time.

The files are the record of a run: written as it goes, whole after a crash, and enough to write every report again.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chaos.errors import ConfigurationError
from chaos.model.events import Event, WindowProgress, from_json
from chaos.report.writer import Writer

PREFIX, SUFFIX = "events-", ".jsonl"


class EventFile:
    """A listener that appends every event to the file of its process; made with its folder when there is something to write."""

    def __init__(self, folder: Path, process: str) -> None:
        self.path = folder / f"{PREFIX}{process}{SUFFIX}"
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        if isinstance(event, WindowProgress):
            return  # for those who watch; the window's end says it all
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(plain(event.as_json()), ensure_ascii=False)
        with self._lock, self.path.open("a", encoding="utf-8") as file:  # watches tell events as well
            file.write(line + "\n")


def began(folder: Path) -> bool:
    """Did anything happen in this run?"""
    return any(_files(folder))


def merged(folder: Path) -> Iterator[tuple[str, Event]]:
    """(process, event) of all processes in the order they happened. Raises ConfigurationError where there is no run."""
    files = _files(folder)
    if not files:
        raise ConfigurationError(f"{folder}: no events of a run; name the folder of one run, reports/runs/<run>")
    found = [(process, event) for file in files for process, event in _events(file)]
    return iter(sorted(found, key=lambda pair: pair[1].at))


def write(folder: Path, writers: Sequence[Writer]) -> list[Path]:
    """Feed the events of a run to all writers. Returns the files they made."""
    events = list(merged(folder))
    for writer in writers:
        writer.start(folder)
        for process, event in events:
            writer.handle(event, process)
    return [file for writer in writers for file in writer.finish()]


def plain(value: Any) -> Any:
    """As JSON has it: no infinities (null), text for what it has no form for."""
    if isinstance(value, float) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return [plain(item) for item in items]
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{PREFIX}*{SUFFIX}"))


def _events(file: Path) -> Iterator[tuple[str, Event]]:
    process = file.name.removeprefix(PREFIX).removesuffix(SUFFIX)
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue  # the line that was being written when its process died
        yield process, from_json(values)
