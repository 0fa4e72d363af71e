"""The examples of docs/reference/claims.md hold on the demo they speak of, and its message is the one that is printed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.claims import expect as expecting
from chaos.model.fault import abort, delay
from chaos.model.injection import Side
from chaos.model.samples import Response
from chaos.testing.evidence import (
    SECOND,
    Call,
    Ended,
    Flowed,
    attempts,
    call,
    calls,
    circuit,
    closed,
    edge,
    injection,
    requests,
    window,
)

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "claims.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
FALLBACK = Response({}, b'{"reviews": {"error": "unavailable", "text": "reviews are currently unavailable"}}')

TO_REVIEWS, TO_RATINGS, TO_PRICES = "productpage -> reviews", "reviews -> ratings", "details -> prices"
TO_DETAILS, TO_PAGE = "productpage -> details", "-> productpage"
OPENED = circuit({"h": [(100.5 + i / 10, 503) for i in range(3)]}, out={"h": [(100.75, 102.5)]}, gone=101)
LIMITED = circuit({"h": []}, limits={"requests": 10})


def gives_up_twice(number: int, at: int) -> list[Call]:
    return [call(number, started=at + i * 3 * SECOND, seconds=3.0, status=0, flags="DC,DI") for i in (0, 1)]


def retried_twice(number: int, at: int) -> Call:
    return call(number, started=at, status=503, flags="URX", attempts=attempts(at, *[(0.001, 503, "FI")] * 3))


def turned_away_half(number: int, at: int) -> Call:
    return call(number, started=at, status=503 if number % 2 else 200, flags="UO" if number % 2 else "")


def failed_once(number: int, at: int) -> Call:
    return call(number, started=at, status=503, attempts=attempts(at, (0.001, 503, "FI")))


@pytest.fixture
def subjects() -> dict[str, Any]:
    before, under = requests(1000), requests(1000, start=200, first=1000, latency=6.02, response=FALLBACK)
    steady = window(before, kind="steady", edges=[edge(name, calls(before)) for name in (TO_REVIEWS, TO_RATINGS, TO_PRICES)])
    during = window(
        under,
        edges=[
            edge(TO_REVIEWS, calls(under, gives_up_twice), injection=injection(delay("10s"), TO_REVIEWS, side=Side.CALLER)),
            edge(TO_RATINGS, calls(under, retried_twice), injection=injection(abort(503), TO_RATINGS), circuit=OPENED),
            edge(TO_PRICES, calls(under, failed_once), injection=injection(abort(503), TO_PRICES)),
            edge(TO_DETAILS, calls(under), circuit=LIMITED, ejections=0),
            edge(TO_PAGE, calls(under, turned_away_half), circuit=LIMITED),
        ],
        steady=steady,
    )
    later = requests(1000, start=300, first=2000)
    after = window(later, kind="recovery", steady=steady, edges=[edge(TO_RATINGS, calls(later), circuit=OPENED)])
    ended = Ended(replace(injection(abort(503), TO_RATINGS), gone=300 * SECOND))
    traffic = Flowed(steady, during, requests(3000, start=300, first=2000))
    return {"steady": closed(steady), "during": closed(during), "after": closed(after), "traffic": traffic, "injection": ended}


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_holds(number: int, subjects: dict[str, Any]):
    exec(compile(EXAMPLES[number], f"{PAGE.name}, example {number + 1}", "exec"), dict(subjects))  # what an example is for

    assert any(subject.ledger.verdicts for subject in subjects.values() if hasattr(subject, "ledger"))


def test_every_claim_has_an_example_and_a_section():
    page = PAGE.read_text(encoding="utf-8")
    kinds = (expecting.WindowClaims, expecting.EdgeClaims, expecting.TrafficClaims)
    claims = {name for kind in kinds for name in vars(kind) if not name.startswith("_")}

    assert {name for name in claims if f"\n### `{name}(" in page} == claims
    assert {name for name in claims if any(f".{name}(" in example for example in EXAMPLES)} == claims


def test_the_message_shown_is_the_one_printed():
    printed = (Path(__file__).parent / "__snapshots__" / "test_response_times.ambr").read_text(encoding="utf-8")
    shown = re.findall(r"^```\n(window 2.*?)\n```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

    assert len(shown) == 1
    assert "\n".join(f"  {line}" for line in shown[0].splitlines()) in printed
