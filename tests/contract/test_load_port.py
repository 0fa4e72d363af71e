"""What may a run expect of any load generator? Everything `chaos.load.port` promises, on real and fake ones alike.

To put another generator under the contract, add a factory to SUBJECTS: a context manager that yields the generator and
requests that succeed on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from chaos.clock import NS, Deadline, now, poll
from chaos.errors import InvalidValue, LoadFailure
from chaos.load.locust import LocustGenerator
from chaos.load.port import ClosedModel, Flow, Generator, LoadPlan, OpenModel, Requests, Script
from chaos.model.marks import Mark
from chaos.testing.load import FakeGenerator
from chaos.testing.mesh import FakeMesh
from tests.meshes import topology
from tests.origin import Origin

PATIENCE = 10.0
Subject = tuple[Generator, Requests]


@contextmanager
def locust(folder: Path) -> Iterator[Subject]:
    with Origin() as origin, closing(LocustGenerator(folder)) as generator:
        yield generator, origin.requests("/ok")


@contextmanager
def fake(folder: Path) -> Iterator[Subject]:
    with closing(FakeMesh(topology(folder))) as mesh, closing(FakeGenerator(mesh)) as generator:
        yield generator, Requests(url=f"{mesh.address().url}/ok")


SUBJECTS: dict[str, Callable[[Path], AbstractContextManager[Subject]]] = {"locust": locust, "fake": fake}


@pytest.fixture(scope="module")
def long_lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    """One Locust for all tests of this module, as a run has one."""
    with locust(tmp_path_factory.mktemp("locust")) as subject:
        yield subject


@pytest.fixture(params=SUBJECTS)
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    if request.param == "locust":
        yield request.getfixturevalue("long_lived")
        return
    with SUBJECTS[request.param](tmp_path) as subject:  # whose time must not outlive the test
        yield subject


@pytest.fixture
def start(subject: Subject) -> Iterator[Callable[..., Flow]]:
    """Starts a flow of the subject's requests; it is stopped at the end."""
    generator, what = subject
    flows: list[Flow] = []

    def start(model: OpenModel | ClosedModel) -> Flow:
        flows.append(generator.start(plan(what, model, load=len(flows))))
        return flows[-1]

    yield start
    for flow in flows:
        flow.stop()


def plan(what: Requests | Script, model: OpenModel | ClosedModel, *, load: int = 0, timeout: float = 5.0) -> LoadPlan:
    return LoadPlan(what=what, model=model, timeout=timeout, mark=Mark("0123456789ab", 1).flow(load))


def until_ended(flow: Flow, count: int) -> None:
    assert poll(lambda: len(flow.samples()) >= count, deadline=Deadline.after(PATIENCE)), len(flow.samples())


@pytest.mark.parametrize("rate", [100.0, 33.3])
def test_even_arrivals_are_scheduled_by_arithmetic(start: Callable[..., Flow], rate: float) -> None:
    flow = start(OpenModel(rate))
    until_ended(flow, 10)
    flow.stop()
    samples = flow.samples()

    assert list(samples["sequence"]) == list(range(len(samples)))
    assert list(samples["scheduled"]) == [flow.started + int(i * NS / rate) for i in range(len(samples))]


def test_poisson_arrivals_follow_the_seed(start: Callable[..., Flow]) -> None:
    flows = [start(OpenModel(200.0, "poisson", seed)) for seed in (7, 7, 8)]
    for flow in flows:
        until_ended(flow, 20)
        flow.stop()
    one, same, other = ([at - flow.started for at in flow.samples()["scheduled"][:20]] for flow in flows)

    assert one == same
    assert one != other
    assert len({b - a for a, b in pairwise(one)}) == 19


def test_what_is_planned_is_counted_in_half_open_stretches(start: Callable[..., Flow]) -> None:
    flow = start(OpenModel(100.0))
    period = NS // 100

    assert flow.scheduled(flow.started, flow.started + period) == 1
    assert flow.scheduled(flow.started, flow.started + period + 1) == 2
    assert flow.scheduled(flow.started - NS, flow.started) == 0
    assert flow.scheduled(flow.started, flow.started + 10 * NS) == 1000
    assert flow.scheduled(flow.started + NS, flow.started) == 0


@pytest.mark.parametrize("model", [OpenModel(200.0), OpenModel(200.0, "poisson", 1)], ids=str)
def test_the_plan_knows_every_arrival(start: Callable[..., Flow], model: OpenModel) -> None:
    flow = start(model)
    until = flow.started + NS // 5
    assert poll(lambda: flow.resolved(until), deadline=Deadline.after(PATIENCE))
    seen = flow.samples().between(flow.started, until)

    assert flow.planned(flow.started, until) == list(zip(seen["sequence"], seen["scheduled"], strict=True))
    assert flow.planned(seen["scheduled"][3], until) == flow.planned(flow.started, until)[3:]


def test_users_have_no_plan(start: Callable[..., Flow]) -> None:
    flow = start(ClosedModel(2))
    until_ended(flow, 5)

    assert flow.planned(flow.started, now()) == []


@pytest.mark.parametrize("model", [OpenModel(200.0), OpenModel(200.0, "poisson", 1), ClosedModel(3)], ids=str)
def test_a_resolved_stretch_has_a_record_of_every_request(start: Callable[..., Flow], model: OpenModel | ClosedModel) -> None:
    flow = start(model)
    until = flow.started + NS // 5
    assert poll(lambda: flow.resolved(until), deadline=Deadline.after(PATIENCE))
    seen = flow.samples().between(flow.started, until)

    assert len(seen) == flow.scheduled(flow.started, until) > 0
    assert {(status, error) for status, error in zip(seen["status"], seen["error"], strict=True)} == {(200, 0)}
    assert all(a <= b <= c for a, b, c in zip(seen["scheduled"], seen["sent"], seen["ended"], strict=True))


@pytest.mark.parametrize("model", [OpenModel(50.0), ClosedModel(2)], ids=str)
def test_the_future_is_not_resolved(start: Callable[..., Flow], model: OpenModel | ClosedModel) -> None:
    flow = start(model)

    assert not flow.resolved(now() + 10 * NS)


@pytest.mark.parametrize("model", [OpenModel(200.0), ClosedModel(3)], ids=str)
def test_nothing_is_scheduled_after_a_stop(start: Callable[..., Flow], model: OpenModel | ClosedModel) -> None:
    flow = start(model)
    until_ended(flow, 5)
    flow.stop()
    flow.stop()
    ever = now() + 3600 * NS

    assert flow.resolved(ever)
    assert flow.scheduled(0, ever) == len(flow.samples()) >= 5
    flow.check()


def test_users_ask_again_after_their_answer(start: Callable[..., Flow]) -> None:
    flow = start(ClosedModel(2))
    until_ended(flow, 20)
    flow.stop()
    samples = flow.samples()

    assert list(samples["sequence"]) == list(range(len(samples)))
    assert samples["scheduled"] == samples["sent"]
    assert flow.started == samples["scheduled"][0]
    # Two users: of any three requests in a row, the first had ended before the third began.
    ended = sorted(samples["ended"])
    assert all(begun >= ended[i] for i, begun in enumerate(samples["scheduled"][2:]))


def test_samples_are_a_value(start: Callable[..., Flow]) -> None:
    flow = start(OpenModel(200.0))
    until_ended(flow, 5)
    early = flow.samples()
    count, columns = len(early), {name: list(column) for name, column in early.columns.items()}
    until_ended(flow, count + 5)

    assert {name: list(column) for name, column in early.columns.items()} == columns
    later = flow.samples()
    assert list(later["scheduled"]) == sorted(later["scheduled"])
    assert set(columns["sequence"]) <= set(later["sequence"])


def test_flows_do_not_mix(start: Callable[..., Flow]) -> None:
    slow, fast = start(OpenModel(20.0)), start(OpenModel(200.0))
    until_ended(fast, 20)
    fast.stop()
    until_ended(slow, 3)
    slow.stop()

    for flow in (slow, fast):
        assert list(flow.samples()["sequence"]) == list(range(flow.scheduled(0, now())))


@pytest.mark.parametrize(
    ("model", "timeout", "names"),
    [
        (OpenModel(0.0), 1.0, "rate"),
        (OpenModel(-5.0), 1.0, "rate"),
        (OpenModel(float("inf")), 1.0, "rate"),
        (ClosedModel(0), 1.0, "user"),
        (OpenModel(1.0), 0.0, "timeout"),
        (OpenModel(1.0), float("nan"), "timeout"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(subject: Subject, model: OpenModel | ClosedModel, timeout: float, names: str) -> None:
    generator, what = subject
    with pytest.raises(InvalidValue, match=names):
        generator.start(plan(what, model, timeout=timeout))


def test_a_locustfile_takes_no_rate(subject: Subject, tmp_path: Path) -> None:
    generator, _ = subject
    script = Script(file=tmp_path / "shop.py", user=None, host="http://127.0.0.1:1")
    with pytest.raises(InvalidValue, match=r"shop\.py .* users="):
        generator.start(plan(script, OpenModel(1.0)))


def test_a_missing_locustfile_is_named(subject: Subject, tmp_path: Path) -> None:
    generator, _ = subject
    script = Script(file=tmp_path / "shop.py", user=None, host="http://127.0.0.1:1")
    with pytest.raises(InvalidValue, match=r"shop\.py"):
        generator.start(plan(script, ClosedModel(1)))


@pytest.mark.parametrize("make", SUBJECTS.values(), ids=SUBJECTS)
def test_a_closed_generator_sends_no_more(make: Callable[[Path], AbstractContextManager[Subject]], tmp_path: Path) -> None:
    with make(tmp_path) as (generator, what):
        flow = generator.start(plan(what, OpenModel(100.0)))
        until_ended(flow, 3)
        flow.check()
        generator.close()
        generator.close()
        count = len(flow.samples())

        with pytest.raises(LoadFailure):
            flow.check()
        flow.stop()
        assert len(flow.samples()) == count
