"""When is a breaker open in time? Rows of bad answers, looks at the hosts, and what lies between two looks."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.errors import Refused, Vacuous
from chaos.model.breakers import Breaker, Circuit
from chaos.model.calls import Call
from chaos.model.fault import abort
from chaos.model.injection import Side
from chaos.model.outcome import Outcome
from chaos.model.window import WindowEvidence
from chaos.testing.evidence import SECOND, call, calls, circuit, edge, injection, requests, window

HELD, VIOLATED, INCONCLUSIVE = Outcome.HELD, Outcome.VIOLATED, Outcome.INCONCLUSIVE
EDGE = "reviews -> ratings"
BAD = [(100.5 + i / 10, 503) for i in range(3)]
"""Enough at second 100.7; the first of them began at 100.499."""


def seen(found: Circuit | None, made: tuple[Call, ...] | None = None, *, side: Side = Side.CALLEE, **known: Any) -> WindowEvidence:
    of_edge = edge(EDGE, made or calls(requests(300)), injection=injection(abort(503), EDGE, side=side), circuit=found, **known)
    return window(requests(300), edges=[of_edge])


@pytest.fixture
def judge(judged):
    return lambda evidence, within="2s": judged(evidence, lambda claims: claims.to_open_circuit(within), edge=EDGE)


@pytest.fixture
def judge_not(judged):
    return lambda evidence: judged(evidence, lambda claims: claims.not_to_open_circuit(), edge=EDGE)


# -- to_open_circuit
def test_a_host_that_is_out_in_time_holds(judge):
    verdict = judge(seen(circuit({"h": BAD}, out={"h": [(100.75, 103)]})))

    assert (verdict.outcome, verdict.unit) == (HELD, "s")
    assert verdict.measured == pytest.approx(100.8 - 100.499)
    assert "1 host had 3 x 5xx in a row, 1 out after 301 ms at most; claimed within 2 s" in verdict.summary


def test_a_host_that_stays_in_violates(judge):
    verdict = judge(seen(circuit({"h": BAD})))

    assert verdict.outcome is VIOLATED
    assert "1 host had 3 x 5xx in a row, 0 hosts out in time, 1 had to be" in verdict.summary


def test_a_host_that_is_out_too_late_violates(judge):
    assert judge(seen(circuit({"h": BAD}, out={"h": [(103.1, 105)]}))).outcome is VIOLATED


def test_what_happened_between_two_looks_around_the_deadline_is_not_decided(judge):
    # Deadline 102.499; not out at 102, out at 103.
    assert judge(seen(circuit({"h": BAD}, out={"h": [(102.3, 105)]}, every=1.0))).outcome is INCONCLUSIVE


def test_looks_that_end_before_the_deadline_decide_nothing(judge):
    verdict = judge(seen(circuit({"h": BAD}, until=102)))

    assert verdict.outcome is INCONCLUSIVE
    assert "make the window longer" in verdict.reason


def test_one_good_answer_ends_a_row(judge):
    answers = [(100.5, 503), (100.6, 503), (100.7, 200), (100.8, 503), (100.9, 503)]
    verdict = judge(seen(circuit({"h": answers})))

    assert verdict.outcome is INCONCLUSIVE
    assert "the longest row was 2" in verdict.reason


def test_only_gateway_errors_fill_a_row_of_gateway_errors(judge):
    policy = {"consecutive_5xx": 0, "consecutive_gateway": 3}

    assert judge(seen(circuit({"h": [(at, 500) for at, _ in BAD]}, **policy))).outcome is INCONCLUSIVE
    assert judge(seen(circuit({"h": BAD}, **policy))).outcome is VIOLATED


def test_only_as_many_hosts_have_to_be_out_as_may(judge):
    both = {"h": BAD, "i": BAD}
    one_out = {"h": [(100.75, 105)]}

    assert judge(seen(circuit(both, out=one_out, max_ejection_percent=50))).outcome is HELD
    assert judge(seen(circuit(both, out=one_out, max_ejection_percent=100))).outcome is VIOLATED


def test_a_percentage_that_is_no_host_is_told(judge):
    verdict = judge(seen(circuit({"h": BAD, "i": BAD}, max_ejection_percent=10)))

    assert verdict.outcome is VIOLATED
    assert (
        "at most 10 % of 2 hosts may be out, which is none: it can never open; set maxEjectionPercent to 50 or more"
        in verdict.reason
    )


def test_a_call_that_was_turned_away_is_an_opening_too(judge):
    made = calls(requests(300), lambda n, at: call(n, started=at, status=503, flags="UO") if n == 80 else call(n, started=at))
    made = tuple(c if "UO" not in c.flags else _in(c) for c in made)

    assert judge(seen(circuit({"h": BAD}), made)).outcome is HELD


def test_answers_before_the_fault_fill_no_row(judge):
    before = circuit({"h": [(100.1, 503), (100.2, 503)]}, faulted=False)
    under = circuit({"h": BAD[:2]})
    both = Circuit(breakers=under.breakers, looks=under.looks, tries=before.tries + under.tries)

    assert judge(seen(both)).outcome is INCONCLUSIVE


def test_without_a_faulted_attempt_there_is_nothing_to_open_for(judge):
    verdict = judge(seen(circuit({"h": BAD}, faulted=False)))

    assert (verdict.outcome, verdict.summary.partition(";")[0]) == (INCONCLUSIVE, "nothing to open for")


@pytest.mark.parametrize(
    ("limits", "outcome"),
    [
        ({"requests": 4}, VIOLATED),
        ({"requests": 5}, INCONCLUSIVE),
        ({"connections": 2, "pending requests": 2}, VIOLATED),
        ({"connections": 2}, INCONCLUSIVE),
    ],
)
def test_a_limit_that_was_passed_without_an_overflow_violates(judge, limits: dict[str, int], outcome: Outcome):
    # Calls every 10 ms that take 50 ms: five at once.
    made = tuple(map(_in, calls(requests(300), lambda n, at: call(n, started=at, seconds=0.0499))))
    found = circuit({"h": BAD}, consecutive_5xx=0, limits=limits)

    assert judge(seen(found, made)).outcome is outcome


def test_a_limit_opens_with_the_first_call_it_turns_away(judge):
    flags = ["" if n < 20 else "UO" for n in range(300)]
    made = tuple(map(_in, calls(requests(300), lambda n, at: call(n, started=at, status=503 if flags[n] else 200, flags=flags[n]))))
    found = circuit({"h": BAD}, consecutive_5xx=0, limits={"requests": 4}, overflows={"requests": 280})
    verdict = judge(seen(found, made))

    assert (verdict.outcome, verdict.measured) == (HELD, pytest.approx(0.2))
    assert "turned away: 280 by the limit on requests (ratings.bookinfo:9080: requests 4)" in verdict.details
    assert judge(seen(found, made), "100ms").outcome is not HELD


def test_refusals(judge):
    with pytest.raises(Refused, match="before the router"):
        judge(seen(circuit({"h": BAD}), side=Side.CALLER))
    with pytest.raises(Refused, match="no breaker stands on this edge"):
        judge(seen(circuit({"h": BAD}, consecutive_5xx=0)))


def test_an_edge_without_a_private_path_is_not_seen(judge):
    assert "no private path stands on this edge" in judge(seen(None)).reason


# -- not_to_open_circuit
def test_nothing_opened_in_enough_calls(judge_not):
    assert judge_not(seen(circuit({"h": []}), ejections=0)).outcome is HELD
    few = seen(circuit({"h": []}), calls(requests(58)), ejections=0)
    assert judge_not(few).outcome is INCONCLUSIVE


@pytest.mark.parametrize(
    ("found", "ejections", "outcome"),
    [
        (circuit({"h": []}), 1, VIOLATED),
        (circuit({"h": []}, out={"h": [(101, 102)]}), None, VIOLATED),
        (circuit({"h": []}), None, HELD),  # looks tell as well
        (Circuit(breakers=circuit({"h": []}).breakers), None, INCONCLUSIVE),
    ],
)
def test_an_ejection_is_counted_or_seen(judge_not, found: Circuit, ejections: int | None, outcome: Outcome):
    assert judge_not(seen(found, ejections=ejections)).outcome is outcome


def test_one_call_turned_away_violates(judge_not):
    made = calls(requests(300), lambda n, at: call(n, started=at, status=503, flags="UO") if n == 80 else call(n, started=at))

    verdict = judge_not(seen(circuit({"h": []}), made, ejections=0))

    assert (verdict.outcome, verdict.summary) == (VIOLATED, "0 ejections, 1 call turned away; 300 calls")


def test_what_cannot_open_is_no_claim(judge_not):
    with pytest.raises(Vacuous, match="no breaker stands on this edge"):
        judge_not(seen(circuit({"h": []}, consecutive_5xx=0)))


def _in(made: Call) -> Call:
    """At the proxy of the circuit."""
    return Call(
        **{name: getattr(made, name) for name in made.__dataclass_fields__}
        | {"proxy": "reviews-v2.bookinfo", "cluster": "istio-chaos.test.1.0"}
    )


def test_the_builder_says_whose_it_is() -> None:
    found = circuit({"h": BAD})

    assert isinstance(found.breakers[0], Breaker)
    assert found.tries[0].ended == int(100.5 * SECOND)
