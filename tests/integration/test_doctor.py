"""What does `doctor` say of a mesh of real proxies, and is everything of it gone afterwards?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chaos.errors import MeshFailure
from chaos.mesh.local.mesh import LocalMesh
from chaos.model.edge import Edge
from chaos.model.readiness import Severity
from chaos.model.topology import Allow, Choice
from chaos.run import meshes
from chaos.run.doctor import examine
from tests.cluster_standin import Cluster, standing
from tests.meshes import MANIFESTS, topology


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "istio-chaos"


def test_the_local_mesh_is_looked_at_and_ended(tmp_path: Path, state: Path) -> None:
    timeout = MANIFESTS.replace("timeout: 5s", "timeout: 2s\n    retries: {attempts: 3, perTryTimeout: 1s}")
    of_shop = replace(topology(tmp_path, manifests=timeout), allow=Allow(namespaces=("shop",)))
    found = examine("local", of_shop, Choice(), [Edge.of("web -> store"), Edge.of("store -> web")])

    assert {(f.check, f.where) for f in found if f.severity is Severity.INFO} >= {
        ("edges", "edge/web -> store"),
        ("edges", "edge/store -> web"),
        ("protocols", "service/store.shop:7000"),
    }
    assert any(f.check == "lint" and "[CHAOS0005]" in f.what for f in found)
    assert [str(f) for f in found if f.severity is Severity.ERROR] == []
    assert list(state.glob("*.journal")) == []


def test_a_cluster_is_looked_at_and_nothing_is_written(tmp_path: Path) -> None:
    of_shop = topology(tmp_path)
    real = LocalMesh.start(of_shop, folder=tmp_path / "mesh", run="0123456789ab", spawned=lambda *_: None)
    try:
        with standing(Cluster(real), tmp_path / "kubeconfig") as cluster:
            allow = Allow(contexts=("kind-test",), namespaces=("shop",), without_reaper=True)
            choice = Choice(context="kind-test", kubeconfig=tmp_path / "kubeconfig")
            found = examine("cluster", replace(of_shop, allow=allow, local=None), choice, [Edge.of("web -> store")])

            cluster.denied = {("delete", "envoyfilters")}
            with pytest.raises(MeshFailure, match="we may not delete envoyfilters") as refused:
                meshes.check("cluster", replace(of_shop, allow=allow, local=None), choice)
            written = [call for call in cluster.calls if call.split()[0] not in ("GET", "POST")]
    finally:
        real.close()

    checks = {(f.check, f.severity, f.where) for f in found}
    assert ("edges", Severity.INFO, "edge/web -> store") in checks
    assert ("protocols", Severity.INFO, "service/store.shop:7000") in checks
    assert not any(f.check in ("internal-listeners", "versions", "proxies") for f in found)
    assert written == []
    assert "deploy/namespace" in str(refused.value)


@pytest.mark.parametrize(
    ("path", "severity", "said"),
    [
        ("/call?url=http://store/echo", Severity.INFO, "forwards b3, baggage, traceparent"),
        ("/direct?service=STORE", Severity.WARNING, "called store.shop.svc.cluster.local without any tracing header"),
    ],
)
def test_a_probe_tells_who_forwards_our_mark_and_who_loses_it(tmp_path: Path, path: str, severity: Severity, said: str) -> None:
    of_shop = replace(topology(tmp_path), allow=Allow(namespaces=("shop",)))
    found = [f for f in examine("local", of_shop, Choice(), path=path) if f.check == "propagation"]

    (web,) = [f for f in found if f.where.startswith("pod/web")]
    assert web.severity is severity
    assert said in web.what
