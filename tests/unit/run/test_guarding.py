"""Guard claims: a whole experiment on a fake mesh whose fault ends when a guard is violated."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from chaos import clock
from chaos.claims.expect import expect
from chaos.errors import Aborted, InvalidValue, Violated
from chaos.model.events import InjectionGone, Noted
from chaos.model.fault import abort, delay
from chaos.model.outcome import Outcome
from chaos.model.window import Window
from chaos.run.conclusion import conclude
from chaos.run.experiment import Experiment
from chaos.run.traffic import Traffic
from chaos.run.view import Load
from tests.unit.run.conftest import Shop

EDGE = "-> front"
EDGE_BACK = "front -> back"


@pytest.fixture
def experiment(shop: Shop) -> Experiment:
    return shop.experiment()


@pytest.fixture
def traffic(shop: Shop, experiment: Experiment) -> Traffic:
    return Load(experiment, shop.run)("/", rate="100/s", timeout="5s")


def test_a_violation_ends_the_fault_and_is_what_the_experiment_comes_to(
    shop: Shop, experiment: Experiment, traffic: Traffic
) -> None:
    with pytest.raises(Violated, match=r'to_succeed\(at_least="99%"\), guard: violated') as violated, traffic:
        pending = expect(traffic, guard=True).to_succeed("99%")
        with experiment.inject(abort(503), EDGE) as injection:
            traffic.window("60s")

    assert isinstance(violated.value.__cause__, Aborted)
    assert pending.outcome is Outcome.VIOLATED
    assert pending.verdict.requests == 50  # the first look
    assert injection.record.guarded
    assert injection.record.withdrawn - injection.record.proven < 5 * clock.NS
    [gone] = [event for event in shop.events if isinstance(event, InjectionGone)]
    assert gone.aborted.startswith('the guard to_succeed(at_least="99%") on / is violated: 0 % succeeded')
    experiment.finish()


def test_what_a_guard_needs_is_said_before(shop: Shop, experiment: Experiment, traffic: Traffic) -> None:
    with traffic:
        expect(traffic, guard=True, soft=True).to_succeed("99%")

    assert [event.text for event in shop.events if isinstance(event, Noted)] == [
        (
            'guard on /: to_succeed(at_least="99%") can end a fault from 50 requests under it on: 500 ms at 100/s; '
            "to be held it needs 367 requests if nothing is bad"
        )
    ]
    experiment.finish()


def test_answers_are_guarded_too(experiment: Experiment, traffic: Traffic) -> None:
    """front says sorry when back fails."""
    with pytest.raises(Violated, match=r'to_return\(containing="ok", at_least="90%"\), guard: violated'), traffic:
        expect(traffic, guard=True).to_return(containing="ok", at_least="90%")
        with experiment.inject(abort(503), EDGE_BACK):
            traffic.window("60s")
    experiment.finish()


@pytest.mark.parametrize("nothing", [0, 0.0, ""])
def test_a_share_of_nothing_is_refused_and_not_taken_for_the_default(
    experiment: Experiment, traffic: Traffic, nothing: Any
) -> None:
    with traffic:
        for claim in (expect(traffic, guard=True).to_succeed, partial(expect(traffic, guard=True).to_return, status=200)):
            with pytest.raises(InvalidValue, match="at_least is"):
                claim(at_least=nothing)


def test_who_waits_longer_than_is_guarded_is_not_waited_for(experiment: Experiment, traffic: Traffic) -> None:
    with pytest.raises(Violated, match=r'to_respond_within\("500ms", at="p95"\), guard: violated'), traffic:
        expect(traffic, guard=True).to_respond_within("500ms")
        with experiment.inject(delay("4s"), EDGE) as injection:
            traffic.window("60s")

    # 500 requests take 5 s, and half a second later they are late; none but the first hundred has ended then.
    assert injection.record.withdrawn - injection.record.proven < 6.5 * clock.NS
    experiment.finish()


def test_the_window_it_cuts_can_be_judged_and_not_compared(experiment: Experiment, traffic: Traffic) -> None:
    with pytest.raises(Violated), traffic:
        expect(traffic, guard=True).to_succeed("99%")
        steady = traffic.window("10s")
        with pytest.raises(Aborted) as aborted, experiment.inject(abort(503), EDGE):
            traffic.window("60s")

    during = aborted.value.window
    assert isinstance(during, Window)
    assert during.evidence.cut_short
    assert not during.evidence.doubts
    assert expect(during, soft=True).to_succeed("99%").outcome is Outcome.VIOLATED
    compared = expect(during, soft=True).not_to_differ_from(steady)
    assert compared.outcome is Outcome.INCONCLUSIVE
    assert "was cut short" in compared.reason
    experiment.finish()


def test_claims_on_an_open_window_are_judged_on_what_was_seen(experiment: Experiment, traffic: Traffic) -> None:
    with pytest.raises(Violated), traffic:
        expect(traffic, guard=True).to_succeed("99%")
        with experiment.inject(abort(503), EDGE), traffic.recording() as during:
            pending = expect(during).to_return(status=503)
            experiment.alarm.pause(4)

    assert pending.outcome in (Outcome.HELD, Outcome.INCONCLUSIVE)
    assert "judged as it arrived" in pending.verdict.summary
    experiment.finish()


def test_a_fault_that_harms_nobody_goes_on_and_the_guard_held(experiment: Experiment, traffic: Traffic) -> None:
    with traffic:
        pending = expect(traffic, guard=True).to_succeed("99%")
        with experiment.inject(abort(503), "front -> back") as injection:
            during = traffic.window("5s")

    assert during.requests >= 490
    assert not injection.record.aborted
    assert pending.outcome is Outcome.HELD
    conclude(experiment)  # it was claimed of requests under the fault
    experiment.finish()


def test_bystanders_are_guarded_by_a_load_of_their_own(shop: Shop, experiment: Experiment, traffic: Traffic) -> None:
    others = Load(experiment, shop.run)("/", rate="100/s", timeout="5s", own=False)
    with others, traffic:
        pending = expect(others, guard=True).to_succeed("99%")
        with experiment.inject(abort(503), EDGE) as injection:
            traffic.window("5s")

    assert not injection.record.aborted
    assert pending.outcome is Outcome.HELD
    experiment.finish()


def test_what_was_broken_before_ends_the_fault_and_says_nothing_of_it(shop: Shop, experiment: Experiment, traffic: Traffic) -> None:
    with pytest.raises(Aborted, match="violated before any fault"), traffic:
        pending = expect(traffic, guard=True).to_respond_within("1ms")
        traffic.window("10s")
        with experiment.inject(abort(503), "front -> back"):
            traffic.window("60s")

    assert pending.outcome is Outcome.INCONCLUSIVE
    assert "steady state not met" in pending.verdict.reason
    experiment.finish()


def test_without_a_fault_there_is_nothing_to_guard(experiment: Experiment, traffic: Traffic) -> None:
    with traffic:
        pending = expect(traffic, guard=True, soft=True).to_succeed()
        traffic.window("5s")

    assert pending.outcome is Outcome.INCONCLUSIVE
    assert "no fault was in force" in pending.verdict.reason
    experiment.finish()


def test_another_failure_is_not_hidden(experiment: Experiment, traffic: Traffic) -> None:
    with pytest.raises(ZeroDivisionError) as failure, traffic:
        expect(traffic, guard=True).to_succeed()
        raise ZeroDivisionError

    assert "no fault was in force" in str(failure.value.__notes__)
    experiment.finish()


def test_only_load_is_guarded(experiment: Experiment, traffic: Traffic) -> None:
    with traffic:
        window = traffic.window("1s")
    with pytest.raises(InvalidValue, match="what is guarded is load that flows"):
        expect(window, guard=True)  # type: ignore[call-overload]
    experiment.finish()
