"""How does a run look on a terminal? One row per experiment, then why those that were not held were not.

Lines are made of (text, style) pieces, style being words of a terminal (`green bold`), so that whoever prints them decides about
colours. `plain` keeps to ASCII.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from chaos.model import units
from chaos.report.story import INTERRUPTED, Story, Told

Line = Sequence[tuple[str, str]]

SIGNS: Final = {
    "held": ("✓", "+", "green"),
    "violated": ("✗", "x", "red"),
    "failed": ("✗", "x", "red"),
    "undo failed": ("✗", "!", "red bold"),
    "inconclusive": ("?", "?", "yellow"),
    "no claim": ("?", "?", "yellow"),
    "weakness gone": ("!", "!", "yellow"),
    INTERRUPTED: ("!", "!", "yellow"),
    "known weakness": ("~", "~", "yellow"),
    "planned": ("✓", "+", "green"),
    "refused": ("✗", "x", "red"),
}
_OTHER: Final = ("-", "-", "")
_EXPLAINED: Final = {"violated", "failed", "undo failed", "inconclusive", "no claim", "weakness gone", "known weakness"}

_FIGURES: Final = (("requests", 9), ("p95", 10), ("errors", 8), ("time", 8))
_OUTCOME: Final = 16
_LEAST_NAME: Final = 12
_REASON_LINES: Final = 3


def needs_plain(encoding: str | None) -> bool:
    """Can a terminal of this encoding not show our signs?"""
    try:
        "✓✗…".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return True
    return False


def table(story: Story, *, width: int, plain: bool = False) -> Iterator[Line]:
    """A heading, and for each experiment a row and the faults it injected."""
    names = _names(story.experiments)
    room = max(_LEAST_NAME, width - 1 - 2 - _OUTCOME - sum(size for _, size in _FIGURES))
    yield [(" " * (2 + _OUTCOME) + " " * room + "".join(f"{name:>{size}}" for name, size in _FIGURES), "light")]
    for told in story.experiments:
        yield _row(told, names[told.name], room, plain)
        for text in _injected(told, plain):
            for line in textwrap.wrap(text, max(20, width - 3 - _OUTCOME), max_lines=2, placeholder=" ..."):
                yield [(" " * (2 + _OUTCOME) + line, "light")]


def reasons(story: Story, *, width: int, plain: bool = False) -> Iterator[Line]:
    """In short, why: for everything that was not simply held."""
    names = _names(story.experiments)
    for told in story.experiments:
        if told.outcome not in _EXPLAINED or not told.message:
            continue
        yield [("", "")]
        yield [(f"{told.outcome}: ", _style(told)), (_cut(names[told.name], width - len(told.outcome) - 3, plain), "bold")]
        for line in _short(_in_ascii(told.message) if plain else told.message, width - 2):
            yield [(f"  {line}", "")]
    if story.experiments:
        yield [("", "")]


def _row(told: Told, name: str, room: int, plain: bool) -> Line:
    fancy, ascii_sign, style = SIGNS.get(told.outcome, _OTHER)
    return [
        (f"{ascii_sign if plain else fancy} {told.outcome:<{_OUTCOME}}", style),
        (f"{_cut(name, room - 1, plain):<{room}}", ""),
        ("".join(f"{text:>{size}}" for text, (_, size) in zip(_figures(told), _FIGURES, strict=True)).rstrip(), ""),
    ]


def _figures(told: Told) -> tuple[str, str, str, str]:
    """Of the windows under a fault; of all if there was none."""
    share = told.error_share
    unanswered = bool(told.requests) and told.p95 is None
    return (
        str(told.requests) if told.shown_windows else "",
        "never" if unanswered else units.seconds(told.p95) if told.p95 is not None else "",
        "" if share is None else f"{share:.1%}",
        "" if told.seconds is None else f"{told.seconds:.1f} s",
    )


def _injected(told: Told, plain: bool) -> Iterator[str]:
    for injected in told.injections:
        ended = injected.gone.aborted if injected.gone else ""
        for text in (str(injected), *([f"ended early: {ended}"] if ended else [])):
            yield _in_ascii(text) if plain else text


def _names(experiments: Sequence[Told]) -> dict[str, str]:
    """Without the file, where that leaves them apart."""
    short = {told.name: told.name.split("::", 1)[-1] for told in experiments}
    taken = list(short.values())
    return {name: (brief if taken.count(brief) == 1 else name) for name, brief in short.items()}


def _short(message: str, width: int) -> Iterator[str]:
    """The first lines of a message, wrapped: what was claimed, what was measured, and the likely cause."""
    for paragraph in message.splitlines()[:_REASON_LINES]:
        # Paths and edges stay whole, so that they can be copied.
        yield from textwrap.wrap(paragraph.strip(), max(20, width - 1), break_long_words=False, break_on_hyphens=False)


def _cut(text: str, room: int, plain: bool) -> str:
    """From the middle, since both ends of a test's name tell it apart."""
    if len(text) <= room:
        return text
    gap = "..." if plain else "…"
    head = (room - len(gap) + 1) // 2
    tail = room - len(gap) - head
    return text[:head] + gap + text[len(text) - tail :] if tail > 0 else text[:room]


def _style(told: Told) -> str:
    return SIGNS.get(told.outcome, _OTHER)[2]


def _in_ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()
