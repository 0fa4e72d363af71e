"""One page that says everything, loads nothing, and believes nobody's text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest

from chaos.model.events import Event, InjectionProven, VerdictGiven, WindowClosed
from chaos.report.html_report import HtmlReport, page
from chaos.report.story import Story

VOID = {"meta", "br", "rect", "line", "polyline"}


class Page(HTMLParser):
    """Checks that tags close in order; keeps attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if not (tag in VOID and (self.get_starttag_text() or "").endswith("/>")) and tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, css_class: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag and css_class in (attrs.get("class") or "").split()]


@pytest.fixture
def shown(run: list[Event]) -> Callable[..., Page]:
    def shown(*experiments: Sequence[Event]) -> Page:
        events = [run[0], *(event for experiment in experiments for event in experiment), run[-1]]
        return Page(page(Story.of(("main", event) for event in events)))

    return shown


def second(number: int, requests: int = 20, errors: int = 0, p95: float = 0.02) -> dict[str, float]:
    return {"second": number, "requests": requests, "errors": errors, "p95": p95}


def test_everything_that_was_opened_is_closed(shown: Callable[..., Page], told: Callable[..., list[Event]]) -> None:
    assert shown(told(), told("test_shop.py::test_other", at=10, outcome="violated", message="no")).open == []


def test_it_names_run_outcomes_claims_and_faults(shown: Callable[..., Page], told: Callable[..., list[Event]]) -> None:
    text = re.sub(r"\s+", " ", shown(told()).text)

    for part in (
        "Run 0123456789ab",
        "1 held",
        "it holds",
        "delay 2s on front -> back (caller side)",
        "no policy",
        "to_succeed()",
        "100 % succeeded",
    ):
        assert part in text


def test_what_did_not_hold_is_open_and_what_held_is_not(shown: Callable[..., Page], told: Callable[..., list[Event]]) -> None:
    seen = shown(
        told(), told("t.py::bad", at=10, outcome="violated", message="slow"), told("t.py::weak", at=20, outcome="known weakness")
    )

    assert ["open" in attrs for tag, attrs in seen.tags if tag == "details"] == [False, True, False]


def test_nothing_is_loaded_and_nothing_runs(shown: Callable[..., Page], told: Callable[..., list[Event]]) -> None:
    seen = shown(told())

    assert not [
        tag for tag, attrs in seen.tags if tag in ("script", "link", "img", "iframe") or {"src", "href", "onclick"} & attrs.keys()
    ]
    assert (
        "meta",
        {"http-equiv": "Content-Security-Policy", "content": "default-src 'none'; style-src 'unsafe-inline'"},
    ) in seen.tags


def test_text_of_others_is_text(shown: Callable[..., Page], told: Callable[..., list[Event]]) -> None:
    evil = "<script>alert(1)</script>"
    seen = shown(told(f"t.py::test[{evil}]", outcome="violated", message=evil))

    assert evil in seen.text
    assert not any(tag == "script" for tag, _ in seen.tags)


def test_a_window_is_drawn_where_it_was(shown: Callable[..., Page], told: Callable[..., list[Event]]) -> None:
    def drawn(event: Event) -> Event:
        if not isinstance(event, WindowClosed):
            return event
        began = 100.0 if event.kind == "steady" else 110.0
        seconds = tuple(second(n, errors=5 if event.kind == "fault" else 0) for n in range(5))
        return WindowClosed(
            **{name: getattr(event, name) for name in event.__dataclass_fields__}
            | {"target": "/", "started": began, "timeline": seconds}
        )

    seen = shown([drawn(event) for event in told()])

    assert len(seen.all("rect", "window")) == 2
    assert len(seen.all("rect", "sent")) == 10
    # All errors are in the second window, which begins in the second half of the drawing.
    wrong = seen.all("rect", "wrong")
    assert len(wrong) == 5
    assert min(float(bar["x"] or 0) for bar in wrong) > 500
    # A quarter of the requests failed: a quarter of the height.
    assert {
        round(float(bar["height"] or 0) / float(sent["height"] or 1), 2)
        for bar, sent in zip(wrong, seen.all("rect", "sent"), strict=False)
    } == {0.25}
    assert len(seen.all("polyline", "slow")) == 2


def test_part_of_a_second_is_drawn_at_its_rate(
    shown: Callable[..., Page], window: Callable[..., WindowClosed], told: Callable[..., list[Event]]
) -> None:
    events = [e for e in told() if not isinstance(e, (WindowClosed, InjectionProven, VerdictGiven))]
    part = window("test_shop.py::test_it", 1.2, seconds=1.5, target="/", started=100.0, timeline=(second(0, 20), second(1, 10)))

    bars = shown([*events[:2], part, *events[2:]]).all("rect", "sent")

    assert bars[0]["height"] == bars[1]["height"]


def test_runs_of_before_windows_had_a_start_are_shown_without_a_drawing(
    shown: Callable[..., Page], told: Callable[..., list[Event]]
) -> None:
    assert not shown(told()).all("rect", "window")


def test_the_file_lies_in_the_runs_folder(tmp_path: Path, run: list[Event]) -> None:
    writer = HtmlReport()
    writer.start(tmp_path)
    for event in run:
        writer.handle(event, "main")

    assert writer.finish() == [tmp_path / "report.html"]
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
