"""What is a report? Whatever is fed with the events of a run and leaves something behind when they end."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from chaos.model.events import Event


class Writer(Protocol):
    """One format. A writer is fed every event once, in order, and is finished whatever happened in between."""

    def start(self, folder: Path) -> None:
        """The run's folder: what the writer makes lies there."""

    def handle(self, event: Event, process: str) -> None:
        """One event of one process of the run (`main`, or the name of a worker)."""

    def finish(self) -> list[Path]:
        """Write. Returns the files made."""
