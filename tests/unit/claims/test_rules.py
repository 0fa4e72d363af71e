"""Every claim under every rule that comes before its own: a claim without a row here fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from chaos.claims import expect as expecting
from chaos.claims.expect import expect
from chaos.errors import Refused, Vacuous
from chaos.model.fault import Fault, abort, delay
from chaos.model.injection import Side
from chaos.model.outcome import Outcome
from chaos.model.samples import Samples
from chaos.model.standards import Standards
from chaos.model.verdict import Ledger, Verdict
from chaos.model.window import EdgeEvidence, WindowEvidence
from chaos.testing.evidence import (
    SECOND,
    Call,
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

EDGE = "reviews -> ratings"
HELD, INCONCLUSIVE = Outcome.HELD, Outcome.INCONCLUSIVE
BAD = [(100.5 + i / 10, 503) for i in range(3)]
ONE = Callable[[int, int], Any]


def gave_up(number: int, at: int) -> Call:
    return call(number, started=at, seconds=3.0, status=0, flags="DC,DI")


def failed_once(number: int, at: int) -> Call:
    return call(number, started=at, status=503, attempts=attempts(at, (0.001, 503, "FI")))


def retried(number: int, at: int) -> Call:
    return call(number, started=at, attempts=attempts(at, (0.001, 503, "FI"), (0.01, 200, "")))


def turned_away(number: int, at: int) -> Call:
    return call(number, started=at, status=503, flags="UO", attempts=attempts(at, (0.001, 503, "FI")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A claim that holds, and what is special about it."""

    claim: Callable[[Any], Any]
    edge: bool = False
    fault: Fault = abort(503)  # noqa: RUF009 - frozen
    calls: ONE = failed_once
    known: tuple[tuple[str, Any], ...] = ()
    after: bool = False
    """Claimed of the time after the fault."""
    of_mesh: bool = False
    """On a policy of the mesh, which a fault at the caller never meets."""
    broken: Callable[[Samples], Samples] | None = None
    """What violates it in steady; None where it has no meaning there."""
    broken_calls: ONE | None = None


def answered_with_errors(samples: Samples) -> Samples:
    return requests(len(samples), status=503)


def slow(samples: Samples) -> Samples:
    return requests(len(samples), latency=9.0)


OPENED = (("circuit", circuit({"h": BAD}, out={"h": [(100.75, 102.5)]}, until=110)),)
CLOSED = (("circuit", circuit({"h": BAD}, out={"h": [(100.75, 102.5)]}, until=110, gone=101)),)
QUIET = (("circuit", circuit({"h": []})), ("ejections", 0))
LIMITED = (("circuit", circuit({"h": []}, limits={"requests": 10})),)
before = closed(window(requests(2_000), kind="steady"))
ROWS: dict[str, Row] = {
    "to_succeed": Row(claim=lambda c: c.to_succeed("99%"), broken=answered_with_errors),
    "to_respond_within": Row(claim=lambda c: c.to_respond_within("1s"), fault=delay("5s"), calls=gave_up, broken=slow),
    "to_return": Row(claim=lambda c: c.to_return(status=200), broken=answered_with_errors),
    "to_sustain": Row(claim=lambda c: c.to_sustain("90/s"), broken=answered_with_errors),
    "not_to_differ_from": Row(claim=lambda c: c.not_to_differ_from(before)),
    "to_differ_from": Row(claim=lambda c: c.to_differ_from(closed(window(requests(2_000, latency=0.001), kind="steady")))),
    "to_time_out_within": Row(claim=lambda c: c.to_time_out_within("3.5s"), edge=True, fault=delay("10s"), calls=gave_up),
    "to_retry": Row(claim=lambda c: c.to_retry(at_most=1, at_least=1), edge=True, calls=retried, of_mesh=True, broken_calls=retried),
    "not_to_retry": Row(claim=lambda c: c.not_to_retry(), edge=True, of_mesh=True, broken_calls=retried),
    "to_space_retries": Row(
        claim=lambda c: c.to_space_retries("20ms"), edge=True, calls=retried, of_mesh=True,
        broken_calls=lambda n, at: call(n, started=at, attempts=attempts(at, (0.001, 503, ""), (0.01, 200, ""), gap=0.001)),
    ),
    "to_amplify": Row(claim=lambda c: c.to_amplify(at_most=2.5), edge=True, calls=retried, of_mesh=True, broken_calls=lambda n, at: call(n, started=at, attempts=attempts(at, *[(0.001, 503, "")] * 4))),
    "to_open_circuit": Row(claim=lambda c: c.to_open_circuit("2s"), edge=True, known=OPENED, of_mesh=True),
    "not_to_open_circuit": Row(claim=lambda c: c.not_to_open_circuit(), edge=True, known=QUIET, of_mesh=True, broken_calls=turned_away),
    "to_close_circuit": Row(claim=lambda c: c.to_close_circuit("3s"), edge=True, known=CLOSED, after=True),
    "to_shed": Row(claim=lambda c: c.to_shed("90%"), edge=True, calls=turned_away, known=LIMITED, of_mesh=True),
}  # fmt: skip
APART = {"to_recover": "it takes its own window: test_recovery.py has these rules for it"}


def evidence(row: Row, *, side: Side = Side.CALLEE, unproven: str = "", of: int = 2_000, **known: Any) -> WindowEvidence:
    samples = requests(of)
    steady_samples = row.broken(samples) if known.pop("broken", False) and row.broken else samples
    steady_calls = known.pop("steady_calls", None)
    steady = window(steady_samples, kind="steady", edges=[_edge(row, steady_samples, steady_calls)])
    record = None if row.after else injection(row.fault, EDGE, side=side)
    under = edge(EDGE, calls(samples, row.calls), injection=record, unproven=unproven)
    under = replace(under, **dict(row.known))
    return replace(window(samples, kind="recovery" if row.after else "fault", edges=[under], steady=steady), **known)


def _edge(row: Row, samples: Samples, one: ONE | None) -> EdgeEvidence:
    return replace(edge(EDGE, calls(samples, one)), **dict(row.known))


def judged(row: Row, found: WindowEvidence, **options: Any) -> Verdict:
    held = closed(found, Ledger())
    verdict = row.claim(expect(held.edge(EDGE) if row.edge else held, soft=True, **{"allow_vacuous": True, **options}))
    assert isinstance(verdict, Verdict)
    return verdict


every = pytest.mark.parametrize("name", ROWS)


def test_every_claim_has_a_row():
    kinds = (expecting.WindowClaims, expecting.EdgeClaims, expecting.TrafficClaims)

    assert {name for kind in kinds for name in vars(kind) if not name.startswith("_")} == ROWS.keys() | APART.keys()


@every
def test_it_holds(name: str):
    assert judged(ROWS[name], evidence(ROWS[name])).outcome is HELD


@every
def test_a_window_in_doubt_decides_nothing(name: str):
    verdict = judged(ROWS[name], evidence(ROWS[name], doubts=("a route changed by argocd at 12.3 s",)))

    assert (verdict.outcome, verdict.reason) == (INCONCLUSIVE, "a route changed by argocd at 12.3 s")


@every
def test_an_empty_window_decides_nothing(name: str):
    row = ROWS[name]
    nothing = evidence(
        row, samples=requests(0), edges={seen.edge: replace(seen, calls=()) for seen in evidence(row).edges.values()}
    )

    verdict = judged(row, nothing)

    assert verdict.outcome is INCONCLUSIVE
    assert "no request was sent" in verdict.reason or "no call of this window's requests" in verdict.reason


@every
@pytest.mark.parametrize(("scheduled", "late"), [(2_020, False), (2_021, True)])
def test_under_99_percent_sent_the_generator_was_late(name: str, scheduled: int, late: bool):
    verdict = judged(ROWS[name], evidence(ROWS[name], scheduled=scheduled))

    assert ("the generator was late" in verdict.reason) is late
    assert not late or verdict.outcome is INCONCLUSIVE


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not row.after])
def test_an_injection_that_is_not_proven_decides_nothing(name: str):
    verdict = judged(ROWS[name], evidence(ROWS[name], unproven="only 7 attempts where 66 are needed"))

    assert verdict.outcome is INCONCLUSIVE
    assert verdict.reason == f"the injection on {EDGE} is not proven: only 7 attempts where 66 are needed"


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.broken or row.broken_calls])
def test_what_is_violated_before_the_fault_is_not_blamed_on_it(name: str):
    row = ROWS[name]

    verdict = judged(replace(row, claim=_stricter(name)), evidence(row, broken=True, steady_calls=row.broken_calls))

    assert verdict.outcome is INCONCLUSIVE
    assert verdict.reason.startswith("steady state not met: without a fault, in ")
    assert "window 1 (steady) of /productpage, it is violated already" in verdict.reason


def _stricter(name: str) -> Callable[[Any], Any]:
    """What its broken steady state violates."""
    return (lambda c: c.to_retry(at_most=0)) if name == "to_retry" else ROWS[name].claim


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.of_mesh])
def test_a_policy_of_the_mesh_is_not_tested_from_before_the_router(name: str):
    with pytest.raises(Refused, match=r'inject it with at="callee"'):
        judged(ROWS[name], evidence(ROWS[name], side=Side.CALLER))


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("to_succeed", abort(503, percent=1)),
        ("to_return", abort(503, percent=1)),
        ("to_sustain", abort(503, percent=10)),
        ("to_respond_within", delay("100ms")),
        ("to_time_out_within", delay("3.5s")),
    ],
)
def test_what_cannot_fail_is_refused_unless_somebody_insists(name: str, fault: Fault):
    row = replace(ROWS[name], fault=fault, calls=_one_in_a_hundred if fault.abort else ROWS[name].calls)

    with pytest.raises(Vacuous, match="cannot fail"):
        judged(row, evidence(row), allow_vacuous=False)
    assert judged(row, evidence(row)).outcome is HELD


def _one_in_a_hundred(number: int, at: int) -> Call:
    return failed_once(number, at) if number % 100 == 0 else call(number, started=at)


@pytest.mark.parametrize("name", ["to_succeed", "to_return", "to_sustain", "to_respond_within", "to_time_out_within", "to_shed"])
def test_failures_that_come_together_count_for_less(name: str):
    """As many bad ones, one by one and in a row: what the first shows, the second does not."""
    row = replace(ROWS[name], claim=_at_most_ten_percent(name))
    apart, together = (judged(row, _with_bad(row, numbers)) for numbers in (range(0, 2_000, 20), range(1_000, 1_100)))

    assert apart.outcome is HELD
    assert together.outcome is INCONCLUSIVE
    assert "depend on each other" in together.reason or "effective" in together.reason or "design effect" in together.reason


def _at_most_ten_percent(name: str) -> Callable[[Any], Any]:
    return {
        "to_succeed": lambda c: c.to_succeed("93%"),
        "to_return": lambda c: c.to_return(status=200, at_least="93%"),
        "to_sustain": lambda c: c.to_sustain("93/s"),
        "to_respond_within": lambda c: c.to_respond_within("1s", at="p93"),
        "to_time_out_within": lambda c: c.to_time_out_within("3.5s", at_least="93%"),
        "to_shed": lambda c: c.to_shed("93%"),
    }[name]


def _with_bad(row: Row, numbers: range) -> WindowEvidence:
    """5 % of the requests, or of the calls, are bad."""

    def one(number: int, at: int) -> Call:
        made = row.calls(number, at)
        assert isinstance(made, Call)
        if number not in numbers or not row.edge:
            return made
        return replace(made, flags=made.flags - {"UO", "DC"}, status=200, ended=at + 9 * SECOND)

    samples = (
        requests(2_000)
        if row.edge
        else requests(2_000, status=lambda i: 503 if i in numbers else 200, latency=lambda i: 5.0 if i in numbers else 0.02)
    )
    found = evidence(replace(row, calls=one))
    return replace(found, samples=samples)


LEVELLED = [
    name
    for name in ROWS
    if name not in ("to_retry", "not_to_retry", "to_space_retries", "to_open_circuit", "not_to_open_circuit", "to_close_circuit")
]


@pytest.mark.parametrize("name", LEVELLED)
def test_every_statistical_claim_takes_the_levels_of_its_run(name: str):
    """Of a run of three experiments whose standards are stricter; the others count, and have no level."""
    row = ROWS[name]
    held = closed(evidence(row), Ledger(experiments=3, standards=Standards(false_held=0.01, false_violated=0.03)))

    verdict = row.claim(expect(held.edge(EDGE) if row.edge else held, soft=True, allow_vacuous=True))

    figures = verdict.figures
    levels = [figures["alpha_held"], figures["alpha_violated"]]
    assert levels == pytest.approx([0.005, 0.01] if name == "to_differ_from" else [0.01, 0.005])
