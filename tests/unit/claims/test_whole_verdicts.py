"""Everything that a verdict says, each number of it and each line: of every claim once held and once broken, of breakers in full."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from chaos.claims.breaking import details, foretold, most_at_once, pairs
from chaos.claims.expect import EdgeClaims, expect
from chaos.errors import Refused
from chaos.model.breakers import Circuit
from chaos.model.calls import Call
from chaos.model.fault import abort, delay
from chaos.model.samples import Samples
from chaos.model.verdict import Verdict
from chaos.model.window import WindowEvidence
from chaos.testing.evidence import SECOND, attempts, call, calls, circuit, closed, requests
from tests.unit.claims.test_breaking import breaker, policy
from tests.unit.claims.test_closing import after, out
from tests.unit.claims.test_opening import BAD, _in, seen
from tests.unit.claims.test_rules import ROWS, Row, evidence, judged
from tests.unit.claims.test_shedding import overloaded

EDGE = "reviews -> ratings"


def turned_away(*numbers: int, of: int = 300) -> tuple[Call, ...]:
    made = calls(requests(of), lambda n, at: call(n, started=at, status=503, flags="UO") if n in numbers else call(n, started=at))
    return tuple(map(_in, made))


def spread(count: int, of: int) -> frozenset[int]:
    return frozenset(i * of // count for i in range(count))


def put_out(
    *stretches: tuple[float, float], until: float = 110.0, gone: float = 101.0, **hosts: tuple[tuple[float, float], ...]
) -> Circuit:
    """Hosts that had their row of bad answers, and when they were out."""
    found = {"h": stretches, **hosts}
    return circuit(dict.fromkeys(found, BAD), out=found, until=until, gone=gone)


def opening(evidence: WindowEvidence, within: str = "2s") -> tuple[WindowEvidence, Callable[[EdgeClaims], object]]:
    return evidence, lambda claims: claims.to_open_circuit(within)


def closing(evidence: WindowEvidence, within: str = "3s") -> tuple[WindowEvidence, Callable[[EdgeClaims], object]]:
    return evidence, lambda claims: claims.to_close_circuit(within)


TWO = {"h": BAD, "i": [(at + 0.05, status) for at, status in BAD]}
GATEWAY = {"consecutive_5xx": 0, "consecutive_gateway": 3}
LIMITED = circuit({"h": BAD}, consecutive_5xx=0, limits={"requests": 4}, overflows={"requests": 7, "connections": 0})
CASES: dict[str, tuple[WindowEvidence, Callable[[EdgeClaims], object]]] = {
    "opening: in time": opening(seen(circuit({"h": BAD}, out={"h": [(100.75, 103)]}), ejections=1)),
    "opening: two hosts, one stays in": opening(seen(circuit(TWO, out={"h": [(100.75, 105)]}), ejections=1)),
    "opening: two hosts, one may be out": opening(seen(circuit(TWO, out={"h": [(100.75, 105)]}, max_ejection_percent=50))),
    "opening: between two looks": opening(seen(circuit({"h": BAD}, out={"h": [(102.3, 105)]}, every=1.0))),
    "opening: too late": opening(seen(circuit({"h": BAD}, out={"h": [(103.1, 104)]}))),
    "opening: no host may be out": opening(seen(circuit(TWO, max_ejection_percent=10))),
    "opening: never tempted": opening(seen(circuit({"h": BAD[:2], "i": BAD[:1]}))),
    "opening: no faulted attempt": opening(seen(circuit({"h": BAD}, faulted=False))),
    "opening: gateway errors": opening(seen(circuit({"h": BAD}, out={"h": [(100.9, 102)]}, **GATEWAY))),
    "opening: of 500 exactly": opening(seen(circuit({"h": [(at, 500) for at, _ in BAD]}, out={"h": [(100.75, 103)]}))),
    "opening: of one error": opening(seen(circuit({"h": BAD[:1]}, out={"h": [(100.6, 103)]}, consecutive_5xx=1))),
    "opening: of one gateway error": opening(
        seen(circuit({"h": BAD[:1]}, out={"h": [(100.6, 103)]}, consecutive_5xx=0, consecutive_gateway=1))
    ),
    "opening: a row after a full row": opening(
        seen(circuit({"h": [*BAD, (100.8, 503), (100.9, 503)]}, out={"h": [(100.75, 103)]}))
    ),
    "opening: by a limit": opening(seen(LIMITED, turned_away(*range(20, 27)))),
    "opening: by a limit, too late": opening(seen(LIMITED, turned_away(*range(20, 27))), "100ms"),
    "not opening": (seen(circuit({"h": BAD}), turned_away(), ejections=0), lambda claims: claims.not_to_open_circuit()),
    "not opening: ejected": (
        seen(circuit({"h": BAD}, out={"h": [(100.75, 103)]}), ejections=2),
        lambda claims: claims.not_to_open_circuit(),
    ),
    "not opening: turned away": (seen(LIMITED, turned_away(3, 4), ejections=0), lambda claims: claims.not_to_open_circuit()),
    "closing: in time": closing(after(put_out((100.75, 102.5)))),
    "closing: still out": closing(after(put_out((100.75, 109)))),
    "closing: out again": closing(after(put_out((100.8, 100.9), (101.5, 108)))),
    "closing: not seen": closing(after(put_out((100.75, 109), until=103))),
    "closing: just in time": closing(after(put_out((100.75, 103.95)))),
    "closing: turned away at the deadline": closing(after(put_out((100.75, 102.5)), turned_away(400, 450, of=500))),
    "closing: four of five": closing(after(put_out((100.75, 102.5), **dict.fromkeys(("i", "j", "k", "l"), ((100.75, 109.0),))))),
    "closing: one back, one not seen": closing(after(put_out((100.75, 102.5), until=103, i=((100.75, 109),)))),
    "shedding": (overloaded(spread(400, 600)), lambda claims: claims.to_shed("50%")),
    "shedding: too little": (overloaded(spread(100, 600)), lambda claims: claims.to_shed("50%")),
    "shedding: the rest fails": (
        overloaded(spread(400, 600), frozenset(sorted(set(range(600)) - spread(400, 600))[::3])),
        lambda claims: claims.to_shed("50%"),
    ),
    "shedding: everything": (overloaded(frozenset(range(600))), lambda claims: claims.to_shed("90%")),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_all_that_a_verdict_says(case: str, snapshot: SnapshotAssertion):
    evidence, claim = CASES[case]

    verdict = claim(expect(closed(evidence).edge(EDGE), soft=True))

    assert isinstance(verdict, Verdict)
    assert {name: _rounded(value) for name, value in asdict(verdict).items()} == snapshot


def _rounded(value: Any) -> Any:
    """Readable, and the same on every machine."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, (list, tuple)) else value


def test_what_is_refused_names_the_longest(snapshot: SnapshotAssertion):
    found = circuit({"h": [], "i": []}, out={"h": [(100.1, 100.5), (100.7, 102.9)], "i": [(100.5, 102)]}, until=110, gone=101)

    with pytest.raises(Refused) as refused:
        expect(closed(after(found)).edge(EDGE)).to_close_circuit("1500ms")

    assert str(refused.value) == snapshot


@pytest.mark.parametrize("percent", [100, 50, 0.0001])
def test_what_is_foretold(snapshot: SnapshotAssertion, percent: float):
    breakers = [
        breaker(),
        breaker(hosts=0),
        breaker(hosts=3, max_ejection_percent=10),
        breaker(consecutive_5xx=2, consecutive_gateway=1),
    ]

    assert foretold(breakers, policy(), abort(503, percent=percent), False) == snapshot
    assert foretold(breakers, policy(1.0), delay("1s", percent=percent), False) == snapshot
    assert foretold(breakers, policy(1.0), delay("1001ms", percent=percent), False) == snapshot


def test_a_pair_is_told_by_host_and_proxy():
    (pair,) = pairs(circuit({"h": BAD}))

    assert (str(pair), pair.host, pair.longest) == ("h in reviews-v2.bookinfo", "h", 3)


def test_of_what_touches_only_what_overlaps_is_at_once():
    assert most_at_once([(0, 5), (5, 9), (1, 6), (7, 8)]) == 2
    assert most_at_once([]) == 0


def test_times_are_told_from_where_they_are_asked(snapshot: SnapshotAssertion):
    assert details(out((100.5, 102.5), (104, 111)), 101 * SECOND) == snapshot
    assert (
        details(replace(circuit({"h": BAD}, out={"h": [(100.75, 103)]}), overflows={"requests": 3, "retries": 0}), 100 * SECOND)
        == snapshot
    )


BROKEN: dict[str, Callable[[Row], WindowEvidence]] = {
    **{name: lambda row: evidence(replace(row, calls=row.broken_calls)) for name, row in ROWS.items() if row.broken_calls},
    **{name: lambda row: _with(row, row.broken(requests(2_000))) for name, row in ROWS.items() if row.broken},
    "to_retry": lambda row: evidence(
        replace(row, calls=lambda n, at: call(n, started=at, attempts=attempts(at, *[(0.001, 503, "")] * 3)))
    ),
    "to_time_out_within": lambda row: evidence(replace(row, calls=lambda n, at: call(n, started=at, seconds=9.0, flags="DI"))),
    "not_to_differ_from": lambda row: _with(
        row, requests(2_000, latency=lambda i: 0.5 + 0.001 * (i * 7 % 100), status=lambda i: 503 if i % 10 == 0 else 200)
    ),
    "to_differ_from": lambda row: _with(row, requests(2_000, latency=0.001)),
}


def _with(row: Row, samples: Samples) -> WindowEvidence:
    return replace(evidence(row), samples=samples)


@pytest.mark.parametrize("name", ROWS)
def test_all_that_a_held_claim_says(name: str, snapshot: SnapshotAssertion):
    row = ROWS[name]

    assert _rounded(asdict(judged(row, evidence(row)))) == snapshot


@pytest.mark.parametrize("name", BROKEN)
def test_all_that_a_broken_claim_says(name: str, snapshot: SnapshotAssertion):
    row = ROWS[name]

    assert _rounded(asdict(judged(row, BROKEN[name](row)))) == snapshot


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not row.after])
def test_all_that_an_undecided_claim_says(name: str, snapshot: SnapshotAssertion):
    """Of ten requests."""
    row = ROWS[name]

    assert _rounded(asdict(judged(row, evidence(row, of=10)))) == snapshot


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not row.after])
def test_all_that_is_said_of_a_window_that_was_cut_short(name: str, snapshot: SnapshotAssertion):
    row = ROWS[name]

    assert _rounded(asdict(judged(row, evidence(row, cut_short=True)))) == snapshot
