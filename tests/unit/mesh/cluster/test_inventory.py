from __future__ import annotations

from typing import Any

import pytest

from chaos.mesh.cluster import inventory

PROXY = {"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.29.6-distroless", "args": ["proxy", "sidecar"]}


def pod(name: str = "web-5f7d8-x2k", *, spec: Any = None, status: Any = None, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "shop", **metadata},
        "spec": spec or {"containers": [{"name": "web"}, PROXY]},
        "status": {"phase": "Running", "podIP": "10.1.0.7", **(status or {})},
    }


def owned(kind: str, name: str) -> dict[str, Any]:
    return {"ownerReferences": [{"kind": kind, "name": name, "controller": True}]}


@pytest.mark.parametrize(
    ("metadata", "workload"),
    [
        ({**owned("ReplicaSet", "web-5f7d8"), "labels": {"pod-template-hash": "5f7d8"}}, "web"),
        ({**owned("ReplicaSet", "web-5f7d8"), "labels": {"rollouts-pod-template-hash": "5f7d8"}}, "web"),
        (owned("ReplicaSet", "by-hand"), "by-hand"),
        (owned("StatefulSet", "db"), "db"),
        ({}, "web-5f7d8-x2k"),
    ],
)
def test_a_workload_is_what_made_the_pod(metadata: dict[str, Any], workload: str) -> None:
    assert [found.workload for found in inventory.pods_of([pod(**metadata)])] == [workload]


@pytest.mark.parametrize(
    ("spec", "proxy", "gateway"),
    [
        ({"containers": [{"name": "web"}, PROXY]}, True, False),
        ({"containers": [{"name": "web"}], "initContainers": [{**PROXY, "restartPolicy": "Always"}]}, True, False),
        ({"containers": [{"name": "web"}], "initContainers": [PROXY]}, False, False),
        ({"containers": [{"name": "web"}]}, False, False),
        ({"containers": [PROXY]}, True, True),
        ({"containers": [{"name": "x"}, {**PROXY, "args": ["proxy", "router"]}]}, True, True),
    ],
    ids=["container", "native sidecar", "an init container that ends", "none", "alone", "router"],
)
def test_a_proxy_is_a_container_that_runs(spec: dict[str, Any], proxy: bool, gateway: bool) -> None:
    (found,) = inventory.pods_of([pod(spec=spec)])

    assert (found.proxy, found.gateway) == (proxy, gateway)


@pytest.mark.parametrize(
    "gone",
    [pod(deletionTimestamp="now"), pod(status={"phase": "Succeeded"}), pod(status={"podIP": None})],
    ids=["ending", "over", "no ip"],
)
def test_who_is_not_there_is_no_pod(gone: dict[str, Any]) -> None:
    assert inventory.pods_of([gone]) == ()


def test_services_have_istios_protocols() -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "clusterIP": "10.2.0.1",
            "selector": {"app": "web"},
            "ports": [
                {"name": "http-main", "port": 80},
                {"name": "any", "port": 81, "appProtocol": "grpc"},
                {"name": "db", "port": 3306},
            ],
        },
    }

    (found,) = inventory.services_of([service], [])

    assert (found.host, [p.protocol for p in found.ports]) == ("web.shop.svc.cluster.local", ["HTTP", "GRPC", "TCP"])


def test_the_version_is_the_tag_of_a_proxys_image() -> None:
    by_digest = pod(spec={"containers": [{**PROXY, "image": "proxy@sha256:1234"}]})

    assert inventory.version_of([by_digest]) == ""
    assert inventory.version_of([by_digest, pod()]) == "1.29.6-distroless"
    assert [inventory.minor(text) for text in ("1.29.6-distroless", "v1.23", "latest", "")] == [(1, 29), (1, 23), None, None]
