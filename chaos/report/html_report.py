"""How does a run look to somebody who was not there? `report.html`: one file that opens anywhere, offline, without scripts.

Everything is drawn here, as SVG: nothing is loaded and nothing runs, so the page works in an artifact store, under the strictest
content security policy, and in an e-mail. `report.html.j2` lays out; the geometry of the charts is `_Chart`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from chaos.model import units
from chaos.model.events import WindowClosed
from chaos.report.plan import lines
from chaos.report.story import Injected, Story, Told
from chaos.report.table import SIGNS
from chaos.report.writer import StoryWriter

TEMPLATE: Final = "report.html.j2"
WIDTH: Final = 860
"""Units of the drawing; the page scales it."""
HEIGHT: Final = 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 52, 20, 22
_TICKS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
"""Seconds between two marks of the time axis."""
_MOST_TICKS: Final = 12


class HtmlReport(StoryWriter):
    """Writes report.html into the run's folder."""

    file = "report.html"

    def text(self, story: Story) -> str:
        return page(story)


def page(story: Story) -> str:
    """The whole page."""
    import jinja2  # a run without a report does not pay for it

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"seconds": _seconds, "share": _share, "moment": _moment}
    return environment.get_template(TEMPLATE).render(
        story=story,
        sign={outcome: sign for outcome, (sign, _, _) in SIGNS.items()},
        charts=_charts,
        key_numbers=_key_numbers,
        plan=lines,
    )


@dataclass(frozen=True, slots=True)
class _Box:
    """A rectangle with what it says when pointed at."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class _Chart:
    """The windows of one load: requests and errors per second as bars, p95 as a line, faults as bands."""

    target: str
    faults: Sequence[_Box]
    windows: Sequence[_Box]
    sent: Sequence[_Box]
    failed: Sequence[_Box]
    slow: Sequence[str]
    """Polylines, one a window: `x,y x,y`."""
    ticks: Sequence[tuple[float, str]]
    requests_most: str
    latency_most: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def _charts(told: Told) -> Iterator[_Chart]:
    """One for each load that had a window, in the order of their first."""
    by_target: dict[str, list[WindowClosed]] = {}
    for window in told.windows:
        if window.started and window.timeline:
            by_target.setdefault(window.target, []).append(window)
    for target, windows in by_target.items():
        yield _chart(target, windows, told.injections)


@dataclass(frozen=True, slots=True)
class _Scale:
    """From moments and figures to the drawing."""

    began: float
    ended: float
    most: float
    """Requests per second: the height of the drawing."""
    slowest: float
    """Seconds: the same for latencies."""

    def x(self, at: float) -> float:
        across = (WIDTH - _LEFT - _RIGHT) / max(1e-9, self.ended - self.began)
        return round(_LEFT + (min(max(at, self.began), self.ended) - self.began) * across, 2)

    def y(self, share: float) -> float:
        return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * share, 2)

    def band(self, start: float, end: float, title: str) -> _Box:
        return _Box(self.x(start), _TOP, round(max(1.0, self.x(end) - self.x(start)), 2), HEIGHT - _TOP - _BOTTOM, title)

    def bars(self, windows: Sequence[WindowClosed], figure: str) -> list[_Box]:
        return [self._bar(window, each, figure) for window in windows for each in window.timeline if each[figure]]

    def _bar(self, window: WindowClosed, each: Mapping[str, float], figure: str) -> _Box:
        start, end = self.x(_at(window, each, 0)), self.x(_at(window, each, 1))
        top = self.y(_rate(window, each, figure) / self.most)
        told = f"{each['requests']:.0f} requests, {each['errors']:.0f} errors, p95 {_latency(each['p95'])}"
        title = f"{window.window}, second {each['second']:.0f}: {told}"
        return _Box(start, top, round(max(0.5, end - start - 1), 2), round(self.y(0) - top, 2), title)

    def line(self, window: WindowClosed) -> str:
        """Of the p95 of its seconds; those in which nobody was answered leave no point."""
        answered = [each for each in window.timeline if each["p95"] >= 0]
        return " ".join(f"{self.x(_at(window, each, 0.5))},{self.y(each['p95'] / self.slowest)}" for each in answered)


def _chart(target: str, windows: Sequence[WindowClosed], injections: Sequence[Injected]) -> _Chart:
    seconds = [(window, each) for window in windows for each in window.timeline]
    scale = _Scale(
        began=min(window.started for window in windows),
        ended=max(window.started + window.seconds for window in windows),
        most=max(_rate(window, each, "requests") for window, each in seconds),
        slowest=max(each["p95"] for _, each in seconds) if any(each["p95"] > 0 for _, each in seconds) else 1.0,
    )
    lives = [(each, each.proven.at, each.gone.at if each.gone else scale.ended) for each in injections]
    return _Chart(
        target=target,
        faults=[scale.band(on, off, str(each)) for each, on, off in lives if on < scale.ended and off > scale.began],
        windows=[scale.band(window.started, window.started + window.seconds, window.window) for window in windows],
        sent=scale.bars(windows, "requests"),
        failed=scale.bars(windows, "errors"),
        slow=[line for window in windows if (line := scale.line(window))],
        ticks=[(scale.x(scale.began + second), f"{second:g} s") for second in _marks(scale.ended - scale.began)],
        requests_most=f"{scale.most:.0f}/s",
        latency_most=units.seconds(scale.slowest),
    )


def _at(window: WindowClosed, second: Mapping[str, float], part: float) -> float:
    """A moment of one second of a window, which may end within it."""
    return window.started + min(second["second"] + part, window.seconds)


def _rate(window: WindowClosed, second: Mapping[str, float], figure: str) -> float:
    """Per second; the last second of a window may be a part of one."""
    return second[figure] / max(1e-3, min(1.0, window.seconds - second["second"]))


def _marks(length: float) -> Iterator[int]:
    step = next((tick for tick in _TICKS if length / tick <= _MOST_TICKS), _TICKS[-1])
    return iter(range(0, int(length) + 1, step))


def _key_numbers(told: Told) -> Mapping[str, Any]:
    unanswered = bool(told.requests) and told.p95 is None
    return {
        "requests": told.requests if told.shown_windows else "",
        "p95": "never" if unanswered else _seconds(told.p95),
        "errors": _share(told.error_share),
        "time": "" if told.seconds is None else f"{told.seconds:.1f} s",
    }


def _latency(value: float) -> str:
    return "never answered" if value < 0 else units.seconds(value)


def _seconds(value: float | None) -> str:
    return "" if value is None else units.seconds(value)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _moment(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
