"""Do users get the answer that is meant for them? `to_return(status=, containing=, json=, header=)`.

A request is good if its answer has everything that is named. Answers are kept once per distinct response, so each is looked
at once, however many requests got it. What was answered but not kept is taken for bad where the claim would be held, and
for good where it would be violated, as requests that were not sent are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import compress
from json import JSONDecodeError, loads
from typing import Final

from chaos.claims import shares
from chaos.claims.claim import Claim, Judgement, Levels, Plan, Vacuity, written
from chaos.claims.explanation import counted, timeline
from chaos.claims.naive import cannot_fail
from chaos.claims.subjects import WindowSubject
from chaos.claims.success import Succeed, good_for, statuses
from chaos.errors import InvalidValue
from chaos.model import units
from chaos.model.outcome import Outcome
from chaos.model.samples import Response
from chaos.model.window import Outlook
from chaos.stats.sequential import SHARE_LOOKS
from chaos.stats.shares import allowed_bad_share

_SHOWN: Final = 3
"""Kinds of wrong answers that are listed."""
_EXCERPT: Final = 60
"""Characters of a body or value that are shown."""
_ABSENT: Final = object()
_STEP: Final = re.compile(r'(?:^|\.)([^.\[\]"]+)|\[(\d+)\]|\["([^"]*)"\]')


class Return(Claim[WindowSubject]):
    """At least so large a share of the requests gets an answer with everything that is named."""

    looks = SHARE_LOOKS

    def __init__(
        self,
        *,
        status: int | Collection[int] | None = None,
        containing: str | bytes | None = None,
        json: Mapping[str, object] | None = None,
        header: Mapping[str, str | None] | None = None,
        at_least: str | float = "99%",
    ) -> None:
        self.expected = Expected(
            statuses=_statuses(status),
            text=_text(containing),
            values=tuple((path, steps(path), value) for path, value in _mapping(json, "json").items()),
            headers=tuple((name.lower(), value) for name, value in _headers(header).items()),
        )
        if self.expected == Expected():
            raise InvalidValue("to_return() expects nothing: name status=, containing=, json= or header=, to_return(status=200)")
        self.allowed = allowed_bad_share(units.share(at_least, name="at_least"))
        self.succeed = Succeed(at_least)
        given = {"status": status, "containing": containing, "json": json, "header": header}
        self.text = written("to_return", **given, at_least=at_least)

    def planned(self, outlook: Outlook) -> Plan:
        return self.succeed.planned(outlook)

    def doubt(self, subject: WindowSubject) -> str:
        if all(lack is None for lack in self._lacking(subject).values()):
            return "no answer was kept, so that none can be looked into: claim a status only, or let the load keep responses"
        return ""

    def vacuity(self, subject: WindowSubject) -> Vacuity:
        """Only what steady answers alike can be vacuous: no naive application ever shows a fallback."""
        steady = subject.steady
        if steady is None or steady.empty or any(lack != "" for lack in self._lacking(steady).values()):
            return Vacuity()
        return cannot_fail(subject, self.allowed)

    def baseline(self, steady: WindowSubject, levels: Levels) -> Judgement | None:
        """A fallback is not expected in steady: there it is enough that the requests succeed."""
        before = self.judge(steady, levels)
        return self.succeed.judge(steady, levels) if before.outcome is Outcome.VIOLATED else before

    def judge(self, subject: WindowSubject, levels: Levels) -> Judgement:
        requests, window = subject.requests, subject.window
        lacking = self._lacking(subject)
        bad = _bits(subject, {answer: bool(lack) for answer, lack in lacking.items()})
        unknown = _bits(subject, {answer: lack is None for answer, lack in lacking.items()})
        missing = bytes(shares.spread(unknown, shares.unsent(window), 1))
        decision = shares.decide(
            bytes(compress(bad, map((1).__sub__, unknown))),
            window,
            levels,
            allowed=self.allowed,
            missing=missing if 1 in missing else b"",
        )
        return shares.judgement(
            decision,
            window,
            verb="returned it",
            absent="not sent or not kept",
            suffix=good_for(decision),
            details=(*_told(subject, lacking), timeline(requests["scheduled"], bad, window, "that did not return it")),
            against=shares.culprits(bad, subject),
        )

    def _lacking(self, subject: WindowSubject) -> dict[tuple[int, int], str | None]:
        """(status, response) -> what it lacks of what was claimed: empty if nothing, None if that cannot be told."""
        responses = subject.requests.tables.responses
        return {(status, index): self.expected.lacking(status, responses[index]) for status, index in set(_answers(subject))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What an answer has to have."""

    statuses: frozenset[int] | None = None
    text: bytes = b""
    values: tuple[tuple[str, tuple[str | int, ...], object], ...] = ()
    """Path as written, its steps, and the value there."""
    headers: tuple[tuple[str, str | None], ...] = ()

    def lacking(self, status: int, response: Response | None) -> str | None:
        """What an answer lacks; empty if nothing, None if it was not kept and would have to be read for that."""
        if not status:
            return "no response"
        if self.statuses is not None and status not in self.statuses:
            return f"status {status}"
        if not (self.text or self.values or self.headers):
            return ""
        if response is None:
            return None
        return self._lacking_text(response) or self._lacking_headers(response) or self._lacking_values(response)

    def _lacking_text(self, response: Response) -> str:
        return "" if self.text in response.body else f"without the text, but {_excerpt(response.body.decode(errors='replace'))}"

    def _lacking_headers(self, response: Response) -> str:
        for name, value in self.headers:
            found = response.headers.get(name)
            if found != value:
                return f"{name} is {_excerpt(found) if found is not None else 'absent'}"
        return ""

    def _lacking_values(self, response: Response) -> str:
        if not self.values:
            return ""
        try:
            document = loads(response.body)
        except (JSONDecodeError, UnicodeDecodeError):
            return f"no JSON, but {_excerpt(response.body.decode(errors='replace'))}"
        for path, way, value in self.values:
            found = reduce(_child, way, document)
            if found is _ABSENT:
                return f"nothing at {path}"
            if not _same(found, value):
                return f"{path} is {_excerpt(found)}"
        return ""


def steps(path: str) -> tuple[str | int, ...]:
    """`reviews[0].rating.stars` -> ("reviews", 0, "rating", "stars"); `["a.b"]` for keys with dots. Raises InvalidValue."""
    found: list[str | int] = []
    position = 0
    while isinstance(path, str) and position < len(path):
        match = _STEP.match(path, position)
        if match is None or (match[1] is not None and bool(position) is not path.startswith(".", position)):
            break
        found.append(int(match[2]) if match[2] is not None else match[1] if match[1] is not None else match[3])
        position = match.end()
    if not isinstance(path, str) or not path or position < len(path):
        raise InvalidValue(f'json path is {path!r}: write "reviews[0].rating.stars", and ["a.b"] for a key with dots')
    return tuple(found)


def _child(parent: object, step: str | int) -> object:
    if isinstance(parent, list) and isinstance(step, int) and step < len(parent):
        return parent[step]
    return parent.get(step, _ABSENT) if isinstance(parent, dict) and isinstance(step, str) else _ABSENT


def _same(found: object, value: object) -> bool:
    """Equal as JSON: true is not 1, and 1 is 1.0."""
    if isinstance(found, dict) and isinstance(value, Mapping):
        return found.keys() == value.keys() and all(_same(found[key], value[key]) for key in found)
    if isinstance(found, list) and isinstance(value, (list, tuple)):
        return len(found) == len(value) and all(map(_same, found, value))
    return isinstance(found, bool) is isinstance(value, bool) and found == value


def _statuses(status: int | Collection[int] | None) -> frozenset[int] | None:
    if status is None:
        return None
    return statuses((status,) if isinstance(status, int) else status, name="status", lowest=100)


def _text(containing: str | bytes | None) -> bytes:
    if containing is None:
        return b""
    if not isinstance(containing, (str, bytes)) or not containing:
        raise InvalidValue(f'containing is {containing!r}: give a part of the body, containing="currently unavailable"')
    return containing.encode() if isinstance(containing, str) else containing


def _mapping(given: Mapping[str, object] | None, name: str) -> Mapping[str, object]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not given:
        example = {"json": '{"reviews[0].rating.stars": 5}', "header": '{"x-fallback": "true", "x-error": None}'}[name]
        raise InvalidValue(f"{name} is {given!r}: give a mapping, {name}={example}")
    return given


def _headers(given: Mapping[str, str | None] | None) -> Mapping[str, str | None]:
    headers: dict[str, str | None] = {}
    for name, value in _mapping(given, "header").items():
        if not isinstance(name, str) or not (value is None or isinstance(value, str)):
            raise InvalidValue(f"header {name!r} is {value!r}: give its exact value as a text, or None for a header that is absent")
        headers[name] = value
    return headers


def _excerpt(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _EXCERPT else text[: _EXCERPT - 1] + "…"


def _answers(subject: WindowSubject) -> Iterator[tuple[int, int]]:
    """(status, response) of every request that was sent."""
    return zip(subject.requests["status"], subject.requests["response"], strict=True)


def _bits(subject: WindowSubject, chosen: Mapping[tuple[int, int], bool]) -> bytes:
    return bytes(map(chosen.__getitem__, _answers(subject)))


def _told(subject: WindowSubject, lacking: Mapping[tuple[int, int], str | None]) -> list[str]:
    """`12 answers: status 500`."""
    wrong: Counter[str] = Counter()
    for answer, number in Counter(_answers(subject)).items():
        if lack := lacking[answer]:
            wrong[lack] += number
    lines = [f"{counted(number, 'answer')}: {text}" for text, number in wrong.most_common(_SHOWN)]
    rest = wrong.most_common()[_SHOWN:]
    return [*lines, f"{counted(sum(n for _, n in rest), 'answer')} of {counted(len(rest), 'other kind')}"] if rest else lines
