"""Events go into files and come back, in the order they happened, whatever happened to the files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from chaos.errors import ConfigurationError
from chaos.model.events import Event, Noted, VerdictGiven, WindowProgress
from chaos.report.stream import EventFile, began, merged, plain, write


def noted(text: str, at: float) -> Noted:
    return Noted(at=at, experiment="test_it", text=text)


def test_what_is_written_comes_back(tmp_path: Path, run: list[Event]) -> None:
    file = EventFile(tmp_path / "run", "main")
    assert not file.path.parent.exists()
    for event in run:
        file(event)

    assert [event for _, event in merged(tmp_path / "run")] == run


def test_processes_are_merged_by_time(tmp_path: Path) -> None:
    one, other = EventFile(tmp_path, "gw0"), EventFile(tmp_path, "gw1")
    for file, text, at in ((one, "a", 1.0), (one, "c", 3.0), (other, "b", 2.0), (other, "d", 4.0)):
        file(noted(text, at))

    assert [(process, event.text) for process, event in merged(tmp_path) if isinstance(event, Noted)] == [
        ("gw0", "a"), ("gw1", "b"), ("gw0", "c"), ("gw1", "d"),
    ]  # fmt: skip


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    file = EventFile(tmp_path, "main")
    file(noted("whole", 1.0))
    with file.path.open("a") as torn:
        torn.write('{"event": "Noted", "at": 2.0, "exper')

    assert [event for _, event in merged(tmp_path)] == [noted("whole", 1.0)]


def test_progress_is_for_those_who_watch(tmp_path: Path) -> None:
    EventFile(tmp_path, "main")(WindowProgress(experiment="a", window="w", elapsed=1, length=2, requests=3, errors=0))

    assert not began(tmp_path)


def test_a_folder_without_events_is_no_run(tmp_path: Path) -> None:
    assert not began(tmp_path)
    with pytest.raises(ConfigurationError, match="no events of a run"):
        merged(tmp_path)


def test_lines_are_strict_json(tmp_path: Path) -> None:
    file = EventFile(tmp_path, "main")
    figures = {"bound": math.inf, "nothing": math.nan, "sides": frozenset({"b", "a"}), "place": Path("x"), 3: True}
    file(VerdictGiven(experiment="a", claim="c", subject="s", outcome="held", summary="–", figures=figures))

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    line = json.loads(file.path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert line["figures"] == {"bound": None, "nothing": None, "sides": ["a", "b"], "place": "x", "3": True}


def test_numbers_that_know_their_window_become_plain_ones() -> None:
    from chaos.model.window import Count, Measure

    assert json.dumps(plain({"n": Count(3, "requests"), "s": Measure(0.5, "seconds")})) == '{"n": 3, "s": 0.5}'


class Recorder:
    """A writer that only remembers."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def start(self, folder: Path) -> None:
        self.seen.append(folder)

    def handle(self, event: Event, process: str) -> None:
        self.seen.append((process, event))

    def finish(self) -> list[Path]:
        self.seen.append("finished")
        return [Path("made")]


def test_every_writer_gets_every_event_once(tmp_path: Path) -> None:
    EventFile(tmp_path, "main")(noted("a", 1.0))
    writers = [Recorder(), Recorder()]

    assert write(tmp_path, writers) == [Path("made"), Path("made")]
    assert [writer.seen for writer in writers] == [[tmp_path, ("main", noted("a", 1.0)), "finished"]] * 2
