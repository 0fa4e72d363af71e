"""What is a report? Whatever is fed with the events of a run and leaves something behind when they end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Protocol

from chaos.model.events import Event
from chaos.report.story import Story


class Writer(Protocol):
    """One format. A writer is fed every event once, in order, and is finished whatever happened in between."""

    def start(self, folder: Path) -> None:
        """The run's folder: what the writer makes lies there."""

    def handle(self, event: Event, process: str) -> None:
        """One event of one process of the run (`main`, or the name of a worker)."""

    def finish(self) -> list[Path]:
        """Write. Returns the files made."""


class StoryWriter(ABC):
    """A writer of one file that is made when the story is whole."""

    file: ClassVar[str]

    def __init__(self) -> None:
        self._story = Story()
        self._folder = Path()

    @abstractmethod
    def text(self, story: Story) -> str:
        """What the file has in it."""

    def start(self, folder: Path) -> None:
        self._folder = folder

    def handle(self, event: Event, process: str) -> None:
        self._story.handle(event, process)

    def finish(self) -> list[Path]:
        path = self._folder / self.file
        path.write_text(self.text(self._story), encoding="utf-8")
        return [path]
