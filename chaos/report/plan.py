"""How does a plan look on a terminal? Each experiment with its loads, faults, windows and claims, and what is in their way.

Lines are made of (text, style) pieces, as those of `table`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from chaos.model.events import ClaimPlanned, DoubtForeseen, InjectionPlanned, LoadPlanned, PathPlanned, WindowPlanned
from chaos.report.story import Planned, Story, Told
from chaos.report.table import SIGNS, Line

_INDENT: Final = "  "
_DEEPER: Final = "    "


def plan(story: Story, *, width: int, plain: bool = False) -> Iterator[Line]:
    """All of it: one paragraph an experiment, then the sums."""
    for told in story.experiments:
        yield from _experiment(told, width, plain)
        yield [("", "")]
    for line in textwrap.wrap(_sums(story), max(40, width - 1)):
        yield [(line, "bold")]


def lines(told: Told) -> list[str]:
    """What one experiment would do, for whoever has no terminal."""
    return [text for each in told.plan for text, _ in _told(each, _loads(told))]


def _experiment(told: Told, width: int, plain: bool) -> Iterator[Line]:
    fancy, ascii_sign, style = SIGNS.get(told.outcome, ("-", "-", ""))
    yield [(f"{ascii_sign if plain else fancy} {told.outcome}: ", style), (told.name, "bold")]
    parts = [
        *(part for each in told.plan for part in _told(each, _loads(told))),
        *((f"note: {note}", "light") for note in told.notes),
    ]
    parts += [(text, style if told.outcome != "planned" else "light") for text in told.message.splitlines()]
    for text, how in parts:
        shown = text.encode("ascii", "replace").decode() if plain else text
        indent = _DEEPER if text.startswith(_INDENT) else _INDENT
        wrapped = textwrap.wrap(
            shown.strip(),
            max(40, width - 1),
            initial_indent=indent,
            subsequent_indent=f"{indent}{_INDENT}",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in wrapped:
            yield [(line, how)]


def _told(event: Planned, loads: int) -> Iterator[tuple[str, str]]:
    match event:
        case LoadPlanned():
            yield _load(event, loads), ""
        case WindowPlanned():
            yield _window(event, loads), ""
        case PathPlanned():
            yield from _path(event)
        case InjectionPlanned():
            yield from _injection(event)
        case ClaimPlanned():
            yield from _claim(event)
        case DoubtForeseen():
            yield f"! {event.text}", "yellow"


def _load(event: LoadPlanned, loads: int) -> str:
    whose = "" if event.own else ", bystander traffic"
    sent = f"{event.requests} requests" if event.requests is not None else "as many requests as are answered"
    number = f" {event.number}" if loads > 1 else ""
    return f"load{number} on {event.target} at {event.model} by {event.enters}{whose}: {event.seconds:g} s, {sent}"


def _loads(told: Told) -> int:
    return sum(isinstance(event, LoadPlanned) for event in told.plan)


def _window(event: WindowPlanned, loads: int) -> str:
    up_to = "at most " if event.at_most else ""
    sent = f", {event.requests} requests" if event.requests is not None else ""
    faults = f", under fault {' and '.join(map(str, event.faults))}" if event.faults else ""
    which = f" (load {event.load})" if loads > 1 else ""
    return f"{event.window}{which}: {up_to}{event.seconds:g} s{sent}{faults}"


def _injection(event: InjectionPlanned) -> Iterator[tuple[str, str]]:
    whose = "own traffic" if event.traffic == "own" else "EVERYBODY's requests"
    only = event.only.removeprefix("everybody").removeprefix(", ")
    whom = f"{event.share * 100:.4g} % of {whose}" if event.share < 1 else f"all {whose}"
    yield f"fault {event.number}: {event.fault} on {event.edge}, at the {event.side}", "bold"
    yield f"{_INDENT}hits {whom} on this edge{f' ({only})' if only else ''}, in {', '.join(event.callers)}", ""
    yield f"{_INDENT}why the {event.side}: {event.reason}", ""
    if event.attempts > 1:
        yield f"{_INDENT}proven by {event.attempts} attempts or more", ""
    yield f"{_INDENT}ends by itself after {event.expires:g} s", ""


def _path(event: PathPlanned) -> Iterator[tuple[str, str]]:
    yield f"private path on {event.edge}, in {', '.join(event.callers)}", ""
    for line in event.policy:
        yield f"{_INDENT}policy in effect: {line}", "light"
    yield f"{_INDENT}would write {', '.join(_pairs(event.objects))}; anybody may remove them after {event.deadline:g} s", ""


def _pairs(objects: Sequence[str]) -> Iterator[str]:
    """Both halves of a path in one word, as a shell takes it: `istio-chaos-RUN-1-{stage,switch}`."""
    for name in objects:
        if name.endswith("-stage"):
            yield f"{name.removesuffix('stage')}{{stage,switch}}"
        elif not name.endswith("-switch"):
            yield name


def _claim(event: ClaimPlanned) -> Iterator[tuple[str, str]]:
    said = event.said if event.planned is None else f"{event.said}; planned {event.planned}"
    yield f"claim on {event.subject}: {said}", ""
    if event.needs is not None and event.planned is not None and event.needs > event.planned:
        yield f"{_INDENT}! needs {event.needs}, planned {event.planned}: would be inconclusive", "yellow"


def _sums(story: Story) -> str:
    planned = [event for told in story.experiments for event in told.plan]
    loads = [event for event in planned if isinstance(event, LoadPlanned)]
    faults = [event for event in planned if isinstance(event, InjectionPlanned)]
    edges = len({event.edge for event in faults})
    requests = sum(event.requests or 0 for event in loads)
    seconds = sum(max((e.seconds for e in told.plan if isinstance(e, LoadPlanned)), default=0.0) for told in story.experiments)
    return (
        f"{_counted(len(story.experiments), 'experiment')}, {_counted(len(faults), 'fault')} on {_counted(edges, 'edge')}, "
        f"{_counted(requests, 'request')} in {seconds:g} s of load; nothing was changed, and nothing was sent"
    )


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
