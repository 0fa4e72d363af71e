"""Does the local mesh carry traffic as a cluster would, take and lose objects of ours, and leave nothing behind? Real Envoys."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chaos.clock import Deadline, poll
from chaos.errors import ManifestError, MeshFailure, TopologyError, Unreachable
from chaos.mesh.local.mesh import LocalMesh
from chaos.mesh.local.processes import Spawned
from chaos.mesh.local.xds import Subscription, Type, Written
from chaos.mesh.port import Pod, Resource
from tests.meshes import MANIFESTS, addition, envoy_filter, get, route_in_front, topology

RUN = "0123456789ab"
STORE = "store.shop.svc.cluster.local"


def nobody(_group: int, _what: str) -> None:
    """The watchdog of tests that need none."""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    folder = tmp_path_factory.mktemp("mesh")
    mesh = LocalMesh.start(topology(folder), folder=folder / "run", run=RUN, spawned=nobody)
    yield mesh
    mesh.close()


def pod(mesh: LocalMesh, name: str) -> Pod:
    return next(pod for pod in mesh.pods() if pod.name == name)


def call(mesh: LocalMesh, path: str) -> tuple[int, Any]:
    """What the application of `web` got when it called somebody."""
    status, answer = get(mesh.address(), path)
    assert status == 200
    body = answer["body"]
    return answer["status"], json.loads(body) if body.startswith("{") else body


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


# ------------------------------------------------------------------------------------------------------------- traffic
def test_load_enters_through_the_sidecar_of_a_workload_of_its_own(mesh: LocalMesh) -> None:
    status, answer = get(mesh.address(), "/echo")

    assert (status, answer["pod"]) == (200, "web")
    assert mesh.entry[0].id == "istio-chaos-load.shop"


def test_calls_through_http_proxy_reach_every_replica_by_the_owners_routes(mesh: LocalMesh) -> None:
    answers = [call(mesh, "/call?url=http://store/echo") for _ in range(12)]

    assert {(status, answer["pod"]) for status, answer in answers} == {(200, "store-0"), (200, "store-1")}
    assert {answer["headers"]["x-route"] for _, answer in answers} == {"all"}


def test_no_header_of_ours_reaches_an_application(mesh: LocalMesh) -> None:
    _, answer = call(mesh, "/call?url=http://store/echo")

    assert answer["headers"]["host"] == "store"
    assert not [name for name in answer["headers"] if "istio-chaos" in name]


@pytest.mark.parametrize("name", ["store", "store:80", "store.shop", "store.shop.svc:80", STORE, "STORE"])
def test_a_service_has_all_its_names(mesh: LocalMesh, name: str) -> None:
    status, answer = call(mesh, f"/call?url=http://{name}/echo")

    assert (status, answer["pod"][:5]) == (200, "store")


def test_calls_past_http_proxy_find_the_own_sidecar_in_the_service_variables(mesh: LocalMesh) -> None:
    status, answer = call(mesh, "/direct?service=STORE&host=anything.example")

    assert (status, answer["headers"]["host"]) == (200, "anything.example")
    assert answer["headers"]["x-route"] == "all"


def test_tcp_ports_are_carried(mesh: LocalMesh) -> None:
    _, environment = get(mesh.address(), "/env")
    where = environment["STORE_PORT_7000_TCP_ADDR"], int(environment["STORE_PORT_7000_TCP_PORT"])
    with closing(socket.create_connection(where, timeout=5)) as connection:
        connection.sendall(b"GET /echo HTTP/1.1\r\nhost: raw\r\nconnection: close\r\n\r\n")
        received = b"".join(iter(lambda: connection.recv(4096), b""))

    assert b"200 OK" in received
    assert b'"host": "raw"' in received


@pytest.mark.parametrize("url", ["http://nowhere/", "http://store:8080/", "http://192.0.2.7/"])
def test_unknown_hosts_are_answered_with_the_remedy(mesh: LocalMesh, url: str) -> None:
    status, body = call(mesh, f"/call?url={url}")

    assert status == 502
    assert f"No service of this mesh listens at {url.split('/')[2]}" in body


def test_connect_is_answered_with_the_remedy(mesh: LocalMesh) -> None:
    status, body = call(mesh, "/connect?to=store:80")

    assert status == 501
    assert "CONNECT to store:80: the local mesh carries no tunnels" in body


def test_load_can_be_sent_to_any_service(mesh: LocalMesh) -> None:
    store = next(service for service in mesh.services() if service.name == "store")

    status, answer = get(mesh.address(store), "/echo")

    assert (status, answer["pod"][:5]) == (200, "store")
    with pytest.raises(Unreachable, match=r"no HTTP port 7000 that istio-chaos-load\.shop could send load to; it has: 80"):
        mesh.address(store, 7000)


def test_an_application_knows_who_it_is_and_where_to_listen(mesh: LocalMesh) -> None:
    _, environment = get(mesh.address(), "/env")

    web = pod(mesh, "web")
    told = {"POD_NAME": "web", "POD_NAMESPACE": "shop", "POD_IP": web.ip, "SERVICE_VERSION": "v1", "PORT": "8080"}
    told |= {"COLOUR": "green", "ISTIO_CHAOS_RUN": RUN}
    assert told.items() <= environment.items()
    assert environment["HOST"] != web.ip


# ---------------------------------------------------------------------------------------------------------------- logs
def test_both_ends_of_a_hop_are_logged_when_the_answer_is_there(mesh: LocalMesh) -> None:
    offsets = {p.id: mesh.read_log(p, 0)[1] for p in mesh.pods()}
    trace = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"

    get(mesh.address(), "/echo", traceparent=trace, baggage="k=v", **{"x-b3-traceid": "00000000000000000000000000000abc"})
    mesh.flush_logs(mesh.pods())

    lines = [json.loads(line) for p in mesh.pods() for line in mesh.read_log(p, offsets[p.id])[0].splitlines()]
    mine = {line["side"]: line for line in lines if line.get("traceparent") == trace}
    assert mine.keys() == {"outbound", "inbound"}
    for line in mine.values():
        told = {"istio_chaos": "sidecar", "code": 200, "flags": "-", "method": "GET", "path": "/echo", "attempts": 1}
        assert told.items() <= line.items()
        assert line["baggage"] == "k=v"
        assert 0 < line["duration_us"] < 5_000_000
        assert line["b3"].endswith("abc")
    assert mine["outbound"]["cluster"] == "outbound|8080||web.shop.svc.cluster.local"
    assert mine["outbound"]["host"] == f"{pod(mesh, 'web').ip}:8080"


# ------------------------------------------------------------------------------------------------------ objects of ours
def test_a_route_of_ours_acts_on_both_ways_out_and_is_gone_after_delete(mesh: LocalMesh) -> None:
    teapot = {"direct_response": {"status": 418}}
    mesh.apply([envoy_filter("switch", route_in_front(f"{STORE}:80", "istio-chaos.t.1", **teapot))])
    during = [call(mesh, "/call?url=http://store/echo")[0], call(mesh, "/direct?service=STORE")[0]]
    bystander = get(mesh.address(), "/echo")[0]
    mesh.delete([("shop", "switch")])
    after = [call(mesh, "/call?url=http://store/echo")[0], call(mesh, "/direct?service=STORE")[0]]

    assert (during, bystander, after) == ([418, 418], 200, [200, 200])
    assert mesh.ours() == ()


def internal_listener(name: str, *, status: int) -> dict[str, Any]:
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
        "route_config": {
            "name": name,
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": status}}]}
            ],
        },
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": name, "internal_listener": {}, "filter_chains": [chain]}


def internal_cluster(name: str, listener: str) -> dict[str, Any]:
    internal = {"envoy_internal_address": {"server_listener_name": listener, "endpoint_id": "here"}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": internal}}]}]},
        "transport_socket": {
            "name": "envoy.transport_sockets.internal_upstream",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport",
                "transport_socket": {
                    "name": "envoy.transport_sockets.raw_buffer",
                    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"},
                },
            },
        },
    }


def test_a_path_of_ours_stands_at_once_and_is_taken_down_in_one_go(mesh: LocalMesh) -> None:
    stage = envoy_filter(
        "stage",
        addition("CLUSTER", internal_cluster("istio-chaos.t.2", "istio-chaos.t.2.call")),
        addition("LISTENER", internal_listener("istio-chaos.t.2.call", status=429)),
    )
    switch = envoy_filter("switch", route_in_front(f"{STORE}:80", "istio-chaos.t.2", route={"cluster": "istio-chaos.t.2"}))
    web = pod(mesh, "web")

    mesh.apply([stage, switch])
    during = call(mesh, "/call?url=http://store/echo")[0]
    held = [r["name"] for kind in (Resource.CLUSTERS, Resource.LISTENERS) for r in mesh.dump(web, kind, r"istio-chaos\.t\.2.*")]
    hosts = mesh.hosts(web, "istio-chaos.t.2")
    mesh.delete([("shop", "switch"), ("shop", "stage")])
    after = call(mesh, "/call?url=http://store/echo")[0]

    assert (during, after) == (429, 200)
    assert held == ["istio-chaos.t.2", "istio-chaos.t.2.call"]
    assert [(host.address, host.ejected) for host in hosts] == [("here", False)]
    assert not mesh.dump(web, Resource.CLUSTERS, r"istio-chaos\.t\.2.*")
    assert not mesh.dump(pod(mesh, "store-0"), Resource.CLUSTERS, r"istio-chaos.*")


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        (addition("CLUSTER", {"name": "istio-chaos.bad", "type": "STATIC", "connect_timeout": "-1s"}), "positive duration"),
        (addition("LISTENER", {"name": "istio-chaos.bad", "filter_chains": []}), "istio-chaos.bad"),
        (route_in_front(f"{STORE}:80", "istio-chaos.bad", route={"cluster": "x", "timeout": "-1s"}), "positive duration"),
    ],
    ids=["cluster", "listener", "route"],
)
def test_what_a_proxy_refuses_is_reported_and_taken_back(mesh: LocalMesh, patch: dict[str, Any], reason: str) -> None:
    good = addition("CLUSTER", internal_cluster("istio-chaos.good", "nowhere"))

    with pytest.raises(MeshFailure, match=rf"(?s)sidecar of web\.shop refused its .*new: .*{reason}"):
        mesh.apply([envoy_filter("refused", good, patch)])

    assert mesh.ours() == ()
    assert not mesh.dump(pod(mesh, "web"), Resource.CLUSTERS, r"istio-chaos.*")
    assert call(mesh, "/call?url=http://store/echo")[0] == 200
    mesh.apply([envoy_filter("accepted", good)])
    mesh.delete([("shop", "accepted")])


@pytest.mark.parametrize("kind", Type)
def test_an_interrupt_in_the_middle_of_a_change_leaves_the_state_before_it(
    mesh: LocalMesh, monkeypatch: pytest.MonkeyPatch, kind: Type
) -> None:
    confirm = Subscription.confirm

    def interrupted(files: Subscription, written: Written, deadline: Deadline) -> None:
        confirm(files, written, deadline)
        if written.source.kind is kind:
            monkeypatch.setattr(Subscription, "confirm", confirm)
            raise KeyboardInterrupt

    stage = [
        addition("CLUSTER", internal_cluster("istio-chaos.t.3", "istio-chaos.t.3.call")),
        addition("LISTENER", internal_listener("istio-chaos.t.3.call", status=429)),
        route_in_front(f"{STORE}:80", "istio-chaos.t.3", route={"cluster": "istio-chaos.t.3"}),
    ]
    before = mesh.configuration(pod(mesh, "web"))
    monkeypatch.setattr(Subscription, "confirm", interrupted)

    with pytest.raises(KeyboardInterrupt):
        mesh.apply([envoy_filter("cut-short", *stage)])

    assert mesh.configuration(pod(mesh, "web")) == before
    assert mesh.ours() == ()


# -------------------------------------------------------------------------------------------------- beginning and end
class Journal:
    """Remembers what was started; raises instead at the nth."""

    def __init__(self, fail_at: int = 0) -> None:
        self.groups: dict[int, str] = {}
        self._fail_at = fail_at

    def __call__(self, group: int, what: str) -> None:
        self.groups[group] = what
        if len(self.groups) == self._fail_at:
            raise OSError("the journal's disk is full")


def start(folder: Path, spawned: Spawned = nobody, **changes: Any) -> LocalMesh:
    return LocalMesh.start(topology(folder, **changes), folder=folder / "run", run=RUN, spawned=spawned)


def test_two_meshes_stand_side_by_side_and_close_leaves_nothing(mesh: LocalMesh, tmp_path: Path) -> None:
    journal = Journal()
    other = start(tmp_path, journal)
    answers = [get(m.address(), "/echo")[1]["pod"] for m in (mesh, other)]
    other.close()
    other.close()

    assert answers == ["web", "web"]
    assert mesh.identity.name != other.identity.name
    assert sorted(journal.groups.values()) == [
        "sidecar of istio-chaos-load.shop", "sidecar of store-0.shop", "sidecar of store-1.shop", "sidecar of web.shop",
        "store-0.shop", "store-1.shop", "web.shop",
    ]  # fmt: skip
    assert not [what for group, what in journal.groups.items() if alive(group)]
    assert get(mesh.address(), "/echo")[0] == 200


@pytest.mark.parametrize("nth", [1, 5])
def test_an_exception_during_start_leaves_nothing(tmp_path: Path, nth: int) -> None:
    journal = Journal(fail_at=nth)

    with pytest.raises(OSError, match="disk is full"):
        start(tmp_path, journal)

    assert len(journal.groups) == nth
    assert not [what for group, what in journal.groups.items() if alive(group)]


def test_an_application_that_exits_at_start_is_reported_with_its_last_words(tmp_path: Path) -> None:
    journal = Journal()

    died = r"(?s)shop exited with status 1; its last lines \(.*\.log\):\n    cannot start: no database"
    with pytest.raises(MeshFailure, match=died):
        start(tmp_path, journal, env={"ECHO_EXIT": "no database"})

    assert not [what for group, what in journal.groups.items() if alive(group)]


def test_a_command_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(MeshFailure, match=r"web\.shop: cannot start 'no-such-program' in .*: No such file.*local\.workloads"):
        start(tmp_path, command=("no-such-program",))


def test_a_port_in_use_is_reported_with_who_has_it(tmp_path: Path) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(MeshFailure, match=rf"127\.\d+\.\d+\.\d+:{port} is in use by \S+ \(pid {os.getpid()}\)"):
            start(tmp_path, manifests=MANIFESTS.replace("containerPort: 9000", f"containerPort: {port}"))


def test_a_dead_part_is_reported_and_keeps_no_undo_from_the_others(tmp_path: Path) -> None:
    journal = Journal()
    mesh = start(tmp_path, journal)
    try:
        mesh.check()
        mesh.apply([envoy_filter("ours", addition("CLUSTER", internal_cluster("istio-chaos.t.4", "x")), app="store")])
        gone = pod(mesh, "store-1")
        victim = next(group for group, what in journal.groups.items() if what == "sidecar of store-1.shop")
        os.killpg(victim, signal.SIGKILL)

        def reported() -> str | None:
            try:
                mesh.check()
            except MeshFailure as failure:
                return str(failure)
            return None

        assert "sidecar of store-1.shop was ended by SIGKILL" in str(poll(reported, deadline=Deadline.after(5)))
        with pytest.raises(Unreachable, match=r"the admin interface of sidecar of store-1\.shop"):
            mesh.configuration(gone)
        assert gone not in mesh.pods()
        # Its configuration is gone with it: an undo is whole without it.
        mesh.delete([("shop", "ours")])
        assert not mesh.dump(pod(mesh, "store-0"), Resource.CLUSTERS, r"istio-chaos.*")
        assert mesh.ours() == ()
    finally:
        mesh.close()
    assert not [what for group, what in journal.groups.items() if alive(group)]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (("subset: v1}", "subset: v9}"), ManifestError, r"shop\.yaml:\d+: VirtualService shop/store: spec\.http\[0\].*'v9'.* v1"),
        (
            ("selector: {app: web}", "selector: {app: wob}"),
            ManifestError,
            r"shop\.yaml:5: Service shop/web: spec.selector: .* app=wob",
        ),
        (
            ("image: shop/echo", "image: shop/ecko"),
            TopologyError,
            r"shop\.yaml:\d+: Deployment shop/store: .*\"shop/echo\".*workloads",
        ),
        (("timeout: 5s", "timeout: 0s"), ManifestError, r"no cluster would take .*shop\.yaml:\d+: Error .*timeout"),
        (("name: web, namespace: shop", "name: wob, namespace: shop"), TopologyError, r"chaos\.yaml: entry\.service: .*\"wob\""),
    ],
    ids=["subset", "no-pods", "no-command", "refused", "entry"],
)
def test_manifests_that_cannot_run_are_refused_before_anything_is_started(
    tmp_path: Path, change: tuple[str, str], error: type[Exception], message: str
) -> None:
    journal = Journal()

    with pytest.raises(error, match=f"(?s){message}"):
        start(tmp_path, journal, manifests=MANIFESTS.replace(*change))

    assert not journal.groups
