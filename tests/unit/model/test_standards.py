from __future__ import annotations

import pytest

from chaos.claims.expect import expect
from chaos.errors import InvalidValue
from chaos.model.outcome import Outcome
from chaos.model.standards import STANDARDS, Standards
from chaos.model.verdict import Ledger, Verdict
from chaos.model.window import WindowEvidence
from chaos.testing.evidence import attempts, call, calls, closed, edge, requests, window

EDGE = "reviews -> ratings"


def judged(claim, evidence: WindowEvidence, **given: str) -> Verdict:
    verdict = claim(expect(closed(evidence, Ledger(standards=Standards.of(given))), soft=True))
    assert isinstance(verdict, Verdict)
    return verdict


def test_what_is_not_said_is_the_default():
    assert Standards.of({}) == Standards.of(dict.fromkeys(STANDARDS, " ")) == Standards()


def test_every_standard_can_be_said():
    given = {
        "false_held": "1%",
        "false_violated": "10%",
        "success_margin": "2%",
        "latency_margin": "50%",
        "at_least": "99.9%",
        "never_retried": "POST, DELETE",
        "recovered_for": "1m",
    }
    assert set(given) == set(STANDARDS) == set(Standards.__slots__)

    assert Standards.of(given) == Standards(
        false_held=0.01,
        false_violated=0.1,
        success_margin=0.02,
        latency_margin=0.5,
        at_least="99.9%",
        never_retried=("POST", "DELETE"),
        recovered_for=60.0,
    )


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("false_held", "0%", "chaos_false_held is .*above 0%"),
        ("false_held", "21%", "chaos_false_held is '21%': a chance of a false verdict, above 0 and at most 20%"),
        ("false_violated", "0.05", "percent sign"),
        ("success_margin", "100%", "chaos_success_margin is '100%': a margin above 0 and below 100 %"),
        ("latency_margin", "20ms", "percent sign"),
        ("at_least", "101%", "chaos_at_least"),
        ("never_retried", "post", "chaos_never_retried is 'post': write methods in upper case, POST PATCH"),
        ("recovered_for", "10", "chaos_recovered_for"),
    ],
)
def test_what_is_none_is_refused_by_its_name(name: str, text: str, told: str):
    with pytest.raises(InvalidValue, match=told):
        Standards.of({name: text}, prefix="chaos_")


@pytest.mark.parametrize(("given", "outcome"), [({}, Outcome.HELD), ({"false_held": "1%"}, Outcome.INCONCLUSIVE)])
def test_held_is_said_at_the_level_of_the_run(given: dict[str, str], outcome: Outcome):
    verdict = judged(lambda claims: claims.to_succeed("99%"), window(requests(300)), **given)

    assert verdict.outcome is outcome
    assert ("with 99 % confidence" in verdict.summary) is bool(given)


@pytest.mark.parametrize(("given", "outcome"), [({}, Outcome.INCONCLUSIVE), ({"false_violated": "20%"}, Outcome.VIOLATED)])
def test_violated_is_said_within_the_budget_of_the_run(given: dict[str, str], outcome: Outcome):
    failing = range(10, 300, 42)
    evidence = window(requests(300, status=lambda i: 503 if i in failing else 200))

    assert judged(lambda claims: claims.to_succeed("99%"), evidence, **given).outcome is outcome


def test_a_claim_that_names_no_share_takes_that_of_the_run():
    for claim in (lambda claims: claims.to_succeed(), lambda claims: claims.to_return(status=200)):
        assert 'at_least="90%"' in judged(claim, window(requests(60)), at_least="90%").claim
        assert 'at_least="99%"' in judged(claim, window(requests(60))).claim


@pytest.mark.parametrize(
    ("given", "outcome"),
    [({}, Outcome.VIOLATED), ({"latency_margin": "60%"}, Outcome.HELD)],
)
def test_margins_are_those_of_the_run(given: dict[str, str], outcome: Outcome):
    def spread(base: float):
        return lambda i: base + 0.001 * (i * 7 % 10)

    before = window(requests(2000, latency=spread(0.1)), kind="steady")
    after = window(requests(2000, latency=spread(0.15)), kind="recovery")

    verdict = judged(lambda claims: claims.not_to_differ_from(closed(before)), after, **given)

    assert verdict.outcome is outcome


@pytest.mark.parametrize(("given", "outcome"), [({}, Outcome.HELD), ({"never_retried": "GET"}, Outcome.VIOLATED)])
def test_methods_that_must_not_be_retried_are_those_of_the_run(given: dict[str, str], outcome: Outcome):
    samples = requests(100)
    made = calls(
        samples, lambda n, at: call(n, started=at, attempts=attempts(at, (0.001, 503, "FI"), (0.01, 200, "")), method="GET")
    )
    seen = window(samples, edges=[edge(EDGE, made)])
    opened = closed(seen, Ledger(standards=Standards.of(given)))

    verdict = expect(opened.edge(EDGE), soft=True).to_retry(at_most=1)

    assert isinstance(verdict, Verdict)
    assert verdict.outcome is outcome
