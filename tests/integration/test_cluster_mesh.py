"""What does the cluster adapter do over real proxies? API server, istiod and kubelet are stood in for; see `tests.cluster_standin`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from chaos import abort, clock
from chaos.errors import Forbidden, Inconclusive, MeshFailure, TopologyError
from chaos.mesh.cluster import entry
from chaos.mesh.cluster.mesh import ClusterMesh, Visit
from chaos.mesh.local.mesh import LocalMesh
from chaos.mesh.port import Resource
from chaos.model.topology import Allow, Choice, Target
from tests.cluster_standin import Cluster, standing
from tests.meshes import MANIFESTS, addition, envoy_filter, get, route_in_front, topology
from tests.runs import experiment, opened

CLUSTER = {"type": "STATIC", "connect_timeout": "1s"}
GATEWAY = """\
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["shop.example"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: shop}
spec:
  hosts: ["shop.example"]
  gateways: [shop]
  http: [{route: [{destination: {host: web, port: {number: 8080}}}]}]
"""
Visited = Callable[..., ClusterMesh]


@contextmanager
def stood(folder: Path, manifests: str | None = None) -> Iterator[tuple[Cluster, Visit]]:
    of_shop = topology(folder, **({"manifests": manifests} if manifests else {}))
    with (
        closing(LocalMesh.start(of_shop, folder=folder / "mesh", run="0123456789ab", spawned=lambda *_: None)) as real,
        standing(Cluster(real), folder / "kubeconfig") as cluster,
    ):
        yield (
            cluster,
            Visit(context="kind-test", namespace="shop", entry=of_shop.entry, allowed=("shop",), kubeconfig=folder / "kubeconfig"),
        )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Visit]]:
    with stood(tmp_path_factory.mktemp("shop")) as standing_shop:
        yield standing_shop


@pytest.fixture
def cluster(shop: tuple[Cluster, Visit]) -> Iterator[Cluster]:
    yield shop[0]
    shop[0].forbidden.clear()
    shop[0].version = "1.29.6"


@pytest.fixture
def visited(shop: tuple[Cluster, Visit]) -> Iterator[Visited]:
    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(closing(ClusterMesh.visit(replace(shop[1], **changes))))


# -- evidence
def test_an_injection_on_a_cluster_is_proven_by_the_lines_that_kubelet_hands_out(
    shop: tuple[Cluster, Visit], tmp_path: Path
) -> None:
    cluster, visit = shop
    of_shop = replace(
        topology(tmp_path),
        targets={"test": Target(context="kind-test")},
        allow=Allow(contexts=("kind-*",), namespaces=("shop",), without_reaper=True),
    )
    choice = Choice(target="test", kubeconfig=visit.kubeconfig)
    with opened(tmp_path, of_shop, "cluster", choice) as run:
        with (
            experiment(run) as (inject, load, _),
            load("/call?url=http://store/echo", rate="40/s") as traffic,
            inject(abort(503), "web -> store", at="callee"),
        ):
            window = traffic.window("1s")
            edge = window.edge("web -> store")
            with pytest.raises(Inconclusive, match="a call is seen on a private path alone, and none stood on this edge"):
                _ = window.edge("istio-chaos-load -> web").requests
        counted = (edge.requests, edge.attempts, edge.faults)

    assert counted == (40, 40, 40)  # Istio's default policy retries no 503 that was an answer
    assert cluster.filters == {}


# -- how proxies are reached
def test_where_no_port_may_be_forwarded_the_agent_is_asked(cluster: Cluster, visited: Visited) -> None:
    mesh = visited()
    web = next(pod for pod in mesh.pods() if pod.workload == "web")
    before = mesh.configuration(web)
    cluster.forbidden.add(("GET", "portforward"))

    again = visited()

    assert again.configuration(web) == before
    assert any(call.endswith("/web/exec") for call in cluster.calls)


def test_who_may_neither_is_told_which_rule_to_add(cluster: Cluster, visited: Visited) -> None:
    mesh = visited()
    cluster.forbidden |= {("GET", "portforward"), ("GET", "exec")}

    with pytest.raises(
        Forbidden, match=r'Role in shop: \{apiGroups: \[""\], resources: \[pods/portforward\], verbs: \[get, create\]\}'
    ):
        mesh.configuration(next(pod for pod in mesh.pods() if pod.workload == "store"))


def test_a_dump_survives_a_tunnel_that_broke(visited: Visited) -> None:
    mesh = visited()
    web = next(pod for pod in mesh.pods() if pod.workload == "web")
    first = mesh.dump(web, Resource.CLUSTERS, ".*")

    mesh._proxies[web.id]._connection.sock.close()

    assert mesh.dump(web, Resource.CLUSTERS, ".*") == first


def test_who_lists_pods_waits_for_nobody_who_needs_the_list(visited: Visited) -> None:
    mesh = visited()

    with ThreadPoolExecutor(1) as other, mesh._lock:
        assert other.submit(mesh._pods.renew).result(timeout=5)


# -- the way in
def test_without_a_gateway_load_comes_from_our_workload(visited: Visited) -> None:
    mesh = visited()
    pod, service, port = mesh.entry

    assert (pod.workload, service.name, port) == ("istio-chaos-load", "web", 8080)
    assert get(mesh.address(), "/echo")[0] == 200
    assert get(mesh.address(next(s for s in mesh.services() if s.name == "store"), 80), "/echo")[0] == 200
    assert mesh.disturbed(0, clock.now()) == ""


def test_a_way_in_that_is_cut_is_no_fault_of_the_system(
    cluster: Cluster, visited: Visited, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh = visited()
    address, before = mesh.address(), clock.now()
    monkeypatch.setattr(entry, "OPENED_WITHIN", 0.0)
    cluster.forbidden.add(("GET", "portforward"))

    with pytest.raises(ConnectionError):
        get(address, "/echo")

    assert "1 connections of the port-forward to the entry were lost" in mesh.disturbed(before, clock.now())


def test_a_gateway_is_the_caller_of_the_entry(tmp_path: Path) -> None:
    with stood(tmp_path, MANIFESTS + GATEWAY) as (_, visit):
        with closing(ClusterMesh.visit(visit)) as mesh:
            pod, service, _ = mesh.entry
            address = mesh.address()

            assert (pod.gateway, pod.workload, service.name) == (True, "istio-ingressgateway", "web")
            assert address.host == "shop.example"
            assert get(address, "/echo")[0] == 200
        with closing(ClusterMesh.visit(replace(visit, url="https://shop.example/"))) as mesh:
            assert mesh.address().url == "https://shop.example"
            assert mesh.entry[0].workload == "istio-ingressgateway"


def test_a_url_that_no_gateway_of_the_mesh_serves_cannot_be_followed(visited: Visited) -> None:
    with pytest.raises(TopologyError, match=r"requests to https://shop\.example cannot be followed: no gateway in shop"):
        _ = visited(url="https://shop.example").entry


# -- the control plane
def test_an_istiod_that_is_not_ready_is_named(cluster: Cluster, visited: Visited, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh, pods = visited(), cluster.pods
    condition = {"type": "Ready", "status": "False"}
    istiod = {"metadata": {"name": "istiod-1", "namespace": "istio-system"}, "status": {"conditions": [condition]}}
    monkeypatch.setattr(cluster, "pods", lambda namespace: [istiod] if namespace == "istio-system" else pods(namespace))

    assert mesh.serving().startswith("istiod is not ready (istiod-1), so nothing that is undone now would reach a proxy")
    condition["status"] = "True"
    assert mesh.serving() == ""


# -- what is refused
def test_an_istio_without_internal_listeners_is_refused(cluster: Cluster, visited: Visited) -> None:
    cluster.version = "1.22.3"

    with pytest.raises(MeshFailure, match=r"of Istio 1\.22\.3; 1\.23 is the first that works"):
        visited()


def test_a_namespace_without_sidecars_is_refused(visited: Visited) -> None:
    with pytest.raises(MeshFailure, match="no pod runs in namespace empty; look: kubectl --context kind-test get pods -n empty"):
        visited(namespace="empty", allowed=("shop", "empty"))


def test_a_service_that_is_not_there_names_the_nearest(shop: tuple[Cluster, Visit], visited: Visited) -> None:
    with pytest.raises(TopologyError, match=r'entry: no service "wab" in namespace shop; did you mean "web"'):
        visited(entry=replace(shop[1].entry, service="wab"))


def test_credentials_that_have_expired_are_said_to_have(shop: tuple[Cluster, Visit], visited: Visited, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(shop[1].kubeconfig.read_text().replace("secret", "expired"))

    with pytest.raises(Forbidden, match="credentials of this context have expired or are wrong"):
        visited(kubeconfig=file)


def test_rights_that_are_missing_are_named(cluster: Cluster, visited: Visited) -> None:
    cluster.forbidden.add(("GET", "services"))

    with pytest.raises(Forbidden, match=r"resources: \[services\], verbs: \[list\]"):
        visited()


# -- objects of ours
def test_a_proxy_that_refuses_what_was_delivered_is_noticed(visited: Visited) -> None:
    mesh = visited()
    assert mesh.rejected() == ""

    bad = {**CLUSTER, "name": "istio-chaos.t.bad", "connect_timeout": "-1s"}
    mesh.apply([envoy_filter("bad", addition("CLUSTER", bad))])
    noticed = clock.poll(mesh.rejected, deadline=clock.Deadline.after(5))
    mesh.delete([("shop", "bad")])

    assert str(noticed).startswith("the proxy of web.shop refused configuration since ours was written")


def test_what_is_asked_for_every_second_is_a_part_of_the_whole(visited: Visited) -> None:
    mesh = visited()
    web = next(pod for pod in mesh.pods() if pod.workload == "web")
    whole, name = mesh.configuration(web), "outbound|80|v1|store.shop.svc.cluster.local"

    part = mesh.part(web, routes=[whole.routes[0]["name"]], clusters=[name])

    assert part.routes == whole.routes[:1]
    assert part.clusters == tuple(c for c in whole.clusters if c["name"] == name)
    assert part.endpoints == tuple(e for e in whole.endpoints if e["cluster_name"] == name)
    assert len(part.endpoints) == 1


def test_an_ejection_changes_nothing_of_what_the_control_plane_said(cluster: Cluster, visited: Visited) -> None:
    """A dump of endpoints says UNHEALTHY for a host that outlier detection has ejected (measured on Envoy 1.40)."""
    mesh = visited()
    load = next(pod for pod in mesh.pods() if pod.workload == "istio-chaos-load")
    web = next(pod for pod in mesh.pods() if pod.workload == "web")
    addresses = [("127.0.0.1", 9), (web.ip, 8080)]
    hosts = [{"endpoint": {"address": {"socket_address": {"address": ip, "port_value": port}}}} for ip, port in addresses]
    ejecting = {
        **CLUSTER,
        "name": "istio-chaos.t.eject",
        "outlier_detection": {"consecutive_5xx": 1, "max_ejection_percent": 100},
        "load_assignment": {"cluster_name": "istio-chaos.t.eject", "endpoints": [{"lb_endpoints": hosts}]},
    }
    in_front = route_in_front("web.shop.svc.cluster.local:8080", "istio-chaos.t.eject", route={"cluster": "istio-chaos.t.eject"})
    mesh.apply([envoy_filter("eject", addition("CLUSTER", ejecting), in_front, app="istio-chaos-load")])

    statuses = {get(mesh.address(), "/echo")[0] for _ in range(6)}
    ejected = [host.address for host in mesh.hosts(load, "istio-chaos.t.eject") if host.ejected]
    (told,) = mesh.part(load, routes=[], clusters=["istio-chaos.t.eject"]).endpoints
    mesh.delete([("shop", "eject")])

    assert (statuses, ejected) == ({200, 503}, ["127.0.0.1:9"])
    assert not any("health_status" in endpoint for endpoint in told["endpoints"][0]["lb_endpoints"])


def test_one_removal_that_fails_does_not_stop_the_others(cluster: Cluster, visited: Visited) -> None:
    mesh = visited()
    names = ("one", "two", "three")
    mesh.apply([envoy_filter(name, addition("CLUSTER", {**CLUSTER, "name": f"istio-chaos.t.{name}"})) for name in names])
    cluster.forbidden.add(("DELETE", "two"))

    with pytest.raises(Forbidden, match=r"verbs: \[delete\]"):
        mesh.delete([("shop", name) for name in names])

    assert [o["metadata"]["name"] for o in mesh.ours()] == ["two"]
    cluster.forbidden.clear()
    mesh.delete([("shop", "two")])
    assert list(mesh.ours()) == []
