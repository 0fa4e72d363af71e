"""Recovery on load that flows: a whole experiment on a fake mesh."""

from __future__ import annotations

import pytest

from chaos.claims.expect import expect
from chaos.errors import Aborted, ExperimentError, Refused
from chaos.model.fault import abort
from chaos.model.outcome import Outcome
from chaos.run.conclusion import conclude
from chaos.run.experiment import Experiment
from chaos.run.traffic import Traffic
from chaos.run.view import Load
from tests.unit.run.conftest import Shop

EDGE = "front -> back"


@pytest.fixture
def experiment(shop: Shop) -> Experiment:
    return shop.experiment()


@pytest.fixture
def traffic(shop: Shop, experiment: Experiment) -> Traffic:
    return Load(experiment, shop.run)("/", rate="100/s", timeout="5s")


def test_a_fault_that_is_gone_leaves_nothing_behind(experiment: Experiment, traffic: Traffic) -> None:
    with traffic:
        traffic.window("10s")
        with experiment.inject(abort(503), EDGE, at="callee") as injection:
            experiment.alarm.pause(5)
        verdict = expect(traffic).to_recover("2s", after=injection)

    assert verdict.outcome is Outcome.HELD
    assert verdict.requests >= 1000
    conclude(experiment)  # the time under the fault was looked at
    experiment.finish()


def test_nobody_recovers_under_another_fault(experiment: Experiment, traffic: Traffic) -> None:
    with traffic:
        traffic.window("10s")
        with experiment.inject(abort(503), EDGE, at="callee") as first:
            experiment.alarm.pause(5)
        with experiment.inject(abort(500), EDGE, at="callee"), pytest.raises(Refused, match="abort 500 .* is on meanwhile"):
            expect(traffic).to_recover("2s", after=first)
    experiment.finish()


def test_a_fault_that_hit_nothing_shows_nothing(experiment: Experiment, traffic: Traffic) -> None:
    with traffic:
        traffic.window("10s")
        with experiment.inject(abort(503), EDGE, match={"end-user": "jason"}) as injection:
            experiment.alarm.pause(5)
        verdict = expect(traffic, soft=True).to_recover("2s", after=injection)

    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "could not hit the requests of this load" in verdict.reason
    experiment.finish()


def test_while_it_is_on_there_is_nothing_to_wait_for(experiment: Experiment, traffic: Traffic) -> None:
    with traffic, experiment.inject(abort(503), EDGE) as injection, pytest.raises(ExperimentError, match="is still on"):
        expect(traffic).to_recover("2s", after=injection)
    experiment.finish()


def test_load_that_has_ended_cannot_show_it(experiment: Experiment, traffic: Traffic) -> None:
    with traffic, experiment.inject(abort(503), EDGE) as injection:
        experiment.alarm.pause(1)

    with pytest.raises(ExperimentError, match="has ended"):
        expect(traffic).to_recover("2s", after=injection)
    experiment.finish()


def test_bad_news_reaches_who_waits(experiment: Experiment, traffic: Traffic) -> None:
    with traffic:
        with experiment.inject(abort(503), EDGE) as injection:
            experiment.alarm.pause(1)
        experiment.alarm.ring("the mesh is gone")
        with pytest.raises(Aborted, match="the mesh is gone"):
            expect(traffic).to_recover("2s", after=injection)
    experiment.finish()
