"""By which standards is judged? The numbers of judgement behind the verdicts, and what a project may set them to.

Everything else in the rules follows from these or was simulated. They are fixed for a whole run before anything is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from chaos.errors import InvalidValue
from chaos.model import units

_HIGHEST_LEVEL: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Standards:
    """The defaults are those of docs/reference/verdicts.md."""

    false_held: float = 0.05
    """Chance of calling a claim held that does not hold, of each claim: a suite is green only if all of them hold."""
    false_violated: float = 0.05
    """Chance that a whole run calls any claim violated that holds."""
    success_margin: float = 0.01
    """What a success share may drop by and still be as good as before: 1 percentage point."""
    latency_margin: float = 0.25
    """What a p50 or p95 may rise by, as a share; below 10 ms it is that share of 10 ms."""
    at_least: str = "99%"
    """Share of the requests that have to succeed, or to return what is claimed, where the claim does not say."""
    never_retried: tuple[str, ...] = ("POST", "PATCH")
    """Methods that are not idempotent (RFC 9110, 9.2.2): a retry may do twice what was asked for once."""
    recovered_for: float = 10.0
    """Seconds for which a recovery has to last, at least."""

    @classmethod
    def of(cls, given: Mapping[str, str], *, prefix: str = "") -> Standards:
        """From texts by name, as an ini file has them behind `prefix`; what is empty keeps its default. Raises InvalidValue."""
        read = {name: STANDARDS[name](text, prefix + name) for name, text in given.items() if text.strip()}
        return cls(**read)  # type: ignore[arg-type]


def _level(text: str, name: str) -> float:
    if not 0 < (level := units.share(text, name=name)) <= _HIGHEST_LEVEL:
        raise InvalidValue(f'{name} is {text!r}: a chance of a false verdict, above 0 and at most {_HIGHEST_LEVEL:.0%}, "5%"')
    return level


def _margin(text: str, name: str) -> float:
    if not 0 < (margin := units.share(text, name=name)) < 1:
        raise InvalidValue(f'{name} is {text!r}: a margin above 0 and below 100 %, "25%"')
    return margin


def _share(text: str, name: str) -> str:
    units.share(text, name=name)
    return text.strip()


def _methods(text: str, name: str) -> tuple[str, ...]:
    found = tuple(text.replace(",", " ").split())
    if not all(method.isalpha() and method.isupper() for method in found):
        raise InvalidValue(f"{name} is {text!r}: write methods in upper case, POST PATCH")
    return found


def _seconds(text: str, name: str) -> float:
    return units.duration(text, name=name).total_seconds()


STANDARDS: Final[Mapping[str, Callable[[str, str], object]]] = {
    "false_held": _level,
    "false_violated": _level,
    "success_margin": _margin,
    "latency_margin": _margin,
    "at_least": _share,
    "never_retried": _methods,
    "recovered_for": _seconds,
}
"""Name -> how its text is read."""
