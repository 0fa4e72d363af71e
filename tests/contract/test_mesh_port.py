"""What may a run expect of any mesh? Everything `chaos.mesh.port` promises, on real and fake ones alike.

To put another mesh under the contract, add a factory to SUBJECTS: a context manager that yields the mesh of `tests.meshes` and a
function that sends one request to its entry with a traceparent header, and returns when it was answered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chaos import clock
from chaos.clock import Deadline, poll
from chaos.errors import Conflict, LeaseLost, Occupied, Unreachable
from chaos.injection.names import STOP
from chaos.mesh.cluster import kinds
from chaos.mesh.cluster.mesh import ClusterMesh, Visit
from chaos.mesh.leases import TableLeases
from chaos.mesh.local.mesh import LocalMesh
from chaos.mesh.port import Mesh, Pod, Resource, Service
from chaos.testing.mesh import FakeMesh
from chaos.testing.system import Question
from tests.apiserver.server import ApiServer
from tests.apiserver.world import world
from tests.cluster_standin import Cluster, standing
from tests.meshes import addition, envoy_filter, get, route_in_front, topology

PATIENCE = 10.0
TRACE = "0123456789ab00010001{:012x}"
STORE = "store.shop.svc.cluster.local"
ROUTE = f"{STORE}:80"


@dataclass(frozen=True, slots=True)
class Subject:
    mesh: Mesh
    send: Callable[[str], None]
    stop: Callable[[str], None]
    """Set the stop switch with this reason; empty takes it away."""
    later: Callable[[float], None]
    """By the clock of its leases so many seconds pass."""

    def pod(self, workload: str) -> Pod:
        return next(pod for pod in self.mesh.pods() if pod.workload == workload)

    def service(self, name: str) -> Service:
        return next(service for service in self.mesh.services() if service.name == name)

    def route_names(self, pod: Pod) -> list[str]:
        """Of the virtual host of `store`, as the proxy shows it."""
        found = self.mesh.dump(pod, Resource.ROUTES, ".*")
        return [r.get("name", "") for c in found for h in c["virtual_hosts"] if h["name"] == ROUTE for r in h["routes"]]

    def comes(self, look: Callable[[], bool]) -> None:
        assert poll(look, deadline=Deadline.after(PATIENCE))


def later(mesh: Mesh) -> Callable[[float], None]:
    """Its leases are in a table, whose clock can be put forward."""
    leases = mesh.leases
    assert isinstance(leases, TableLeases)

    def pass_by(seconds: float) -> None:
        now = leases.now
        leases.now = lambda: now() + int(seconds * clock.NS)

    return pass_by


@contextmanager
def local(folder: Path) -> Iterator[Subject]:
    switch = folder / "stop"
    mesh = LocalMesh.start(topology(folder), folder=folder / "mesh", run="0123456789ab", spawned=lambda *_: None, stop=switch)

    def send(trace: str) -> None:
        assert get(mesh.address(), "/echo", traceparent=f"00-{trace}-0123456789abcdef-01")[0] == 200

    with closing(mesh):
        yield Subject(mesh, send, lambda reason: switch.write_text(reason) and None if reason else switch.unlink(), later(mesh))


@contextmanager
def fake(folder: Path) -> Iterator[Subject]:
    mesh = FakeMesh(topology(folder))

    def send(trace: str) -> None:
        pod, service, port = mesh.entry
        asked = Question(trace=trace, headers={"traceparent": f"00-{trace}-0123456789abcdef-01"})
        mesh.system.begin(clock.now(), mesh.system.call(mesh.system.proxies[pod.id], service.host, port, asked))
        clock.pause(1)

    with closing(mesh):
        yield Subject(mesh, send, lambda reason: setattr(mesh, "stop", reason), later(mesh))


@contextmanager
def cluster(folder: Path) -> Iterator[Subject]:
    """The adapter, over a stand-in for API server, istiod and kubelet."""
    of_shop, kubeconfig = topology(folder), folder / "kubeconfig"
    visit = Visit(context="kind-test", namespace="shop", entry=of_shop.entry, allowed=("shop",), kubeconfig=kubeconfig)
    with (
        closing(LocalMesh.start(of_shop, folder=folder / "mesh", run="0123456789ab", spawned=lambda *_: None)) as real,
        standing(Cluster(real), kubeconfig) as stood,
        closing(ClusterMesh.visit(visit)) as mesh,
    ):

        def send(trace: str) -> None:
            assert get(mesh.address(), "/echo", traceparent=f"00-{trace}-0123456789abcdef-01")[0] == 200

        def stop(reason: str) -> None:
            switch = {"kind": "ConfigMap", "metadata": {"namespace": "shop", "name": STOP}, "data": {"reason": reason}}
            stood.keep(switch) if reason else stood.kept.clear()

        yield Subject(mesh, send, stop, lambda seconds: setattr(stood, "ahead", stood.ahead + seconds))


@contextmanager
def real_cluster(server: ApiServer, folder: Path) -> Iterator[Subject]:
    """The adapter over a real API server; only istiod and kubelet are stood in for."""
    with world(server, folder) as made, closing(ClusterMesh.visit(made.visit())) as mesh:
        made.grant("tester", namespace="elsewhere")

        def send(trace: str) -> None:
            assert get(mesh.address(), "/echo", traceparent=f"00-{trace}-0123456789abcdef-01")[0] == 200

        def stop(reason: str) -> None:
            if reason:
                made.admin.create({**CONFIG_MAP, "metadata": {"namespace": "shop", "name": STOP}, "data": {"reason": reason}})
            else:
                made.admin.delete(kinds.CONFIG_MAP, STOP, "shop")

        yield Subject(mesh, send, stop, made.age_leases)


CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap"}
SUBJECTS: dict[str, Callable[[Path], AbstractContextManager[Subject]]] = {"local": local, "cluster": cluster, "fake": fake}
REAL = "apiserver"


@pytest.fixture(scope="module", params=[*SUBJECTS, pytest.param(REAL, marks=pytest.mark.apiserver)])
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    folder = tmp_path_factory.mktemp(request.param)
    make = SUBJECTS.get(request.param) or partial(real_cluster, request.getfixturevalue("apiserver"))
    with make(folder) as subject:
        yield subject


@pytest.fixture(scope="module")
def mesh(subject: Subject) -> Mesh:
    return subject.mesh


@pytest.fixture
def apply(mesh: Mesh) -> Iterator[Callable[..., None]]:
    """Applies; takes away again what is left at the end."""
    yield lambda *objects: mesh.apply(objects)
    mesh.delete([(o["metadata"]["namespace"], o["metadata"]["name"]) for o in mesh.ours()])


# -- who is there
def test_services_are_told_with_ports_and_protocols(subject: Subject) -> None:
    store = subject.service("store")

    assert (store.host, store.namespace, store.selector) == (STORE, "shop", {"app": "store"})
    assert [(p.number, p.name, p.protocol, p.http, p.http2) for p in store.ports] == [
        (80, "http", "HTTP", True, False),
        (7000, "tcp-raw", "TCP", False, False),
    ]


def test_pods_are_told_with_what_selects_them(mesh: Mesh) -> None:
    pods = {pod.id: pod for pod in mesh.pods()}

    assert pods.keys() == {"web.shop", "store-0.shop", "store-1.shop", "istio-chaos-load.shop"}
    assert {pods[f"store-{n}.shop"].workload for n in (0, 1)} == {"store"}
    assert pods["web.shop"].version == "v1"
    assert len({pod.ip for pod in pods.values()}) == 4
    assert all(pod.proxy and not pod.gateway for pod in pods.values())


def test_the_entry_is_a_pod_and_a_service_of_the_mesh(mesh: Mesh) -> None:
    pod, service, port = mesh.entry

    assert pod in mesh.pods()
    assert service in mesh.services()
    assert (pod.workload, service.name, port) == ("istio-chaos-load", "web", 8080)
    assert mesh.default_namespace == "shop"


def test_load_has_an_address_for_the_entry_and_for_any_service(subject: Subject) -> None:
    entry, other = subject.mesh.address(), subject.mesh.address(subject.service("store"))

    assert subject.mesh.address(subject.service("web"), 8080) == entry
    assert entry.url.startswith("http://")
    assert entry != other


# -- what a proxy holds
def test_a_configuration_is_whole(subject: Subject) -> None:
    configuration = subject.mesh.configuration(subject.pod("web"))

    (host,) = [h for routes in configuration.routes for h in routes["virtual_hosts"] if h["name"] == ROUTE]
    (route,) = host["routes"]
    assert (route["name"], route["route"]["timeout"]) == ("all", "5s")
    assert configuration.cluster(route["route"]["cluster"]) is not None
    (assignment,) = [e for e in configuration.endpoints if e["cluster_name"] == route["route"]["cluster"]]
    found = [e["endpoint"]["address"]["socket_address"] for loc in assignment["endpoints"] for e in loc["lb_endpoints"]]
    stores = {pod.ip for pod in subject.mesh.pods() if pod.workload == "store"}
    assert {(address["address"], address["port_value"]) for address in found} == {(ip, 9000) for ip in stores}


@pytest.mark.parametrize(
    ("resource", "names"),
    [
        (Resource.CLUSTERS, lambda c: [r["name"] for r in c.clusters]),
        (Resource.LISTENERS, lambda c: [r["name"] for r in c.listeners]),
        (Resource.ROUTES, lambda c: [r["name"] for r in c.routes]),
    ],
    ids=["clusters", "listeners", "routes"],
)
def test_a_dump_has_what_matches_the_whole_name(subject: Subject, resource: Resource, names: Callable[[Any], list[str]]) -> None:
    pod = subject.pod("web")
    configuration = subject.mesh.configuration(pod)

    def dumped(pattern: str) -> list[str]:
        return sorted(r["name"] for r in subject.mesh.dump(pod, resource, pattern))

    assert dumped(".*") == sorted(names(configuration))
    first = names(configuration)[0]
    assert dumped("".join(c if c.isalnum() else f"[{c}]" for c in first)) == [first]
    assert dumped(first[:-1] if first[:-1].isalnum() else "x") == []


def test_hosts_are_the_endpoints_of_a_cluster(subject: Subject) -> None:
    hosts = subject.mesh.hosts(subject.pod("web"), f"outbound|80|v1|{STORE}")

    stores = {f"{pod.ip}:9000" for pod in subject.mesh.pods() if pod.workload == "store"}
    assert {host.address for host in hosts} == stores
    assert not any(host.ejected for host in hosts)
    assert list(subject.mesh.hosts(subject.pod("web"), "no-such-cluster")) == []


def test_counters_are_numbers_and_the_unknown_is_absent(subject: Subject) -> None:
    assert all(isinstance(value, int) for value in subject.mesh.counters(subject.pod("web"), "upstream_rq_total").values())
    assert subject.mesh.counters(subject.pod("web"), "^no_such_statistic$") == {}


def test_a_pod_that_is_not_there_cannot_be_asked(subject: Subject) -> None:
    gone = replace(subject.pod("web"), name="wob")

    for ask in (
        lambda: subject.mesh.configuration(gone),
        lambda: subject.mesh.dump(gone, Resource.ROUTES, ".*"),
        lambda: subject.mesh.counters(gone, "x"),
        lambda: subject.mesh.read_log(gone, 0),
    ):
        with pytest.raises(Unreachable, match=r"wob\.shop.*\"web\.shop\""):
            ask()


# -- the runtime of a proxy
def test_keys_of_a_runtime_are_set_and_taken_away(mesh: Mesh) -> None:
    mesh.set_runtime("shop", "web", "istio-chaos.t.1.max_active_faults", "0")
    mesh.set_runtime("shop", "web", "istio-chaos.t.1.max_active_faults", "")


def test_a_pod_that_has_gone_took_its_runtime_and_its_listeners_along(mesh: Mesh) -> None:
    mesh.set_runtime("shop", "wob", "istio-chaos.t.1.max_active_faults", "0")

    assert not mesh.listens("shop", "wob", ".*")


def test_listeners_are_known_by_their_whole_name(subject: Subject) -> None:
    web = subject.pod("web")
    name = subject.mesh.dump(web, Resource.LISTENERS, ".*")[0]["name"]

    assert subject.mesh.listens(web.namespace, web.name, re.escape(name))
    assert not subject.mesh.listens(web.namespace, web.name, re.escape(name[:-1]))


# -- objects of ours
def test_an_object_comes_into_force_at_the_proxies_it_selects_and_nowhere_else(
    subject: Subject, apply: Callable[..., None]
) -> None:
    web, others = subject.pod("web"), [pod for pod in subject.mesh.pods() if pod.workload != "web"]
    before = subject.mesh.configuration(web)

    apply(envoy_filter("one", route_in_front(ROUTE, "istio-chaos.t.1", direct_response={"status": 418})))

    subject.comes(lambda: subject.route_names(web) == ["istio-chaos.t.1", "all"])
    assert [o["metadata"]["name"] for o in subject.mesh.ours()] == ["one"]
    assert [subject.route_names(pod) for pod in others] == [["all"]] * len(others)

    subject.mesh.delete([("shop", "one")])
    subject.comes(lambda: subject.mesh.configuration(web) == before)
    assert list(subject.mesh.ours()) == []


def test_what_was_sent_is_what_is_dumped(subject: Subject, apply: Callable[..., None]) -> None:
    sent = {
        "name": "istio-chaos.t.2",
        "match": {"prefix": "/", "headers": [{"name": "traceparent", "string_match": {"prefix": "00-0123"}}]},
        "route": {"cluster": "nowhere", "timeout": "0s"},
        "request_headers_to_add": [{"header": {"key": "x-a", "value": "b"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
    }
    web = subject.pod("web")
    action = {key: value for key, value in sent.items() if key not in ("name", "match")}
    patch = route_in_front(ROUTE, "istio-chaos.t.2", **action)
    patch["patch"]["value"]["match"] = sent["match"]

    apply(envoy_filter("two", patch))
    subject.comes(lambda: "istio-chaos.t.2" in subject.route_names(web))

    found = [h for r in subject.mesh.dump(web, Resource.ROUTES, ".*") for h in r["virtual_hosts"] if h["name"] == ROUTE]
    assert found[0]["routes"][0] == sent


def test_an_object_of_the_same_name_replaces_the_other(subject: Subject, apply: Callable[..., None]) -> None:
    def switch(route: str) -> Mapping[str, Any]:
        return envoy_filter("switch", route_in_front(ROUTE, route, direct_response={"status": 418}))

    apply(switch("istio-chaos.t.3"))
    apply(switch("istio-chaos.t.4"))

    subject.comes(lambda: subject.route_names(subject.pod("web")) == ["istio-chaos.t.4", "all"])
    assert len(subject.mesh.ours()) == 1


def test_clusters_come_and_go_with_their_object(subject: Subject, apply: Callable[..., None]) -> None:
    web = subject.pod("web")
    cluster = {"name": "istio-chaos.t.5", "type": "STATIC", "connect_timeout": "1s"}

    def held() -> Sequence[Mapping[str, Any]]:
        return subject.mesh.dump(web, Resource.CLUSTERS, r"istio-chaos\..*")

    apply(envoy_filter("stage", addition("CLUSTER", cluster)))
    subject.comes(lambda: list(held()) == [cluster])
    subject.mesh.delete([("shop", "stage")])
    subject.comes(lambda: not held())


def test_removing_what_is_not_there_is_no_error(mesh: Mesh) -> None:
    mesh.delete([("shop", "never-applied"), ("elsewhere", "x")])

    assert list(mesh.ours()) == []


# -- who may touch what
@pytest.fixture
def lease(mesh: Mesh) -> Iterator[str]:
    """A name for a lease; what is held of it at the end is released."""
    yield "istio-chaos.store"
    for held in mesh.leases.all():
        mesh.leases.release(held)


def test_one_has_it_and_has_it_again_and_others_are_told_who(mesh: Mesh, lease: str) -> None:
    mesh.leases.acquire("shop", lease, "run-a", valid=20, about=STORE)
    again = mesh.leases.acquire("shop", lease, "run-a", valid=20, about=STORE)

    assert (again.holder, again.about, again.alive) == ("run-a", STORE, True)
    with pytest.raises(Occupied, match=rf"{STORE} is under test by run run-a, which renewed its lease shop/{lease} [01] s ago"):
        mesh.leases.acquire("shop", lease, "run-b", valid=20, about=STORE)
    assert [(one.holder, one.about) for one in mesh.leases.all()] == [("run-a", STORE)]


def test_what_was_released_is_anybodys(mesh: Mesh, lease: str) -> None:
    mine = mesh.leases.acquire("shop", lease, "run-a", valid=20)
    mesh.leases.release(mine)
    assert mesh.leases.find("shop", lease) is None

    other = mesh.leases.acquire("shop", lease, "run-b", valid=20)
    mesh.leases.release(mine)  # late: not ours any more

    assert mesh.leases.renew(other).holder == "run-b"
    with pytest.raises(LeaseLost, match="is held by run-b: this run may only undo"):
        mesh.leases.renew(mine)


def test_who_did_not_renew_in_time_has_lost_it(subject: Subject, mesh: Mesh, lease: str) -> None:
    late = mesh.leases.acquire("shop", lease, "run-a", valid=20)
    subject.later(18)  # a clock of whole seconds may be one behind
    assert mesh.leases.renew(late).alive
    subject.later(22)

    found = mesh.leases.find("shop", lease)
    assert found is not None
    assert not found.alive
    with pytest.raises(LeaseLost, match=r"was not renewed for 2[123] s, and holds for 20 s: this run may only undo"):
        mesh.leases.renew(late)
    assert mesh.leases.acquire("shop", lease, "run-b", valid=20).alive
    with pytest.raises(LeaseLost, match="is held by run-b"):
        mesh.leases.renew(late)


def test_of_many_who_want_it_at_once_one_gets_it(mesh: Mesh, lease: str) -> None:
    def wants(run: str) -> str:
        try:
            return mesh.leases.acquire("shop", lease, run, valid=20).holder
        except (Occupied, Conflict):
            return ""

    with ThreadPoolExecutor(8) as pool:
        got = [holder for holder in pool.map(wants, [f"run-{n}" for n in range(8)]) if holder]

    found = mesh.leases.find("shop", lease)
    assert found is not None
    assert got == [found.holder]


def test_nobody_is_stopped_and_the_control_plane_serves(mesh: Mesh) -> None:
    assert (mesh.stopped(), mesh.serving()) == ("", "")


def test_the_stop_switch_says_why(subject: Subject) -> None:
    subject.stop("the shop opens")

    assert re.search("the stop switch .*is set: the shop opens", subject.mesh.stopped())
    subject.stop("")
    assert subject.mesh.stopped() == ""


# -- what proxies wrote down
def test_after_a_flush_every_request_that_was_answered_can_be_read(subject: Subject) -> None:
    load, _, _ = subject.mesh.entry
    _, offset = subject.mesh.read_log(load, 0)
    traces = [TRACE.format(n) for n in range(20)]

    for trace in traces:
        subject.send(trace)
    subject.mesh.flush_logs([load])
    written, after = subject.mesh.read_log(load, offset)

    assert after == offset + len(written)
    assert subject.mesh.read_log(load, after) == (b"", after)
    if not subject.mesh.sees_every_call:  # and no path of ours stands; with one, tests/integration/test_cluster_mesh.py
        assert written == b""
        return
    lines = [json.loads(line) for line in written.splitlines()]
    assert written.endswith(b"\n")
    assert [line["traceparent"][3:35] for line in lines if line.get("side") == "outbound"] == traces


def test_a_mesh_that_is_well_says_nothing(mesh: Mesh) -> None:
    mesh.check()


@pytest.mark.parametrize("make", SUBJECTS.values(), ids=SUBJECTS)
def test_closing_twice_is_closing_once(make: Callable[[Path], AbstractContextManager[Subject]], tmp_path: Path) -> None:
    with make(tmp_path) as subject:
        subject.mesh.close()
        subject.mesh.close()
