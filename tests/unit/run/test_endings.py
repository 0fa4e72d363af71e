"""What must not be skipped, whoever interrupts: the ways in which an undo could be missed."""

from __future__ import annotations

import signal
import threading

import pytest

from chaos.errors import ExperimentError, MeshFailure, NotAllowed
from chaos.model.fault import abort, delay
from chaos.model.marks import Mark
from chaos.run.shield import shielded
from tests.unit.run.conftest import Shop

EDGE = "front -> back"


def test_an_injection_lives_once(shop: Shop) -> None:
    experiment = shop.experiment()
    injection = experiment.inject(abort(503), EDGE)
    with injection:
        pass

    with pytest.raises(ExperimentError, match="one life"), injection:
        pytest.fail("the block must not begin")  # pragma: no cover
    experiment.finish()


def test_nothing_begins_once_the_end_has_begun(shop: Shop) -> None:
    experiment = shop.experiment()
    late = experiment.inject(abort(503), EDGE)
    experiment.finish()
    shop.mesh.log.clear()

    with pytest.raises(ExperimentError, match="nothing would undo it"), late:
        pytest.fail("the block must not begin")  # pragma: no cover
    experiment.finish()

    assert shop.mesh.ours() == ()


def test_an_interrupt_in_the_middle_of_the_end_waits_until_all_is_undone(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    experiment = shop.experiment()
    injections = [experiment.inject(abort(503), EDGE).__enter__(), experiment.inject(delay("1s"), EDGE).__enter__()]
    original = shop.mesh.apply

    def interrupted(objects: object) -> None:
        shop.mesh.apply = original  # type: ignore[method-assign]
        signal.raise_signal(signal.SIGINT)
        original(objects)

    shop.mesh.apply = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        experiment.finish()

    assert not any(injection.on for injection in injections)
    assert shop.mesh.ours() == ()
    assert "please wait" in capsys.readouterr().err


def test_a_stage_that_failed_is_made_again_before_anything_is_switched(shop: Shop) -> None:
    experiment = shop.experiment()
    shop.mesh.failing = 1
    with pytest.raises(MeshFailure):
        experiment.observe(EDGE)

    experiment.observe(EDGE)

    assert [step for step, _ in shop.mesh.log] == ["apply", "apply"]
    assert [parts for _, parts in shop.mesh.log] == [["stage"], ["switch"]]
    experiment.finish()


def test_an_undo_needs_no_disk(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = shop.experiment()
    with experiment.inject(abort(503), EDGE) as injection:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(shop.run.journal, "writing", full)

    assert injection.record.gone
    experiment.finish()


def test_observing_is_guarded_as_well(open_shop, shop_topology) -> None:  # type: ignore[no-untyped-def]
    shop = open_shop()
    object.__setattr__(shop.run.topology.allow, "namespaces", ("elsewhere",))

    with pytest.raises(NotAllowed, match="namespace shop is not allowed"):
        shop.experiment().observe(EDGE)

    assert shop.mesh.log == []


def test_a_watch_that_cannot_look_ends_the_injection(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = shop.experiment()
    with experiment.inject(abort(503), EDGE) as injection:

        def broken() -> None:
            raise ValueError("half a dump")

        monkeypatch.setattr(shop.mesh, "check", broken)
        experiment.watcher.look()

        assert not injection.on
        assert "the watch failed" in injection.record.aborted
    experiment.finish()


def test_a_stage_that_somebody_takes_away_is_drift(shop: Shop) -> None:
    experiment = shop.experiment()
    experiment.observe(EDGE)
    assert experiment.drift() == ""

    shop.mesh.delete([(o["metadata"]["namespace"], o["metadata"]["name"]) for o in shop.mesh.ours()[:1]])

    assert "is gone or was changed" in experiment.drift()
    experiment.finish()


def test_an_experiment_that_has_ended_leaves_no_streams_in_memory(shop: Shop) -> None:
    log = shop.run.reader.log
    experiment = shop.experiment()
    trace = experiment.mark.flow(1).headers(0)["traceparent"]
    log.feed(
        "front.shop",
        f'{{"istio_chaos": "call", "event": "DownstreamStart", "stream": "1", "start": "1", "traceparent": "{trace}"}}\n'.encode(),
    )
    other = Mark(shop.run.id, 999).flow(1)
    log.feed(
        "front.shop",
        f'{{"istio_chaos": "call", "stream": "2", "start": "1", "traceparent": "{other.headers(0)["traceparent"]}"}}\n'.encode(),
    )

    experiment.finish()

    assert log.streams(experiment.mark.flow(1).trace_id(0)) == []
    assert len(log.streams(other.trace_id(0))) == 1


def test_a_shield_outside_the_main_thread_is_no_hindrance() -> None:
    seen: list[bool] = []

    def work() -> None:
        with shielded("working"):
            seen.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen == [True]


def test_a_shield_gives_signals_back_when_it_ends() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with shielded("working"):
        assert signal.getsignal(signal.SIGTERM) is not before

    assert signal.getsignal(signal.SIGTERM) is before
