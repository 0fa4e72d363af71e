"""What does a plan say of an experiment? The same tests as in a run, on a mesh that nobody may write to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import pytest

from chaos.claims.expect import expect
from chaos.errors import ConfigurationError, ExperimentError, InvalidValue, NotAllowed, PlannedUpToHere
from chaos.injection.names import LABEL_MANAGED, LABEL_RUN
from chaos.mesh.port import EnvoyFilter
from chaos.model.events import ClaimPlanned, DoubtForeseen, Event, InjectionPlanned, LoadPlanned, PathPlanned, WindowPlanned
from chaos.model.fault import abort, delay
from chaos.model.topology import Allow, Topology
from chaos.model.window import EdgeWindow, Window
from chaos.run.conclusion import conclude
from chaos.run.plan.experiment import PlannedExperiment
from chaos.run.plan.mesh import LookedAt
from chaos.run.run import Run, RunOptions, new_id
from chaos.run.view import Inject, Load, MeshView
from chaos.testing.fake import open_fake
from chaos.testing.mesh import FakeMesh
from tests.unit.run.conftest import FailingMesh

EDGE = "front -> back"
LEASE = ("shop", "istio-chaos.back.shop.svc.cluster.local")
E = TypeVar("E", bound=Event)


class Staging(FailingMesh):
    """As a cluster: it outlives its runs, and shows the calls on private paths only."""

    sees_every_call = False
    reach = {"context": "staging"}  # noqa: RUF012 - as the port has it
    left: tuple[EnvoyFilter, ...] = ()

    def ours(self) -> tuple[EnvoyFilter, ...]:
        return self.left


@dataclass
class Planning:
    """A plan under way, and what was told."""

    run: Run
    mesh: FailingMesh
    events: list[Event]
    experiment: PlannedExperiment = field(init=False)

    def __post_init__(self) -> None:
        experiment = self.run.experiment("test_shop.py::test_it")
        assert isinstance(experiment, PlannedExperiment)
        self.experiment = experiment
        self.inject = Inject(self.experiment)
        self.load = Load(self.experiment, self.run)

    def told(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def doubts(self) -> list[str]:
        return [event.text for event in self.told(DoubtForeseen)]


@pytest.fixture
def plan_of(shop_topology: Topology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Planning]]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made: list[Planning] = []

    def plan_of(mesh: type[FailingMesh] = FailingMesh, **allow: object) -> Planning:
        events: list[Event] = []
        meshes: list[FailingMesh] = []

        def kept(topology: Topology, behaviours: object) -> FakeMesh:
            meshes.append(mesh(topology, behaviours))
            return meshes[0]

        allowed = replace(shop_topology, allow=Allow(namespaces=("shop",), **allow))
        options = RunOptions(id=new_id(), folder=tmp_path / "run", listeners=(events.append,), plan=True)
        run = open_fake(allowed, options, None, kept)
        made.append(Planning(run, meshes[0], events))
        return made[-1]

    yield plan_of
    for planning in made:
        planning.experiment.finish()
        planning.run.close()
        assert planning.mesh.log == [], "a plan wrote"
        assert planning.mesh.leases.all() == [], "a plan took a lease"


@pytest.fixture
def plan(plan_of: Callable[..., Planning]) -> Planning:
    return plan_of()


# -- whom it would hit
def test_an_injection_says_whom_it_hits_and_what_it_writes(plan: Planning) -> None:
    with plan.inject(delay("2s", percent=50) + abort(503, percent=50), EDGE, at="callee", replicas=1, expires="20s") as injection:
        assert injection.on
    assert not injection.on

    (told,) = plan.told(InjectionPlanned)
    assert (told.side, told.callers, told.traffic, told.only) == ("callee", ("front.shop",), "own", "1 replica")
    assert told.share == pytest.approx(0.75 / 2)  # at least one of both draws, at one of two replicas
    assert (told.attempts, told.expires) == (10, 20)


def test_a_path_says_what_would_be_written_once(plan: Planning) -> None:
    with plan.load("/", rate="20/s", observe=EDGE):
        for fault in (abort(503), delay("1s")):
            with plan.inject(fault, EDGE):
                pass

    (path,) = plan.told(PathPlanned)
    assert (path.edge, path.callers, path.deadline) == (EDGE, ("front.shop",), 1200)
    assert path.objects == (
        "EnvoyFilter shop/istio-chaos-RUN-1-stage",
        "EnvoyFilter shop/istio-chaos-RUN-1-switch",
        f"Lease {'/'.join(LEASE)}",
    )
    assert any("2 retries" in line for line in path.policy)


def test_everybody_is_said_to_be_everybody(plan_of: Callable[..., Planning]) -> None:
    plan = plan_of(traffic=("own", "all"))
    with plan.load("/", rate="20/s", own=False) as others, plan.inject(abort(503), EDGE, traffic="all"):
        others.window("5s")

    assert [told.traffic for told in plan.told(InjectionPlanned)] == ["all"]
    assert [window.faults for window in plan.told(WindowPlanned)] == [(), (1,)]
    assert [load.own for load in plan.told(LoadPlanned)] == [False]


def test_what_is_on_already_is_refused_as_in_a_run(plan: Planning) -> None:
    with (
        plan.inject(delay("1s"), EDGE, at="callee"),
        pytest.raises(Exception, match="delay"),
        plan.inject(delay("2s"), EDGE, at="callee"),
    ):
        pass


def test_what_the_topology_does_not_allow_is_refused(plan_of: Callable[..., Planning]) -> None:
    plan = plan_of(max_percent=10, max_rate=5)

    with pytest.raises(NotAllowed, match="max_percent: 100"):
        plan.inject(abort(503), EDGE)
    with pytest.raises(NotAllowed, match="max_rate: 20/s"):
        plan.load("/", rate="20/s")


# -- what it would send
def test_windows_end_at_once_and_add_up(plan: Planning) -> None:
    with plan.load("/", rate="20/s") as traffic:
        traffic.window("10s")
        with traffic.recording(), plan.load("/", users=3) as users:
            users.window("4s")
        traffic.settle()

    assert [(w.load, w.seconds, w.requests) for w in plan.told(WindowPlanned)] == [(1, 10, 200), (2, 4, None), (1, 6, 120)]
    # warm-up of 2.5 s, 10 s, warm-up of the users of 2 s, 4 s
    assert [(load.number, load.model, load.seconds, load.requests) for load in plan.told(LoadPlanned)] == [
        (2, "3 users", 6, None),
        (1, "20/s", 18.5, 370),
    ]


def test_the_steady_window_before_a_fault_is_part_of_the_plan(plan: Planning) -> None:
    with plan.load("/", rate="20/s") as traffic, plan.inject(abort(503), EDGE):
        traffic.window("5s")
    with plan.load("/", rate="20/s") as traffic:
        traffic.window("5s")

    assert [(w.seconds, w.faults) for w in plan.told(WindowPlanned)] == [(3, ()), (5, (1,)), (5, ())]


def test_a_window_with_both_is_doubted(plan: Planning) -> None:
    with plan.load("/", rate="20/s") as traffic, plan.load("/", rate="20/s", own=False) as others:
        traffic.window("5s")
        with others.recording(), traffic.recording(), plan.inject(abort(503), EDGE):
            pass
        with traffic.recording():
            pass

    assert plan.doubts == ["window 2 of /: an injection begins or ends inside it, so that it shows neither"]


def test_wrong_use_is_wrong_in_a_plan_too(plan: Planning) -> None:
    traffic = plan.load("/", rate="20/s")
    with pytest.raises(ExperimentError, match="does not flow yet"):
        traffic.window("1s")
    with traffic, plan.inject(abort(503), EDGE) as injection:
        with pytest.raises(ExperimentError, match="is still on"):
            traffic.settle(after=injection)
        with pytest.raises(ExperimentError, match="nothing was claimed of it"), traffic.until_decided():
            pass
    with pytest.raises(ExperimentError, match="has ended"):
        traffic.window("1s")
    with pytest.raises(ExperimentError, match="has flowed already"):
        traffic.__enter__()


# -- what it would claim
def test_claims_say_what_they_need_against_what_is_planned(plan: Planning) -> None:
    with plan.load("/", rate="20/s") as traffic:
        steady = traffic.window("10s")
        with plan.inject(delay("2s"), EDGE) as injection:
            during = traffic.window("10s")
            expect(traffic, guard=True).to_succeed(at_least="90%")
            with traffic.until_decided(max="30s") as decided:
                expect(decided).to_succeed(at_least="95%")
                expect(decided.edge(EDGE)).to_time_out_within("1s")
        expect(traffic).to_recover("5s", after=injection)
    expect(during).to_succeed()
    expect(during.hit).to_return(status=200)
    expect(during).not_to_differ_from(steady)

    claims = [(c.claim, c.subject, c.needs, c.planned) for c in plan.told(ClaimPlanned)]
    assert claims == [
        ('to_succeed(at_least="90%"), guard', "<load on />", claims[0][2], None),
        ('to_succeed(at_least="95%")', "window 3 of /", claims[1][2], 600),
        ('to_time_out_within("1s", at_least="95%")', f"{EDGE} in window 3 of /", claims[2][2], 600),
        ('to_recover(within="5s", after=injection)', "<load on />", None, None),
        ('to_succeed(at_least="99%")', "window 2 of /", 299, 200),
        ('to_return(status=200, at_least="99%")', "window 2 of / (hit)", 299, None),
        ("not_to_differ_from(window 1 of /)", "window 2 of /", None, 200),
    ]
    assert [w.at_most for w in plan.told(WindowPlanned)] == [False, False, True]
    assert plan.experiment.ledger.claims == len(claims)
    conclude(plan.experiment)  # something was claimed under the fault
    # 2.5 s of warm-up, windows of 10, 10 and 30 s, 5 s and 10 s for the recovery
    assert [load.seconds for load in plan.told(LoadPlanned)] == [67.5]


@pytest.mark.parametrize(
    "claim",
    [
        lambda traffic, injection: expect(traffic).to_recover("never", after=injection),
        lambda traffic, injection: expect(traffic).to_recover("5s", after=traffic),
        lambda traffic, injection: expect(traffic).to_recover("5s", after=injection, by={"speed": "2%"}),
        lambda traffic, injection: expect(traffic.window("1s")).to_succeed(at_least="200%"),
    ],
    ids=["within", "after", "by", "at_least"],
)
def test_arguments_of_claims_are_checked(plan: Planning, claim: Callable[..., object]) -> None:
    with plan.load("/", rate="20/s") as traffic:
        with plan.inject(delay("2s"), EDGE) as injection:
            pass
        with pytest.raises(InvalidValue):
            claim(traffic, injection)


@pytest.mark.parametrize(
    "read",
    [
        lambda traffic, window, edge: window.requests,
        lambda traffic, window, edge: window.latency("p95"),
        lambda traffic, window, edge: window.evidence,
        lambda traffic, window, edge: window.raw,
        lambda traffic, window, edge: window.hit.errors,
        lambda traffic, window, edge: edge.attempts,
        lambda traffic, window, edge: edge.bystanders,
        lambda traffic, window, edge: expect(window).to_succeed().outcome,
        lambda traffic, window, edge: expect(edge).not_to_retry().summary,
        lambda traffic, window, edge: traffic.requests(0, 1),
        lambda traffic, window, edge: traffic.between(0, 1),
    ],
    ids=[
        "requests",
        "latency",
        "evidence",
        "raw",
        "errors",
        "attempts",
        "bystanders",
        "outcome",
        "summary",
        "requests-of-load",
        "between",
    ],
)
def test_the_first_number_ends_the_plan(plan: Planning, read: Callable[..., object]) -> None:
    with plan.load("/", rate="20/s") as traffic:
        window: Window = traffic.window("1s")
        edge: EdgeWindow = window.edge(EDGE)
        with pytest.raises(PlannedUpToHere):
            read(traffic, window, edge)


def test_a_claim_of_a_plan_has_nothing_else_to_read(plan: Planning) -> None:
    with plan.load("/", rate="20/s") as traffic:
        claim = expect(traffic.window("1s")).to_succeed()

    assert repr(claim) == '<to_succeed(at_least="99%"): planned>'
    with pytest.raises(AttributeError, match="colour"):
        _ = claim.colour


def test_the_real_patience_of_a_caller_is_a_number(plan: Planning) -> None:
    with plan.load("/", rate="20/s", timeout="60s") as traffic, pytest.raises(PlannedUpToHere):
        MeshView(plan.run).effective_timeout(EDGE, traffic)

    assert [told.fault for told in plan.told(InjectionPlanned)] == ["delay 15s"]


# -- what is in the way
def test_an_edge_that_nobody_would_see_is_doubted(plan_of: Callable[..., Planning]) -> None:
    plan = plan_of(Staging, without_reaper=True)
    with plan.load("/", rate="20/s", observe=[EDGE]) as traffic:
        window = traffic.window("5s")
    window.edge(EDGE)
    assert plan.doubts == []

    window.edge("istio-chaos-load -> front")
    (doubt,) = plan.doubts
    assert doubt.startswith("istio-chaos-load -> front in window 1 of /: nobody would see its calls; name it for the load")


def test_without_a_reaper_nothing_would_begin_and_all_is_planned(plan_of: Callable[..., Planning]) -> None:
    plan = plan_of(Staging)

    for _ in range(2):
        with plan.inject(abort(503), EDGE):
            pass

    (refusal,) = plan.experiment.refusals
    assert refusal.startswith(f"{EDGE}: no reaper looks after namespace shop")
    assert plan.doubts == [f"REFUSED, if it were a run: {refusal}"]
    assert len(plan.told(InjectionPlanned)) == 2


def test_who_has_the_callee_is_told(plan_of: Callable[..., Planning]) -> None:
    plan = plan_of(Staging, without_reaper=True)
    lease = plan.mesh.leases.acquire(*LEASE, "fedcba987654", valid=60, about="back.shop.svc.cluster.local")
    with plan.inject(abort(503), EDGE):
        pass
    plan.mesh.leases.release(lease)

    assert len(plan.told(InjectionPlanned)) == 1
    assert plan.doubts[0].startswith(f"{EDGE}: run fedcba987654 has back.shop.svc.cluster.local now")


def test_what_a_dead_run_left_there_is_in_the_way(plan_of: Callable[..., Planning]) -> None:
    plan = plan_of(Staging, without_reaper=True)
    assert isinstance(plan.mesh, Staging)
    plan.mesh.left = (
        {
            "metadata": {
                "namespace": "shop",
                "name": "istio-chaos-fedcba987654-1-stage",
                "labels": {LABEL_MANAGED: "istio-chaos", LABEL_RUN: "fedcba987654"},
                "annotations": {"istio-chaos.dev/lease": "/".join(LEASE)},
            }
        },
    )

    with plan.inject(abort(503), EDGE):
        pass

    (refusal,) = plan.experiment.refusals
    assert refusal.startswith("shop/istio-chaos-fedcba987654-1-stage of run fedcba987654, which had back.shop")


# -- that it does nothing
@pytest.mark.parametrize(
    "write",
    [
        lambda mesh: mesh.apply([]),
        lambda mesh: mesh.delete([]),
        lambda mesh: mesh.set_runtime("shop", "front", "key", "0"),
        lambda mesh: mesh.read_log(mesh.pods()[0], 0),
        lambda mesh: mesh.flush_logs([]),
        lambda mesh: mesh.leases.acquire(*LEASE, "us", valid=1),
        lambda mesh: mesh.leases.renew(None),
        lambda mesh: mesh.leases.release(None),
    ],
    ids=["apply", "delete", "set_runtime", "read_log", "flush_logs", "acquire", "renew", "release"],
)
def test_whoever_writes_to_a_planned_mesh_is_stopped(plan: Planning, write: Callable[[LookedAt], None]) -> None:
    assert isinstance(plan.run.mesh, LookedAt)
    with pytest.raises(AssertionError, match="a plan was about to"):
        write(plan.run.mesh)


def test_nobody_opens_a_plan_as_a_run(shop_topology: Topology, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"open it with Run\.opened"):
        Run(RunOptions(id=new_id(), folder=tmp_path / "run", plan=True), shop_topology)


def test_a_mesh_is_read_once(plan: Planning, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    dumped = plan.mesh.configuration
    monkeypatch.setattr(plan.mesh, "configuration", lambda pod: read.append(pod.id) or dumped(pod))

    for fault in (abort(503), delay("1s")):
        with plan.inject(fault, EDGE):
            pass

    assert read == ["front.shop"]
