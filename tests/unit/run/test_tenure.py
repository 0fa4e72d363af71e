"""One run per callee, and a run that lost it may only undo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.clock import NS
from chaos.errors import Aborted, LeaseLost, Occupied, Stopped, Unreachable
from chaos.mesh.leases import MemoryLeases
from chaos.mesh.port import Lease
from chaos.model.fault import abort
from chaos.model.inventory import Service
from chaos.run.journal import Journal, left
from chaos.run.tenure import VALID, Tenure
from chaos.testing.passing_time import PassingTime
from tests.unit.run.conftest import Shop

EDGE = "front -> back"
BACK = "istio-chaos.back.shop.svc.cluster.local"


def service(name: str) -> Service:
    return Service(name=name, namespace="shop", host=f"{name}.shop.svc", ports=(), selector={})


class Told(MemoryLeases):
    """Its clock is set by hand, and it can be out of reach."""

    def __init__(self) -> None:
        super().__init__(lambda: self.at)
        self.at = 0
        self.reachable = True

    def renew(self, lease: Lease) -> Lease:
        if not self.reachable:
            raise Unreachable("the API server does not answer")
        return super().renew(lease)


@pytest.fixture
def leases() -> Told:
    return Told()


@pytest.fixture
def tenure(leases: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tenure:
    monkeypatch.setattr("chaos.run.tenure.FRESH", -1)  # every write asks
    monkeypatch.setattr("chaos.run.tenure.EVERY", 3600.0)  # beats are the tests' own
    return Tenure(leases, Journal(tmp_path / "a.journal", "run-a"), "run-a")


def test_a_callee_is_taken_once_and_journalled_before(tenure: Tenure, leases: Told, tmp_path: Path) -> None:
    first, again = tenure.take(service("back")), tenure.take(service("back"))

    assert first == again
    assert left(tmp_path / "a.journal").leases == [("shop", "istio-chaos.back.shop.svc")]
    assert first.id == tenure.lease_id(service("back"))
    tenure.close(undone=True)
    assert leases.all() == []


def test_heartbeats_keep_it(tenure: Tenure, leases: Told) -> None:
    tenure.take(service("back"))
    for _ in range(5):
        leases.at += int(15 * NS)
        tenure.beat()
        tenure.check()

    assert all(lease.alive for lease in leases.all())
    tenure.close(undone=True)


def test_after_a_longer_gap_nothing_is_written_any_more(tenure: Tenure, leases: Told) -> None:
    tenure.take(service("back"))
    leases.at += int((VALID + 1) * NS)  # stopped, and gone on before any heartbeat

    with pytest.raises(LeaseLost, match="was not renewed for 21 s, and holds for 20 s: this run may only undo"):
        tenure.check()
    with pytest.raises(LeaseLost):  # nor later, nor another callee
        tenure.take(service("other"))
    assert tenure.lost
    tenure.close(undone=True)


def test_somebody_who_does_not_answer_has_not_taken_it_away(tenure: Tenure, leases: Told) -> None:
    tenure.take(service("back"))
    leases.reachable = False
    tenure.beat()
    assert tenure.lost == ""
    with pytest.raises(Unreachable):  # but nobody writes what he cannot be sure of
        tenure.check()

    leases.reachable = True
    tenure.check()
    tenure.close(undone=True)


def test_another_run_is_named_and_waited_for_only_by_who_has_nothing(
    tenure: Tenure, leases: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = PassingTime()
    monkeypatch.setattr("chaos.clock._time", time)
    waiting = Tenure(leases, Journal(tmp_path / "b.journal", "run-b"), "run-b", wait=30.0)
    tenure.take(service("back"))
    began = time.now()

    with pytest.raises(Occupied, match=r"back\.shop\.svc is under test by run run-a"):
        waiting.take(service("back"))
    assert 30 <= (time.now() - began) / NS < 33

    waiting.take(service("other"))
    began = time.now()
    with pytest.raises(Occupied) as refused:
        waiting.take(service("back"))
    assert time.now() == began
    assert refused.value.__notes__ == ["this run holds other.shop.svc already, and who holds one callee never waits for another"]
    tenure.close(undone=True)
    waiting.take(service("back"))
    waiting.close(undone=True)


def test_an_undo_that_failed_leaves_the_lease_to_run_out(tenure: Tenure, leases: Told) -> None:
    tenure.take(service("back"))
    tenure.close(undone=False)

    assert [lease.name for lease in leases.all()] == ["istio-chaos.back.shop.svc"]


# -- in an experiment
def test_objects_say_under_which_lease_they_stand(shop: Shop) -> None:
    experiment = shop.experiment()
    with experiment.inject(abort(503), EDGE):
        said = [o["metadata"]["annotations"]["istio-chaos.dev/lease"] for o in shop.mesh.ours()]
        held = [(lease.id, lease.holder) for lease in shop.mesh.leases.all()]
        keys = {key for o in shop.mesh.ours() for part in ("labels", "annotations") for key in o["metadata"][part]}
    experiment.finish()

    assert said == [f"shop/{BACK}"] * 2
    assert held == [(f"shop/{BACK}", shop.run.id)]
    assert not any("istio.io" in key for key in keys)
    shop.run.close()
    assert shop.mesh.leases.all() == []


def test_nothing_is_written_to_a_callee_of_another_run(shop: Shop) -> None:
    shop.mesh.leases.acquire("shop", BACK, "another", valid=20, about="back.shop.svc.cluster.local")
    experiment = shop.experiment()

    with pytest.raises(Occupied, match="under test by run another"), experiment.inject(abort(503), EDGE):
        pytest.fail("the block must not begin")  # pragma: no cover
    assert shop.mesh.log == []
    experiment.finish()


def test_a_run_that_lost_its_lease_undoes_and_says_why(shop: Shop) -> None:
    experiment = shop.experiment()
    with experiment.inject(abort(503), EDGE) as injection:
        shop.mesh.leases._rows["shop", BACK].holder = "another"  # type: ignore[attr-defined]
        shop.run.tenure.beat()
        experiment.watcher.look()

        assert injection.record.gone
        assert "is held by another: this run may only undo" in injection.record.aborted
        with pytest.raises(Aborted, match="was ended early"):
            experiment.alarm.check()
    with pytest.raises(LeaseLost), experiment.inject(abort(500), EDGE):
        pytest.fail("the block must not begin")  # pragma: no cover
    experiment.finish()
    assert shop.mesh.ours() == ()


@pytest.mark.parametrize(
    "set_it",
    [
        pytest.param(lambda mesh: setattr(mesh, "stop", "the shop opens"), id="stop switch"),
        pytest.param(lambda mesh: setattr(mesh, "serving", lambda: "istiod is not ready"), id="istiod"),
    ],
)
def test_a_stop_refuses_what_begins_and_ends_what_is_on(shop: Shop, set_it: Callable[[object], None]) -> None:
    experiment = shop.experiment()
    with experiment.inject(abort(503), EDGE) as injection:
        set_it(shop.mesh)
        experiment.watcher.look()
        assert injection.record.gone
        with pytest.raises(Aborted, match=r"the shop opens|istiod is not ready"):
            experiment.alarm.check()

    written = len(shop.mesh.log)
    with pytest.raises(Stopped, match=r"^front -> back: (the stop switch is set: the shop opens|istiod is not ready)"):
        experiment.inject(abort(503), EDGE).__enter__()
    assert len(shop.mesh.log) == written
    experiment.finish()


def test_without_a_reaper_nothing_begins_where_things_outlive_their_runner(shop: Shop) -> None:
    shop.mesh.reach = {"context": "kind-test"}
    experiment = shop.experiment()
    injection = experiment.inject(abort(503), EDGE)

    with pytest.raises(Stopped, match=r"no reaper looks after namespace shop.* allow: \{without_reaper: true\}"):
        injection.__enter__()
    shop.mesh.leases.acquire("shop", "istio-chaos-reaper", "reaper-1", valid=20)
    with experiment.inject(abort(503), EDGE):
        pass
    object.__setattr__(shop.run.topology.allow, "without_reaper", True)
    shop.mesh.leases.release(shop.mesh.leases.find("shop", "istio-chaos-reaper"))  # type: ignore[arg-type]
    with experiment.inject(abort(503), EDGE):
        pass
    experiment.finish()
