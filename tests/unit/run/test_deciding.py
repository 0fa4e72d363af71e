"""Windows that end when their claims are decided: a whole experiment on a fake mesh."""

from __future__ import annotations

import pytest

from chaos import clock
from chaos.claims.expect import Pending, expect
from chaos.errors import Aborted, ExperimentError, Violated
from chaos.model.breakers import Tally
from chaos.model.events import Noted
from chaos.model.fault import abort, delay
from chaos.model.outcome import Outcome
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


def test_it_ends_when_its_claims_are_decided(shop: Shop, experiment: Experiment, traffic: Traffic) -> None:
    with traffic, traffic.until_decided(max="60s") as window:
        pending = expect(window).to_succeed("99%")
        assert [e.text for e in shop.events if isinstance(e, Noted)] == [
            (
                'window 1 of /: to_succeed(at_least="99%") needs 367 requests if nothing is bad: 3.67 s at 100/s; '
                "good for failures that come singly"
            )
        ]

    assert isinstance(pending, Pending)
    assert pending.outcome is Outcome.HELD
    assert window.evidence.cut_short
    assert 3.67 <= window.evidence.seconds < 5
    experiment.finish()


def test_a_share_claimed_later_allows_for_the_looks(experiment: Experiment, traffic: Traffic) -> None:
    with traffic, traffic.until_decided() as window:
        expect(window).to_succeed("95%")

    verdict = expect(window, soft=True).to_succeed("99%")

    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "judged as it arrived" in str(verdict)
    experiment.finish()


def test_what_is_broken_ends_it_early(experiment: Experiment, traffic: Traffic) -> None:
    began = 0
    with traffic, experiment.inject(abort(503), "-> front"):
        with pytest.raises(Violated, match="to_succeed"), traffic.until_decided(max="60s") as window:
            began = clock.now()
            expect(window).to_succeed("99%", ok=())
        assert (clock.now() - began) / clock.NS < 5
    experiment.finish()


def test_at_the_longest_it_is_undecided(experiment: Experiment, traffic: Traffic) -> None:
    with traffic, traffic.until_decided(max="2s") as window:
        pending = expect(window, soft=True).to_succeed("99.9%")

    assert isinstance(pending, Pending)
    assert pending.outcome is Outcome.INCONCLUSIVE
    assert window.evidence.seconds == pytest.approx(2)
    assert "200 requests did not decide" in pending.verdict.reason
    experiment.finish()


def test_only_requests_before_the_first_one_under_way_are_looked_at(experiment: Experiment, traffic: Traffic) -> None:
    """Half of the requests never get an answer: in the order of completion the other half would be called held."""
    with traffic, experiment.inject(abort(503), EDGE):
        window = traffic.window("2s")
        start = window.evidence.start

        seen = traffic._gatherer.so_far("window", start, Tally()).requests().samples

    assert list(seen["sequence"]) == list(range(seen["sequence"][0], seen["sequence"][0] + len(seen)))
    experiment.finish()


def test_claims_on_edges_are_looked_at_while_calls_arrive(experiment: Experiment, traffic: Traffic) -> None:
    """front gives up on back after 1 s, every time: 69 calls show it at 95 %."""
    with traffic, experiment.inject(delay("3s"), EDGE), traffic.until_decided(max="60s") as window:
        held = expect(window.edge(EDGE)).to_time_out_within("1.5s")
        violated = expect(window.edge(EDGE), soft=True).to_time_out_within("500ms")

    assert isinstance(held, Pending)
    assert isinstance(violated, Pending)
    assert (held.outcome, held.verdict.requests) == (Outcome.HELD, 69)
    assert (violated.outcome, violated.verdict.requests) == (Outcome.VIOLATED, 50)
    assert window.evidence.seconds < 4  # 1 s until the first call has ended, 0.7 s of calls, and looks half a second apart
    experiment.finish()


def test_a_window_goes_on_until_its_injection_is_proven(experiment: Experiment, traffic: Traffic) -> None:
    """69 requests decide the claim, and 5 % of the calls are proven by 135."""
    with traffic, experiment.inject(abort(503, percent=5), EDGE), traffic.until_decided(max="60s") as window:
        pending = expect(window, allow_vacuous=True).to_succeed("95%")

    assert isinstance(pending, Pending)
    assert pending.outcome is Outcome.HELD
    assert 135 <= len(window.evidence.samples) < 300
    experiment.finish()


def test_who_waits_longer_than_is_claimed_is_not_waited_for(experiment: Experiment, traffic: Traffic) -> None:
    """The entry is delayed by 4 s: after 1 s more than is claimed, 500 requests are late, and none has ended."""
    with traffic, experiment.inject(delay("4s"), "-> front"), traffic.until_decided(max="60s") as window:
        pending = expect(window, soft=True).to_respond_within("1s")

    assert isinstance(pending, Pending)
    assert pending.outcome is Outcome.VIOLATED
    assert 500 <= len(window.evidence.samples) < 700
    experiment.finish()


def test_without_a_claim_nothing_can_be_decided(experiment: Experiment, traffic: Traffic) -> None:
    with traffic, pytest.raises(ExperimentError, match="nothing was claimed of it.*until_decided"), traffic.until_decided():
        pass
    experiment.finish()


def test_a_failure_of_the_block_stays_the_failure(experiment: Experiment, traffic: Traffic) -> None:
    with traffic, pytest.raises(ZeroDivisionError), traffic.until_decided():
        raise ZeroDivisionError
    experiment.finish()


def test_bad_news_reaches_who_waits(experiment: Experiment, traffic: Traffic) -> None:
    with traffic, pytest.raises(Aborted, match="the mesh is gone"), traffic.until_decided() as window:
        expect(window).to_succeed()
        experiment.alarm.ring("the mesh is gone")
    experiment.finish()


def test_a_recorded_window_says_what_its_claims_need(shop: Shop, experiment: Experiment, traffic: Traffic) -> None:
    with traffic, traffic.recording() as window:
        pending = expect(window).to_succeed("95%")
        experiment.alarm.pause(2)

    assert isinstance(pending, Pending)
    assert (pending.planned, pending.outcome) == (59, Outcome.HELD)
    assert not window.evidence.cut_short
    experiment.finish()
