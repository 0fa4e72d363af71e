"""The local mesh as its manifests have it, with nothing started."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chaos.errors import MeshFailure, TopologyError, Unreachable
from chaos.mesh.local.manifest import ManifestMesh
from chaos.mesh.port import Resource
from chaos.model.inventory import Pod
from tests.meshes import topology


@pytest.fixture
def mesh(tmp_path: Path) -> ManifestMesh:
    return ManifestMesh(topology(tmp_path), stop=tmp_path / "stop")


def pod(mesh: ManifestMesh, workload: str) -> Pod:
    return next(pod for pod in mesh.pods() if pod.workload == workload)


def test_everybody_is_there_and_nobody_listens(mesh: ManifestMesh) -> None:
    entry, service, port = mesh.entry

    assert sorted(pod.workload for pod in mesh.pods()) == ["istio-chaos-load", "store", "store", "web"]
    assert {s.name for s in mesh.services()} == {"web", "store"}
    assert (entry.workload, service.name, port) == ("istio-chaos-load", "web", 8080)
    assert mesh.address().host == "web.shop:8080"
    assert mesh.address(next(s for s in mesh.services() if s.name == "store"), 80).host == "store.shop:80"
    assert mesh.leases.all() == []
    assert mesh.ours() == ()


def test_a_proxy_holds_the_owners_routes(mesh: ManifestMesh) -> None:
    (routes,) = mesh.dump(pod(mesh, "web"), Resource.ROUTES, "http_proxy")
    (store,) = [host for host in routes["virtual_hosts"] if host["name"] == "store.shop.svc.cluster.local:80"]

    assert [route["route"]["timeout"] for route in store["routes"]] == ["5s"]
    assert mesh.dump(pod(mesh, "web"), Resource.CLUSTERS, "outbound.*store.*")
    assert mesh.dump(pod(mesh, "web"), Resource.LISTENERS, "nobody") == []


def test_who_has_no_sidecar_is_named(mesh: ManifestMesh) -> None:
    stranger = replace(pod(mesh, "store"), name="stor")

    with pytest.raises(Unreachable, match=r"stor\.shop has no sidecar on the local mesh"):
        mesh.configuration(stranger)


def test_the_stop_switch_of_the_machine_is_read(mesh: ManifestMesh, tmp_path: Path) -> None:
    assert mesh.stopped() == ""

    (tmp_path / "stop").write_text("audit\n")

    assert mesh.stopped().startswith("the stop switch is set: audit (")


def test_it_takes_nothing(mesh: ManifestMesh) -> None:
    with pytest.raises(MeshFailure, match="only read from its manifests"):
        mesh.apply([])
    with pytest.raises(MeshFailure, match="only read from its manifests"):
        mesh.delete([])
    with pytest.raises(MeshFailure, match="only read from its manifests"):
        mesh.set_runtime("shop", "web", "key", "0")
    assert not mesh.listens("shop", "web", ".*")


def test_without_manifests_there_is_no_mesh(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="there is no `local:`"):
        ManifestMesh(replace(topology(tmp_path), local=None))
