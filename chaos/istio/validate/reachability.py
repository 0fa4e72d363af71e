"""Which rules of a VirtualService can never be used? Istio's warnings IST0130 and IST0131, false alarms included.

The checks look at the text of matches only. Known limits that are Istio's, kept so that findings agree
(istio pkg/config/validation `analyzeUnreachableHTTPRules`): a prefix that covers a later one is reported even where
headers keep the later rule reachable, and a match without a method counts as GET.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from chaos.istio.documents import PathInside
from chaos.istio.validate import values
from chaos.istio.validate.checker import Checker
from chaos.istio.validate.decoding import Message

UNREACHABLE_RULE = "IST0130"
INEFFECTIVE_MATCH = "IST0131"


def check_reachability(check: Checker, spec: Message) -> None:
    candidates = _check_rules(check, spec["http"])
    _check_covered(check, candidates)
    for kind in ("tcp", "tls"):
        _check_rules(check, spec[kind])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prefix:
    """A URI prefix match with everything Istio compares, as text: `exact:GET`, `prefix:/api`."""

    rule: str
    match: str
    path: PathInside
    prefix: str
    port: int
    method: str
    authority: str
    conditions: tuple[Mapping[str, str], ...]


def _check_rules(check: Checker, rules: list[Message]) -> list[_Prefix]:
    """Rules after a catch-all, and matches that repeat an earlier one; gives the prefix matches that remain."""
    seen: dict[str, str] = {}
    remaining: list[_Prefix] = []
    caught_all = False
    for number, rule in enumerate(rules):
        name = _name(rule, number)
        if not rule["match"]:
            if caught_all:
                _unused(check, rule.path, name, "only the last rule can have no matches")
            caught_all = True
            continue
        repeated = 0
        for index, match in enumerate(rule["match"]):
            if caught_all:
                _unused(check, match.path, name, "route without matches defined before")
            elif (text := _text(match)) in seen:
                _ineffective(check, match.path, name, _name(match, index), seen[text])
                repeated += 1
            else:
                seen[text] = name
                remaining += _prefix(name, match, index)
        if repeated == len(rule["match"]):
            _unused(check, rule.path, name, "all matches used by prior rules")
    return remaining


def _check_covered(check: Checker, prefixes: list[_Prefix]) -> None:
    for earlier, later in combinations(prefixes, 2):
        if earlier.prefix != later.prefix and _covers(earlier, later):
            _ineffective(
                check,
                later.path,
                later.rule,
                f"{later.match} of prefix {later.prefix}",
                f"{earlier.match} of prefix {earlier.prefix} on {earlier.rule}",
            )


def _covers(earlier: _Prefix, later: _Prefix) -> bool:
    """As Istio compares: every condition of the earlier match begins with that of the later one."""
    return (
        later.prefix.startswith(earlier.prefix)
        and earlier.port == later.port
        and earlier.method.startswith(later.method)
        and earlier.authority.startswith(later.authority)
        and all(
            len(mine) == len(other) and all(key in other and text.startswith(other[key]) for key, text in mine.items())
            for mine, other in zip(earlier.conditions, later.conditions, strict=True)
        )
    )


def _prefix(rule: str, match: Message, index: int) -> list[_Prefix]:
    if match.type != "HTTPMatchRequest" or not match["uri"]["prefix"]:
        return []
    conditions = (match["headers"], match["query_params"], match["without_headers"])
    return [
        _Prefix(
            rule=rule,
            match=_name(match, index),
            path=match.path,
            prefix=match["uri"]["prefix"],
            port=match["port"],
            method=_condition(match["method"]) or "exact:GET",
            authority=_condition(match["authority"]),
            conditions=tuple({key: _condition(text) for key, text in group.items()} for group in conditions),
        )
    ]


def _condition(text: Message) -> str:
    if text["exact"]:
        return f"exact:{text['exact']}"
    return f"prefix:{text['prefix']}" if text["prefix"] else ""


def _text(match: Message) -> str:
    """What a match asks for; its name does not count."""
    return json.dumps({key: value for key, value in match.plain().items() if key != "name"}, sort_keys=True)


def _name(part: Message, number: int) -> str:
    """`"api"` for a rule or match with a name, `#1` for one without; TCP and TLS parts have none."""
    named = part.type in ("HTTPRoute", "HTTPMatchRequest") and part["name"]
    return values.quoted(part["name"]) if named else f"#{number}"


def _unused(check: Checker, path: PathInside, rule: str, why: str) -> None:
    check.warn(path, f"virtualService rule {rule} not used ({why})", UNREACHABLE_RULE)


def _ineffective(check: Checker, path: PathInside, rule: str, match: str, earlier: str) -> None:
    check.warn(
        path,
        f"virtualService rule {rule} match {match} is not used (duplicate/overlapping match in rule {earlier})",
        INEFFECTIVE_MATCH,
    )
