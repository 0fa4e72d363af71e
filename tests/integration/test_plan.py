"""Is a plan true, and does it leave a cluster alone? Real proxies; API server, istiod and kubelet are stood in for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chaos.injection.callers import ends
from chaos.injection.side import choose
from chaos.mesh.cluster.proxies import Proxy
from chaos.mesh.local.manifest import ManifestMesh
from chaos.mesh.local.mesh import LocalMesh
from chaos.mesh.port import Mesh
from chaos.model.edge import Edge
from chaos.model.fault import Fault, abort, delay
from chaos.model.injection import InjectionRequest
from chaos.run.readiness import _nothing_written
from tests.cluster_standin import Cluster, standing
from tests.meshes import MANIFESTS, topology

BREAKER = MANIFESTS.replace(
    "  host: store\n",
    "  host: store\n  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}, connectionPool: {tcp: {maxConnections: 7}}}\n",
)
TOPOLOGY = """\
entry: {service: web, namespace: shop, port: 8080}
targets: {test: {context: kind-test}}
allow: {contexts: [kind-test], namespaces: [shop], without_reaper: true}
"""
TEST = """\
from chaos import abort, expect

def test_store_is_gone(inject, load):
    with load("/call?url=http://store/echo", rate="40/s", observe=["web -> store"]) as traffic:
        with inject(abort(503), "web -> store"):
            during = traffic.window("10s")
        expect(during.edge("web -> store")).to_retry(at_most=2)
    expect(during).to_succeed(at_least="99%")
    assert during.errors == 0
"""
HELD = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"namespace": "shop", "name": "istio-chaos.store.shop.svc.cluster.local", "labels": {}},
    "spec": {"holderIdentity": "fedcba987654", "leaseDurationSeconds": 3600, "renewTime": "2026-01-01T00:00:00.000000Z"},
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    folder = tmp_path_factory.mktemp("mesh")
    shop = topology(folder, manifests=BREAKER)
    with closing(LocalMesh.start(shop, folder=folder / "run", run="0123456789ab", spawned=lambda *_: None)) as mesh:
        yield mesh


@pytest.fixture
def cluster(real: LocalMesh, tmp_path: Path) -> Iterator[Cluster]:
    with standing(Cluster(real), tmp_path / "kubeconfig") as cluster:
        yield cluster


@pytest.fixture
def planned(
    cluster: Cluster, tmp_path: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.RunResult]:
    """`pytest --chaos-plan` on that cluster, as somebody calls it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (pytester.path / "chaos.yaml").write_text(TOPOLOGY)
    pytester.makepyfile(test_shop=TEST)

    def planned() -> pytest.RunResult:
        return pytester.runpytest_inprocess(
            "-p", "pytest_chaos", "-W", "error", "--chaos-plan", "--chaos-mesh=cluster", "--chaos-context=kind-test",
            f"--chaos-kubeconfig={tmp_path / 'kubeconfig'}",
        )  # fmt: skip

    return planned


def story(folder: Path) -> dict[str, Any]:
    (file,) = folder.glob("reports/runs/*/report.json")
    found: dict[str, Any] = json.loads(file.read_text())
    return found


# -- a cluster
def test_a_plan_reads_a_cluster_and_writes_nothing(
    cluster: Cluster, planned: Callable[..., pytest.RunResult], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_of_proxies: list[str] = []
    ask = Proxy.ask
    monkeypatch.setattr(Proxy, "ask", lambda self, path, method="GET": asked_of_proxies.append(method) or ask(self, path, method))

    result = planned()

    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "istio-chaos: PLAN of 1 experiment on the cluster mesh, *",
            "context: kind-test",
            "a run needs in shop: list pods; list services; *; list, create, patch, delete envoyfilters; *",
            "✓ planned: test_shop.py::test_store_is_gone",
            "    would write EnvoyFilter shop/istio-chaos-RUN-*-{stage,switch},*",
            "  fault 1: abort 503 on web -> store, at the callee",
            "    hits all own traffic on this edge, in web*.shop",
            "  planned up to here: test_shop.py:*: assert during.errors == 0",
            "1 experiment, 1 fault on 1 edge, 540 requests in 13.5 s of load; nothing was*",
        ]
    )
    assert {call.split()[0] for call in cluster.calls} == {"GET", "POST"}
    written = [call for call in cluster.calls if call.startswith("POST")]
    assert set(written) == {"POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews"}
    assert not [call for call in cluster.calls if re.search(r"/log$|/exec$", call)]
    assert set(asked_of_proxies) == {"GET"}
    assert (cluster.filters, cluster.kept) == ({}, {})


def test_a_plan_says_who_has_the_callee(
    cluster: Cluster, planned: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    cluster.keep({**HELD, "spec": {**HELD["spec"], "renewTime": "2126-01-01T00:00:00.000000Z"}})
    before = json.dumps([str(item) for item in cluster.kept.items()])

    result = planned()

    assert result.ret == 0
    (experiment,) = story(pytester.path)["experiments"]
    (doubt,) = [event["text"] for event in experiment["plan"] if event["event"] == "DoubtForeseen"]
    assert doubt.startswith("web -> store: run fedcba987654 has store.shop.svc.cluster.local now")
    assert json.dumps([str(item) for item in cluster.kept.items()]) == before


def test_a_right_that_is_missing_is_told_with_the_plan(
    cluster: Cluster, planned: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    cluster.denied = {("patch", "envoyfilters")}

    result = planned()

    assert result.ret == 4
    result.stdout.fnmatch_lines(
        [
            "REFUSED, if it were a run: *we may not patch envoyfilters*",
            "✓ planned: test_shop.py::test_store_is_gone",
        ]
    )


def test_without_a_reaper_a_plan_is_refused(planned: Callable[..., pytest.RunResult], pytester: pytest.Pytester) -> None:
    (pytester.path / "chaos.yaml").write_text(TOPOLOGY.replace(", without_reaper: true", ""))

    result = planned()

    assert result.ret == 4
    result.stdout.fnmatch_lines(
        ["web -> store: no reaper looks after namespace shop*", "  fault 1: abort 503 on web -> store, at the callee"]
    )


# -- the local mesh
@pytest.mark.parametrize("edge", ["web -> store", "-> web", "istio-chaos-load -> web"])
@pytest.mark.parametrize("fault", [abort(503), delay("7s")], ids=str)
def test_what_manifests_tell_is_what_proxies_hold(real: LocalMesh, tmp_path: Path, edge: str, fault: Fault) -> None:
    shop = topology(tmp_path, manifests=BREAKER)

    def told(mesh: Mesh) -> object:
        found = ends(Edge.of(edge), mesh.services(), mesh.pods(), "shop")
        paths = _nothing_written(mesh).plan(found)
        side = choose(InjectionRequest(fault=fault, edge=found.edge), paths)
        return side, [(path.virtual_host, path.policy.lines, len(path.replicas), path.callers.workload) for path in paths]

    assert told(ManifestMesh(shop)) == told(real)
