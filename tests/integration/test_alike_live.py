"""Is a difference seen where there is none? Two windows of one undisturbed system on real Envoys, again and again.

So few runs can only refute the promised error rates, not show them (docs/reference/verdicts.md): that is what the simulations are for.
`--seeds=200` makes as many runs as the rule asks for (make soak).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator

import pytest

from chaos import expect
from chaos.model.outcome import Outcome
from chaos.stats.special import at_least
from tests.calling import Callee, flawed
from tests.running import Running, opened, url

RUNS = 3
ERRORS = 0.05
"""What is promised of each claim; "violated" has less of it."""
SURE = 0.05
CALLEES = (Callee(name="front", pods="app: front", http="[{retries: {attempts: 0}}]"),)
STEADY = url("front", spread=0.5)
FALSE = {"not_to_differ_from": Outcome.VIOLATED, "to_differ_from": Outcome.HELD, "to_succeed": Outcome.VIOLATED}
"""Verdicts that are false alarms here."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with opened(tmp_path_factory.mktemp("run"), CALLEES, flawed("front")) as running:
        yield running


def refuting(runs: int) -> int:
    """So many alarms in so many runs that a rate of `ERRORS` is refuted."""
    return next(alarms for alarms in range(1, runs + 1) if at_least(alarms, runs, ERRORS) <= SURE)


def outcomes(running: Running) -> dict[str, Outcome]:
    """Of one run, by claim."""
    with running.experiment() as (_, load, experiment), load(STEADY, rate="400/s") as traffic:
        before, after = traffic.window("1s"), traffic.window("1s")
        expect(after, soft=True).not_to_differ_from(before)
        expect(after, soft=True).to_differ_from(before)
        expect(after, soft=True).to_succeed("99%")
    return {verdict.claim.partition("(")[0]: verdict.outcome for verdict in experiment.ledger.verdicts}


def test_so_many_alarms_refute() -> None:
    assert refuting(200) == 16


def test_what_is_alike_is_not_said_to_differ(running: Running, request: pytest.FixtureRequest) -> None:
    runs = max(RUNS, request.config.getoption("--seeds"))
    seen = Counter((claim, outcome) for _ in range(runs) for claim, outcome in outcomes(running).items())
    for (claim, outcome), number in sorted(seen.items()):
        logging.getLogger(__name__).info("%s: %d of %d %s", claim, number, runs, outcome)

    assert {claim: seen[claim, alarm] for claim, alarm in FALSE.items() if seen[claim, alarm] >= refuting(runs)} == {}
    assert seen["to_succeed", Outcome.HELD] > 0
