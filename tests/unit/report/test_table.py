"""The table people see, as they see it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from syrupy.assertion import SnapshotAssertion

from chaos.model.events import Event, ExperimentStarted, InjectionGone
from chaos.report.story import Story
from chaos.report.table import needs_plain, reasons, table

VIOLATED = """\
window 2 of / (fault): to_respond_within("500ms", at="p95"): violated
  p95 1.01 s, claimed 500 ms; 100 % slower than 500 ms (5 % may be), at least 99 % with 95 % confidence; 300 requests
  back delayed by 2 s; front -> back: the caller gives up after 1 s (application, flag DC)
  ██████  share slower than 500 ms, per second"""


@pytest.fixture
def story(told: Callable[..., list[Event]]) -> Story:
    name = "test_shop.py::test_"
    events: list[Event] = [
        *told(name + "held", 1.0),
        *told(name + "a_very_long_name_that_says_what_is_believed_of_the_system[delay-2s]", 2.0, "violated", VIOLATED, p95=1.01),
        *told(name + "shown", 3.0, "inconclusive", "too few requests: 12 where 59 are needed", requests=12, errors=3),
        *told(name + "known", 4.0, "known weakness", "nobody set a timeout", p95=None),
        *told("test_other.py::test_shown", 5.0, "no claim", "nothing was claimed"),
        InjectionGone(at=5.85, experiment=name + "held", number=1, gone_ms=1, aborted="a node died"),
        ExperimentStarted(at=6.0, experiment=name + "interrupted"),
    ]
    return Story.of(("main", event) for event in events)


def text(story: Story, width: int, *, plain: bool = False) -> str:
    lines = [*table(story, width=width, plain=plain), *reasons(story, width=width, plain=plain)]
    return "\n".join("".join(part for part, _ in line) for line in lines)


@pytest.mark.parametrize("width", [80, 120])
def test_as_it_is_printed(story: Story, width: int, snapshot: SnapshotAssertion) -> None:
    assert text(story, width) == snapshot


def test_in_ascii(story: Story, snapshot: SnapshotAssertion) -> None:
    shown = text(story, 80, plain=True)

    assert shown.isascii()
    assert shown == snapshot


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("width", [70, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(story: Story, width: int, plain: bool) -> None:
    lines = text(story, width, plain=plain).splitlines()

    assert max(map(len, lines)) <= width


def test_a_run_without_experiments_is_a_heading() -> None:
    assert len(list(table(Story(), width=80))) == 1
    assert list(reasons(Story(), width=80)) == []


@pytest.mark.parametrize(
    ("encoding", "plain"), [("utf-8", False), ("ascii", True), ("latin-1", True), ("nonsense", True), (None, True)]
)
def test_what_a_terminal_can_show(encoding: str | None, plain: bool) -> None:
    assert needs_plain(encoding) is plain
