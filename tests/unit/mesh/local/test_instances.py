"""Which instances do manifests and topology make? And what is refused?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chaos.errors import ManifestError, TopologyError
from chaos.mesh.local.addresses import Endpoint
from chaos.mesh.local.instances import short_image
from tests.meshes import MANIFESTS

Find = Callable[..., Any]


def test_every_pod_is_an_instance_and_load_has_one_without_application(find: Find) -> None:
    _, found, _ = find()

    assert {name: (i.sidecar, i.application, len(i.applications)) for name, i in found.items()} == {
        "web": ("127.5.1.1", "127.5.1.2", 1),
        "store-0": ("127.5.2.1", "127.5.2.2", 1),
        "store-1": ("127.5.3.1", "127.5.3.2", 1),
        "istio-chaos-load": ("127.5.4.1", "127.5.4.2", 0),
    }


def test_every_sidecar_offers_every_service_port(find: Find) -> None:
    _, found, _ = find(lowest=1024)

    offered = {(p.host.partition(".")[0], p.number): (str(p.endpoint), p.http, p.tcp) for p in found["store-1"].offered}
    assert offered == {
        ("store", 80): ("127.5.3.10:20080", True, False),
        ("store", 7000): ("127.5.3.10:7000", False, True),
        ("web", 8080): ("127.5.3.11:8080", True, False),
    }


def test_without_a_sidecar_the_application_has_the_pods_own_address(find: Find) -> None:
    manifests = MANIFESTS.replace(
        "labels: {app: store, version: v1}}\n    spec:",
        'labels: {app: store, version: v1, sidecar.istio.io/inject: "false"}}\n    spec:',
    )

    _, found, _ = find(manifests=manifests)

    store = found["store-0"]
    assert not store.proxy
    assert store.applications[0].endpoint == Endpoint(store.pod.ip, 9000)
    assert store.offered == ()


def test_a_container_that_declares_no_port_listens_where_its_service_sends(find: Find) -> None:
    _, found, _ = find(manifests=MANIFESTS.replace("        ports: [{containerPort: 8080}]\n", ""))

    assert found["web"].applications[0].endpoint == Endpoint("127.5.1.2", 8080)


@pytest.mark.parametrize(
    ("image", "short"),
    [
        ("shop/echo", "shop/echo"),
        ("shop/echo:1.0", "shop/echo"),
        ("registry.example:5000/shop/echo:1.0", "shop/echo"),
        ("localhost/echo@sha256:abc", "echo"),
        ("docker.io/istio/reviews:1.20@sha256:abc", "istio/reviews"),
        ("echo", "echo"),
    ],
)
def test_images_are_known_without_registry_tag_and_digest(image: str, short: str) -> None:
    assert short_image(image) == short


@pytest.mark.parametrize(
    "key", ["shop/echo", "registry.example:5000/shop/echo:1.0", "registry.example:5000/shop/echo", "shop/echo:1.0"]
)
def test_a_topology_may_name_an_image_in_any_spelling(find: Find, key: str) -> None:
    manifests = MANIFESTS.replace("image: shop/echo", "image: registry.example:5000/shop/echo:1.0")

    _, found, _ = find(manifests=manifests, image=key)

    assert len(found["web"].applications) == 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (("image: shop/echo", 'image: ""'), TopologyError, r"containers\[0\]\.image: the container has no image"),
        (("namespace: shop", "namespace: stop"), TopologyError, r"entry\.namespace: no service is in 'shop'.*\"stop\""),
        (("port: 8080}]", "port: 8081}]"), TopologyError, r"entry\.port: service web has no port 8080; it has 8081"),
        (("{name: http, port: 8080}", "{name: tcp, port: 8080}"), TopologyError, r"entry\.port: port 8080 of web is TCP"),
    ],
    ids=["image", "namespace", "port", "protocol"],
)
def test_refusals_name_place_and_remedy(find: Find, change: tuple[str, str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        find(manifests=MANIFESTS.replace(*change))


def test_a_pod_as_a_cluster_wrote_it_is_refused(find: Find) -> None:
    pod = """---
apiVersion: v1
kind: Pod
metadata: {name: extra, namespace: shop}
spec: {containers: []}
status: {podIP: 10.0.0.1}
"""

    with pytest.raises(ManifestError, match=r"Pod shop/extra: status\.podIP: .*take the status out"):
        find(manifests=MANIFESTS + pod)
