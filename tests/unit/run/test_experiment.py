"""The life of injections: order, proof, undo, and what happens when something fails on the way."""

from __future__ import annotations

import pytest

from chaos import clock
from chaos.errors import Aborted, InvalidValue, MeshFailure, NotAllowed, Refused, UndoFailed
from chaos.model.edge import Edge
from chaos.model.events import Noted
from chaos.model.fault import abort, delay, throttle
from chaos.model.injection import Side
from chaos.run.journal import left
from chaos.run.view import Load
from tests.unit.run.conftest import Shop

EDGE = "front -> back"


def test_staged_then_switched_then_off_then_away(shop: Shop) -> None:
    experiment = shop.experiment()

    with experiment.inject(abort(503), EDGE) as injection:
        assert injection.on
        journalled = left(shop.run.journal.path).objects
        assert journalled == [(o["metadata"]["namespace"], o["metadata"]["name"]) for o in shop.mesh.ours()]
        assert [name.rpartition("-")[2] for _, name in journalled] == ["stage", "switch"]
    assert not injection.on
    experiment.finish()

    # observed at first, then with the fault, then without it; the switch goes before the stage
    assert shop.mesh.log == [
        ("apply", ["stage"]),
        ("apply", ["switch"]),
        ("apply", ["switch"]),
        ("apply", ["switch"]),
        ("delete", ["switch"]),
        ("delete", ["stage"]),
    ]
    assert shop.mesh.ours() == ()
    assert left(shop.run.journal.path).objects == []
    assert 0 < injection.record.written <= injection.record.proven <= injection.record.withdrawn <= injection.record.gone


def test_a_second_injection_on_an_edge_only_switches(shop: Shop) -> None:
    experiment = shop.experiment()
    with experiment.inject(abort(503), EDGE):
        pass
    before = len(shop.mesh.log)

    with experiment.inject(delay("1s"), EDGE):
        pass

    assert shop.mesh.log[before:] == [("apply", ["switch"]), ("apply", ["switch"])]
    experiment.finish()


def test_the_end_of_the_experiment_undoes_what_the_test_left_on(shop: Shop) -> None:
    experiment = shop.experiment()
    first = experiment.inject(abort(503), EDGE).__enter__()
    second = experiment.inject(delay("1s"), EDGE).__enter__()

    experiment.finish()

    assert (first.on, second.on) == (False, False)
    assert second.record.gone <= first.record.gone  # newest first
    assert shop.mesh.ours() == ()


def test_undo_is_idempotent(shop: Shop) -> None:
    experiment = shop.experiment()
    with experiment.inject(abort(503), EDGE) as injection:
        injection.undo()
        gone = injection.record.gone
    injection.undo()
    experiment.finish()
    experiment.finish()

    assert injection.record.gone == gone
    assert shop.names().count("InjectionGone") == 1


def test_a_failure_of_the_body_stays_the_failure(shop: Shop) -> None:
    experiment = shop.experiment()

    with pytest.raises(ZeroDivisionError), experiment.inject(abort(503), EDGE) as injection:
        raise ZeroDivisionError

    assert injection.record.gone
    experiment.finish()


def test_an_undo_is_tried_again(shop: Shop) -> None:
    experiment = shop.experiment()
    with experiment.inject(abort(503), EDGE) as injection:
        shop.mesh.failing = 3

    assert injection.record.gone
    assert shop.run.failed_undos == []
    experiment.finish()


def test_an_undo_that_cannot_be_proven_is_the_loudest_outcome(shop: Shop) -> None:
    experiment = shop.experiment()
    with (
        pytest.raises(UndoFailed, match="may still be in force in front.shop.*istio-chaos sweep"),
        experiment.inject(abort(503), EDGE),
    ):
        shop.mesh.failing = 10_000
        shop.mesh.unreachable = True

    assert len(shop.run.failed_undos) == 1
    assert "UndoFailure" in shop.names()
    shop.mesh.failing = 0
    experiment.finish()  # the next try succeeds
    assert shop.mesh.ours() == ()


def test_the_last_resort_switches_faults_off_that_no_configuration_does(shop: Shop) -> None:
    experiment = shop.experiment()
    journal = shop.run.journal.path
    with Load(experiment, shop.run)("/", rate="20/s") as traffic:
        with (
            pytest.raises(UndoFailed, match="is switched off by the runtime of front.shop alone, and still configured there"),
            experiment.inject(abort(503), EDGE) as injection,
        ):
            shop.mesh.failing = 10_000
        after = traffic.flow.samples()
        hit = [call for call in traffic.between(clock.now(), clock.now() + clock.NS).edge(EDGE).raw.evidence.calls if call.faulted]

    assert len(after)
    assert hit == []
    [note] = [event.text for event in shop.events if isinstance(event, Noted) and "last resort" in event.text]
    assert note.startswith(f"{injection.record}: its end does not reach the proxies")
    [(namespace, pod, key)] = left(journal).silenced
    assert (namespace, pod) == ("shop", "front")
    assert shop.mesh.system.proxies["front.shop"].runtime == {key: "0"}

    shop.mesh.failing = 0
    experiment.finish()

    assert left(journal).silenced == []
    assert shop.mesh.system.proxies["front.shop"].runtime == {key: ""}
    assert shop.mesh.ours() == ()


def test_an_undo_that_fails_once_needs_no_last_resort(shop: Shop) -> None:
    experiment = shop.experiment()
    with experiment.inject(abort(503), EDGE):
        shop.mesh.failing = 2

    assert not [event for event in shop.events if isinstance(event, Noted) and "last resort" in event.text]
    assert left(shop.run.journal.path).silenced == []
    experiment.finish()


def test_a_failed_undo_is_added_to_the_bodys_failure(shop: Shop) -> None:
    experiment = shop.experiment()

    with pytest.raises(ZeroDivisionError) as failure, experiment.inject(abort(503), EDGE):
        shop.mesh.failing = 10_000
        shop.mesh.unreachable = True
        raise ZeroDivisionError

    assert "may still be in force" in failure.value.__notes__[0]
    shop.mesh.failing = 0
    experiment.finish()


def test_an_injection_that_does_not_come_into_force_is_undone(shop: Shop) -> None:
    experiment = shop.experiment()
    injection = experiment.inject(abort(503), EDGE)
    experiment.observe(EDGE)
    shop.mesh.failing = 1

    with pytest.raises(MeshFailure), injection:
        pytest.fail("the block must not begin")  # pragma: no cover

    assert injection.record.gone
    assert not injection.record.proven
    experiment.finish()
    assert shop.mesh.ours() == ()


def test_a_watch_ends_an_injection_whose_route_was_taken_away(shop: Shop) -> None:
    experiment = shop.experiment()
    with (
        pytest.raises(Aborted, match="our route to back|routes, clusters or endpoints"),
        experiment.inject(abort(503), EDGE) as injection,
    ):
        shop.mesh.delete([(o["metadata"]["namespace"], o["metadata"]["name"]) for o in shop.mesh.ours()[1:]])
        experiment.watcher.look()
        assert not injection.on
        experiment.alarm.pause(60)

    assert "back" in injection.record.aborted
    experiment.finish()


def test_an_injection_that_expires_ends_by_itself(shop: Shop) -> None:
    experiment = shop.experiment()

    with pytest.raises(Aborted, match="reached its end of 5 s"), experiment.inject(abort(503), EDGE, expires="5s") as injection:
        experiment.alarm.pause(4)
        experiment.watcher.look()
        assert injection.on
        experiment.alarm.pause(4)
        experiment.watcher.look()
        experiment.alarm.check()

    assert injection.record.gone
    experiment.finish()


def test_the_side_comes_with_its_reason(shop: Shop) -> None:
    experiment = shop.experiment()

    assert experiment.inject(throttle("64KiB/s"), EDGE).record.side is Side.CALLEE
    assert experiment.inject(abort(404), EDGE).record.side is Side.CALLER
    assert experiment.inject(abort(404), EDGE, at="callee").record.side is Side.CALLEE
    assert shop.mesh.log == []  # nothing was written for any of them


@pytest.mark.parametrize(
    ("wrong", "kind", "says"),
    [
        ({"edge": "front -> bakc"}, InvalidValue, 'did you mean "back"'),
        ({"edge": "front"}, InvalidValue, "is no edge"),
        ({"fault": "abort"}, InvalidValue, "is no fault"),
        ({"at": "middle"}, InvalidValue, '"auto", "caller" or "callee"'),
        ({"traffic": "mine"}, InvalidValue, '"own" or "all"'),
        ({"traffic": "all"}, NotAllowed, "hits everybody"),
        ({"replicas": 0}, InvalidValue, "at least 1"),
        ({"replicas": 3}, InvalidValue, "has 2"),
        ({"match": {"end user": "jason"}}, InvalidValue, "maps header names"),
        ({"expires": "20m"}, NotAllowed, "expires after 1200 s"),
        ({"expires": "500"}, InvalidValue, "without a unit"),
        ({"fault": abort(grpc="UNAVAILABLE")}, Refused, "plain 200"),
        ({"fault": throttle("1KiB/s"), "at": "caller"}, Refused, 'at="callee"'),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, dict) else None,
)
def test_bad_input_is_refused_before_anything_is_written(shop: Shop, wrong: dict, kind: type[Exception], says: str) -> None:
    experiment = shop.experiment()

    with pytest.raises(kind) as refused:
        experiment.inject(**{"fault": abort(503), "edge": EDGE, **wrong})

    assert says in str(refused.value)
    assert shop.mesh.log == []


def test_a_contradiction_is_refused_before_the_second_is_written(shop: Shop) -> None:
    experiment = shop.experiment()
    with experiment.inject(abort(503), EDGE, at="callee"):
        before = len(shop.mesh.log)
        with pytest.raises(Refused, match="would hit requests"), experiment.inject(delay("1s"), EDGE, at="caller"):
            pytest.fail("the block must not begin")  # pragma: no cover
        assert len(shop.mesh.log) == before
    experiment.finish()


def test_notes_and_events_tell_the_story(shop: Shop) -> None:
    experiment = shop.experiment()
    experiment.note("the pager was quiet")
    with experiment.inject(abort(503), EDGE):
        pass
    experiment.finish()

    assert shop.names() == ["RunStarted", "Noted", "InjectionProven", "InjectionGone"]


def test_edges_that_nobody_named_are_known_by_the_calls_of_their_proxies(shop: Shop) -> None:
    experiment = shop.experiment()
    front = next(pod for pod in shop.mesh.pods() if pod.workload == "front")
    load = next(pod for pod in shop.mesh.pods() if pod.workload == "istio-chaos-load")
    host = "back.shop.svc.cluster.local"

    assert str(experiment.walked(front.id, host)) == EDGE
    assert str(experiment.walked(load.id, host)) == "istio-chaos-load -> back"
    assert experiment.walked(front.id, "istio-chaos.000000000000.1.0") is None
    assert experiment.walked("gone.shop", host) is None
    experiment.finish()


def test_their_policy_is_read_where_a_fault_could_be_put(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = shop.experiment()
    edge = Edge.of(EDGE)

    seen = experiment.resolve(edge)
    assert seen is not None
    assert (seen.paths, len(seen.policy)) == (frozenset(), 2)
    assert shop.mesh.log == []  # nothing was written

    monkeypatch.setattr(experiment._paths, "plan", refusing)
    unread = experiment.resolve(edge)
    assert unread is not None
    assert unread.policy == ()
    experiment.finish()


def refusing(*_: object) -> None:
    raise Refused("its proxy tells nothing")
