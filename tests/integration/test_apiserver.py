"""Is a cluster left as it was found, whatever happens? Runs against a real API server that fails, and whose objects others change.

The server is real (`tests.apiserver`), and so are the proxies. Afterwards everything in it is as it was before, managedFields
included, but for what others changed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaos import abort, clock, delay
from chaos.errors import ChaosError, Forbidden, MeshFailure, Occupied
from chaos.injection.names import lease_name
from chaos.mesh.cluster import client as asking
from chaos.mesh.cluster.kinds import ENVOY_FILTER, LEASE, POD, SERVICE
from chaos.mesh.cluster.leases import ClusterLeases
from chaos.mesh.cluster.mesh import ClusterMesh
from chaos.mesh.port import Resource
from chaos.model.topology import Allow, Choice, Target, Topology
from chaos.run import paths
from chaos.run.journal import left
from chaos.run.run import Run
from tests import cluster_standin
from tests.apiserver.faults import Faults, in_front_of
from tests.apiserver.istiod import DESTINATION_RULE, VIRTUAL_SERVICE
from tests.apiserver.server import CONTEXT, ApiServer, create
from tests.apiserver.world import RULES, World, publish_pod, replace_pod, world
from tests.runs import experiment, opened

ROOT = Path(__file__).parents[2]
PATIENCE = 40.0
EDGE = "web -> store"
RUNNER = """
import sys
from dataclasses import replace
from pathlib import Path
from chaos import delay
from chaos.model.topology import Allow, Choice, Target
from tests.meshes import topology
from tests.runs import experiment, opened

folder, kubeconfig = map(Path, sys.argv[1:])
of_shop = replace(
    topology(folder),
    targets={"test": Target(context="kind-test")},
    allow=Allow(contexts=("kind-*",), namespaces=("shop",), without_reaper=True),
)
with opened(folder, of_shop, "cluster", Choice(target="test", kubeconfig=kubeconfig)) as run:
    while True:
        with experiment(run) as (inject, load, one):
            for side in ("caller", "callee"):
                with inject(delay("2s"), "web -> store", at=side):
                    pass
"""


TOPOLOGY = f"""
entry: {{service: web, namespace: shop, port: 8080}}
targets: {{test: {{context: {CONTEXT}}}}}
allow: {{contexts: [kind-*], namespaces: [shop], without_reaper: true}}
"""
TESTS = """
import pytest
from chaos import delay

@pytest.mark.parametrize("number", range(20))
def test_slow(inject, load, number):
    with load("/", rate="20/s") as traffic:
        for side in ("caller", "callee"):
            with inject(delay("1s"), "web -> store", at=side):
                traffic.window("500ms")
"""


@pytest.fixture(scope="module")
def shop(apiserver: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(apiserver, tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture
def as_before(shop: World) -> Iterator[World]:
    """What is in the cluster after the test is what was there before it."""
    before = shop.objects()
    yield shop
    assert shop.objects() == before
    comes(lambda: not in_force(shop))


def allowed(shop: World) -> Topology:
    allow = Allow(contexts=("kind-*",), namespaces=("shop",), without_reaper=True)
    return replace(shop.topology, targets={"test": Target(context=CONTEXT)}, allow=allow)


@contextmanager
def running(shop: World, folder: Path, *, user: str = "tester", url: str = "") -> Iterator[Run]:
    folder.mkdir(exist_ok=True)
    choice = Choice(target="test", kubeconfig=shop.visit(user, url=url).kubeconfig)
    with opened(folder, allowed(shop), "cluster", choice) as run:
        yield run


def in_force(shop: World) -> bool:
    """Does any proxy hold something of ours?"""
    return any(
        shop.mesh.dump(pod, resource, r".*istio-chaos\..*") or "istio-chaos." in str(shop.mesh.dump(pod, Resource.ROUTES, ".*"))
        for pod in shop.mesh.pods()
        for resource in (Resource.CLUSTERS, Resource.LISTENERS)
    )


def comes(look: Callable[[], object]) -> None:
    assert clock.poll(look, deadline=clock.Deadline.after(PATIENCE), most=0.05)


# -- an API server that fails
@pytest.mark.seeds(2)
def test_every_undo_ends_and_is_proven_though_a_fifth_of_all_calls_fail(
    as_before: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(asking, "ANSWER_WITHIN", 1.0)  # so that a stall is one
    undone = 0
    with in_front_of(as_before.server, seed=seed + 1) as faults, running(as_before, tmp_path, url=faults.url) as run:
        for _ in range(6):
            with experiment(run) as (inject, _, _):
                faults.share = 0.2
                try:
                    injection = inject(abort(503), EDGE, at="callee")
                    injection.__enter__()
                except ChaosError:
                    continue  # an injection may fail; what it had written must go all the same
                injection.undo()
                undone += bool(injection.record.gone)
        faults.share = 0.0
        assert run.failed_undos == []

    assert undone, "no injection came to be"
    assert len(faults.met) > 2, "calls were to fail"


# -- a runner that ends anywhere
@contextmanager
def runner(shop: World, folder: Path, faults: Faults, what: str = "script") -> Iterator[subprocess.Popen[str]]:
    kubeconfig = str(shop.visit(url=faults.url).kubeconfig)
    process = subprocess.Popen(
        by_script(folder, kubeconfig) if what == "script" else by_pytest(folder, kubeconfig),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "XDG_STATE_HOME": str(folder / "state")},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def by_script(folder: Path, kubeconfig: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(RUNNER), str(folder), kubeconfig]


def by_pytest(folder: Path, kubeconfig: str) -> list[str]:
    (folder / "chaos.yaml").write_text(TOPOLOGY)
    (folder / "test_over_and_over.py").write_text(TESTS)
    options = ["--chaos-mesh=cluster", f"--chaos-kubeconfig={kubeconfig}", "-p", "pytest_chaos", "-p", "no:cacheprovider"]
    return [sys.executable, "-m", "pytest", "-q", f"--rootdir={folder}", *options, "test_over_and_over.py"]


def writes(shop: World) -> int:
    return sum(bool(shop.admin.items(kind, "shop")) for kind in (ENVOY_FILTER, LEASE))


@pytest.mark.parametrize("what", ["script", "pytest"])
@pytest.mark.seeds(2)
def test_a_runner_that_is_killed_at_any_call_leaves_nothing(as_before: World, tmp_path: Path, what: str, seed: int) -> None:
    """`pytest`: with load, as people run it; it undoes by itself on SIGTERM."""
    draws = random.Random(f"{what} {seed}" if what == "pytest" else seed)
    number, kind = draws.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV]), draws.randrange(120 if what == "pytest" else 40)
    killed: list[str] = []
    with in_front_of(as_before.server) as faults, runner(as_before, tmp_path, faults, what) as process:
        count = 0

        def seen(_number: int, call: str) -> None:
            nonlocal count
            if call.startswith(("PATCH", "POST", "DELETE")) or count:
                count += 1  # from the first write on, every call is a point at which it may end
                if count > kind and not killed:
                    killed.append(call)
                    process.send_signal(number)

        faults.seen = seen
        process.wait(PATIENCE)
        assert killed, "it ended by itself"
        comes(lambda: not writes(as_before) and not list((tmp_path / "state").rglob("*.journal")))


def test_a_runner_that_slept_longer_than_its_lease_undoes_and_does_no_more(as_before: World, tmp_path: Path) -> None:
    with in_front_of(as_before.server) as faults, runner(as_before, tmp_path, faults) as process:
        comes(lambda: any(o["metadata"]["name"].endswith("-switch") for o in as_before.admin.items(ENVOY_FILTER, "shop")))
        process.send_signal(signal.SIGSTOP)
        as_before.age_leases(60)
        process.send_signal(signal.SIGCONT)

        assert process.wait(PATIENCE) != 0
        comes(lambda: not as_before.admin.items(ENVOY_FILTER, "shop"))
        written = [call for call in faults.calls if call.startswith("PATCH")]
        assert written
        comes(lambda: not list((tmp_path / "state").rglob("*.journal")))
    for lease in as_before.admin.items(LEASE, "shop"):  # not given back by whoever had lost it
        as_before.admin.delete(LEASE, lease["metadata"]["name"], "shop")


# -- others who change things meanwhile
def edit(shop: World, kind: Any, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """As kubectl edit, by somebody else."""
    found = shop.admin.get(kind, name, "shop")
    change(found)
    path = kind.path("shop", name)
    shop.admin.call("PUT", path, body=found, query={"fieldManager": "somebody"})


class Others:
    """What owners, controllers and the control plane itself do meanwhile; what they did is remembered."""

    def __init__(self, shop: World, draws: random.Random) -> None:
        self._shop = shop
        self._draws = draws
        self.timeout, self.connections, self.colour = "5s", 100, ""
        self.edited: set[tuple[str, str]] = set()

    def actions(self) -> list[Callable[[], None]]:
        return [
            self.route, self.rule, self.service, self.ours_is_gone, self.ours_is_edited,
            self.pod_is_replaced, self.istiod_lags, self.istiod_refuses, self.istiod_is_away,
        ]  # fmt: skip

    def route(self) -> None:
        self.timeout = f"{self._draws.randint(3, 9)}s"
        self._edit(VIRTUAL_SERVICE, lambda o: o["spec"]["http"][0].update(timeout=self.timeout))

    def rule(self) -> None:
        self.connections = self._draws.randint(50, 500)
        pool = {"connectionPool": {"tcp": {"maxConnections": self.connections}}}
        self._edit(DESTINATION_RULE, lambda o: o["spec"].update(trafficPolicy=pool))

    def service(self) -> None:
        self.colour = self._draws.choice(["red", "green", "blue"])
        self._edit(SERVICE, lambda o: o["metadata"].setdefault("labels", {}).update(colour=self.colour))

    def ours_is_gone(self) -> None:
        if found := self._shop.admin.items(ENVOY_FILTER, "shop"):
            self._shop.admin.delete(ENVOY_FILTER, self._draws.choice(found)["metadata"]["name"], "shop")

    def ours_is_edited(self) -> None:
        if found := self._shop.admin.items(ENVOY_FILTER, "shop"):
            name = self._draws.choice(found)["metadata"]["name"]
            edit(self._shop, ENVOY_FILTER, name, lambda o: o["spec"].update(priority=self._draws.randint(1, 9)))

    def pod_is_replaced(self) -> None:
        pod = self._draws.choice([pod for pod in self._shop.mesh.pods() if pod.workload == "store"])
        replace_pod(self._shop.admin, pod, cluster_standin._pod(pod, self._shop.kubelet.version))

    def istiod_lags(self) -> None:
        self._shop.istiod.lag = self._draws.choice([0.005, 0.3, 1.0])

    def istiod_refuses(self) -> None:
        """In the name of the proxies, until the next thing happens."""
        self._shop.istiod.refuses = True

    def istiod_is_away(self) -> None:
        self._shop.istiod.die()

    def rest(self) -> None:
        """Whatever was refused or missed is delivered: an undo is as patient as that takes."""
        self._shop.istiod.refuses = False
        self._shop.istiod.revive()

    def _edit(self, kind: Any, change: Callable[[dict[str, Any]], None]) -> None:
        self.edited.add((kind.name, "store"))
        edit(self._shop, kind, "store", change)


@pytest.mark.seeds(2)
def test_what_others_change_meanwhile_survives_and_nothing_of_ours_stays(
    shop: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(paths, "IN_FORCE_WITHIN", 2.0)  # of staging that is refused, and of each try of an undo
    draws = random.Random(seed)
    others, before = Others(shop, draws), shop.objects()
    with running(shop, tmp_path) as run:
        for _ in range(3):
            with experiment(run) as (inject, _, _), ExitStack() as on:
                on.callback(others.rest)
                for action in draws.sample([*others.actions(), None, None, None], 7):
                    others.rest()
                    if action is not None:
                        action()
                    if action is None or draws.random() < 0.5:
                        with suppress(ChaosError):  # refused or ended: others were faster
                            fault, side = draws.choice([abort(503), delay("1s")]), draws.choice(["caller", "callee"])
                            on.enter_context(closing(_Undone(inject(fault, EDGE, at=side))))
                others.rest()
        shop.istiod.lag = 0.005

    after = shop.objects()
    assert after.keys() == before.keys()
    untouched = {key: an_object for key, an_object in before.items() if key not in others.edited}
    assert {key: after[key] for key in untouched} == untouched
    route, rule, service = (after[kind.name, "store"] for kind in (VIRTUAL_SERVICE, DESTINATION_RULE, SERVICE))
    assert route["spec"]["http"][0]["timeout"] == (
        others.timeout if route != before[VIRTUAL_SERVICE.name, "store"] else theirs(before)
    )
    if (DESTINATION_RULE.name, "store") in others.edited:
        assert rule["spec"]["trafficPolicy"]["connectionPool"]["tcp"]["maxConnections"] == others.connections
    assert service["metadata"].get("labels", {}).get("colour", "") in (
        others.colour,
        before[SERVICE.name, "store"]["metadata"].get("labels", {}).get("colour", ""),
    )
    managers = {entry["manager"] for an_object in after.values() for entry in an_object["metadata"]["managedFields"]}
    assert managers <= {"owner", "somebody"}
    comes(lambda: not in_force(shop))
    assert keys_in_runtimes(shop) == []


def theirs(objects: dict[tuple[str, str], dict[str, Any]]) -> str:
    return str(objects[VIRTUAL_SERVICE.name, "store"]["spec"]["http"][0]["timeout"])


class _Undone:
    """An injection that is on until it is closed."""

    def __init__(self, injection: Any) -> None:
        self._injection = injection
        injection.__enter__()

    def close(self) -> None:
        self._injection.undo()


# -- a control plane that is away
def test_faults_end_by_the_runtime_of_their_proxies_while_istiod_is_away(
    as_before: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects that are deleted change nothing then. The proxies' own switch does, and is taken back when istiod is there again."""
    monkeypatch.setattr(paths, "LATE", 0.2)
    with running(as_before, tmp_path) as run, experiment(run) as (inject, load, _):
        with load("/", rate="50/s", timeout="5s") as traffic:
            injection = inject(abort(503), "-> web", at="callee")
            injection.__enter__()
            try:
                assert traffic.window("300ms").raw.error_share == 1
                as_before.istiod.die()
                with ThreadPoolExecutor(1) as pool:
                    ended = pool.submit(injection.undo)
                    comes(lambda: keys_in_runtimes(as_before))
                    silenced = clock.now()
                    comes(lambda: len(traffic.requests(silenced, clock.now())) >= 10)
                    assert set(traffic.requests(silenced, clock.now())["status"]) == {200}
                    assert not ended.done()
                    as_before.istiod.revive()
                    ended.result(PATIENCE)
            finally:
                as_before.istiod.revive()
        assert injection.record.gone
        assert keys_in_runtimes(as_before) == []
        journal = left(run.journal.path)
        assert journal.silenced == []
    assert run.failed_undos == []


def keys_in_runtimes(shop: World) -> list[str]:
    """Of ours, at any proxy."""
    pods = [pod for pod in shop.mesh.pods() if pod.proxy]
    entries = [json.loads(shop.mesh._of(pod).admin.ask("/runtime"))["entries"] for pod in pods]
    return [key for found in entries for key in found if key.startswith("istio-chaos.")]


# -- two at once, and who may not
def test_two_runs_meet_at_a_callee_and_nowhere_else(as_before: World, tmp_path: Path) -> None:
    with (
        running(as_before, tmp_path / "one") as first,
        running(as_before, tmp_path / "two") as second,
        experiment(first) as (inject, _, _),
        experiment(second) as (also, _, _),
        also(abort(503), "istio-chaos-load -> web", at="callee"),
        inject(abort(503), EDGE, at="callee"),
        pytest.raises(Occupied, match=first.id),
        also(abort(503), EDGE, at="callee"),
    ):
        pass


def test_who_has_no_rights_is_told_which_and_changes_nothing(as_before: World, tmp_path: Path) -> None:
    with pytest.raises(Forbidden, match=r'Add to a Role in shop: \{apiGroups: \[""\], resources: \[pods\], verbs: \[list\]\}'):
        ClusterMesh.visit(as_before.visit("nobody"))

    reading = [{**rule, "verbs": [verb for verb in rule["verbs"] if verb not in ("patch",)]} for rule in RULES]
    as_before.grant("nobody", reading)
    told = r"we may not patch envoyfilters.*Add to a Role in shop: .*resources: \[envoyfilters\], verbs: \[patch\]"
    with pytest.raises(MeshFailure, match=told), running(as_before, tmp_path, user="nobody"):
        pass


# -- what cannot be injected on
GHOSTS = """
apiVersion: v1
kind: Service
metadata: {name: ghost, namespace: shop}
spec: {selector: {app: ghost}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: raw, namespace: shop}
spec: {selector: {app: store}, ports: [{name: tcp, port: 7001}]}
---
apiVersion: v1
kind: Service
metadata: {name: bare, namespace: shop}
spec: {selector: {app: bare}, ports: [{name: http, port: 80}]}
"""
REFUSED = {
    "web -> ghost": "the caller's proxy has no route to ghost.shop.svc.cluster.local:80",
    "web -> raw": "no port of raw.shop.svc.cluster.local carries HTTP (7001 is TCP)",
    "bare -> store": "has no sidecar",
    "web -> stor": 'no service "stor" in namespace shop; did you mean "store"?',
    "web -> store": "is under test by run 0123456789ab, which renewed its lease",
}


def test_what_cannot_be_injected_on_is_said_and_nothing_is_changed(shop: World, tmp_path: Path) -> None:
    """Also a callee that another run has, which is alive."""
    made = [dict(each) for each in yaml.safe_load_all(GHOSTS)]
    for service in made:
        create(shop.admin, SERVICE, service)
    bare = cluster_standin._pod(next(pod for pod in shop.mesh.pods() if pod.workload == "web"), shop.kubelet.version)
    bare["metadata"].update(name="bare-1", labels={"app": "bare"})
    bare["spec"]["containers"] = [{"name": "app"}]
    publish_pod(shop.admin, bare)
    leases = ClusterLeases(shop.admin, ("shop",))
    other = leases.acquire("shop", lease_name("store.shop.svc.cluster.local"), "0123456789ab", valid=600)
    before = shop.objects()
    tests = "\n".join(
        f"def test_{number}(inject):\n    with inject(abort(503), {edge!r}, at='caller'): raise AssertionError('it is on')"
        for number, edge in enumerate(REFUSED)
    )
    (tmp_path / "chaos.yaml").write_text(TOPOLOGY)
    (tmp_path / "test_refused.py").write_text(f"from chaos import abort\n{tests}\n")
    try:
        done = subprocess.run(
            [*by_pytest(tmp_path, str(shop.visit().kubeconfig))[:-1], "--chaos-lease-timeout=0", "-rN", "test_refused.py"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "XDG_STATE_HOME": str(tmp_path / "state")},
            capture_output=True,
            text=True,
            timeout=120,
        )
        after = shop.objects()
    finally:
        leases.release(other)
        shop.admin.call("DELETE", POD.path("shop", "bare-1"), body={"gracePeriodSeconds": 0})
        for service in made:
            shop.admin.delete(SERVICE, service["metadata"]["name"], "shop")

    assert done.returncode == 1, done.stdout
    for edge, said in REFUSED.items():
        assert said in done.stdout, (edge, done.stdout)
    assert after == before
