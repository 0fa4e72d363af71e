from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.errors import ConfigurationError, ManifestError
from chaos.istio.documents import read_text
from chaos.istio.world import Locality, World

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: shop}}
spec:
  replicas: {replicas}
  template:
    metadata: {{labels: {{app: cart, version: v1{labels}}}}}
    spec: {{{node}containers: [{{name: app, ports: [{{name: api, containerPort: 8080}}]}}]}}
"""
NODE = """
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: eu-1, topology.istio.io/subzone: r1}}
"""


def deployment(name: str = "cart", replicas: object = 1, labels: str = "", node: str = "") -> str:
    return DEPLOYMENT.format(name=name, replicas=replicas, labels=labels, node=node)


@pytest.mark.parametrize(
    ("replicas", "names"),
    [(1, ["cart.shop"]), ("null", ["cart.shop"]), (0, []), (2, ["cart-0.shop", "cart-1.shop"])],
)
def test_pods_are_named_like_their_deployment(world_of: Callable[..., World], replicas: object, names: list[str]) -> None:
    assert [pod.id for pod in world_of(deployment(replicas=replicas)).pods] == names


@pytest.mark.parametrize(
    ("labels", "node", "locality"),
    [
        ("", "", Locality("region-a", "zone-1")),
        ("", "nodeName: n1, ", Locality("eu", "eu-1", "r1")),
        ("", "nodeName: gone, ", Locality()),
        (", istio-locality: us.us-2", "nodeName: n1, ", Locality("us", "us-2")),
    ],
)
def test_where_a_pod_stands(world_of: Callable[..., World], labels: str, node: str, locality: Locality) -> None:
    assert world_of(NODE, deployment(labels=labels, node=node)).pods[0].locality == locality


def test_addresses_come_from_who_asks_or_are_made_up_alike() -> None:
    documents = list(read_text(deployment(replicas=2), Path("m.yaml")))
    given = World.of(documents, address_of=lambda name, namespace: f"{name}.{namespace}")
    assert [pod.ip for pod in given.pods] == ["cart-0.shop", "cart-1.shop"]
    made_up = [pod.ip for pod in World.of(documents).pods]
    assert made_up == [pod.ip for pod in World.of(documents).pods]
    assert len(set(made_up)) == 2


@pytest.mark.parametrize(("target", "number"), [(8080, 8080), ("api", 8080), ("9090", 9090), ("unheard-of", None)])
def test_target_ports(world_of: Callable[..., World], target: int | str, number: int | None) -> None:
    assert world_of(deployment()).pods[0].target_port(target) == number


@pytest.mark.parametrize(
    ("containers", "gateway"),
    [
        ("[{name: istio-proxy, image: auto}]", True),
        ("[{name: app}, {name: istio-proxy}]", False),
        ("[{name: app}]", False),
    ],
)
def test_a_pod_of_a_proxy_alone_is_a_gateway(world_of: Callable[..., World], containers: str, gateway: bool) -> None:
    world = world_of(f"apiVersion: v1\nkind: Pod\nmetadata: {{name: gw, labels: {{a: b}}}}\nspec: {{containers: {containers}}}")
    proxy = world.proxy("gw.default")
    assert proxy.is_gateway is gateway
    assert proxy.labels == {"a": "b"}


def test_an_unknown_proxy_is_refused_with_the_nearest_name(world_of: Callable[..., World]) -> None:
    with pytest.raises(ConfigurationError, match=r'no pod "crat\.shop".*did you mean "cart\.shop"'):
        world_of(deployment()).proxy("crat.shop")


def test_an_unknown_profile_is_refused(world_of: Callable[..., World]) -> None:
    with pytest.raises(ConfigurationError, match=r'profile "1\.5" is not known'):
        world_of(profile="1.5")


def test_the_last_of_two_objects_of_one_name_counts(world_of: Callable[..., World]) -> None:
    service = "apiVersion: v1\nkind: Service\nmetadata: {{name: a}}\nspec: {{ports: [{{port: {port}}}]}}"
    world = world_of(service.format(port=80), service.format(port=81))
    assert [service.ports[0].number for service in world.services] == [81]


def test_objects_are_in_their_order_of_age(world_of: Callable[..., World]) -> None:
    rule = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}{created}}}
spec: {{hosts: [x]}}
"""
    world = world_of(
        rule.format(name="b", namespace="z", created=""),
        rule.format(name="b", namespace="y", created=""),
        rule.format(name="a", namespace="z", created=""),
        rule.format(name="old", namespace="z", created=', creationTimestamp: "2020-01-01T00:00:00Z"'),
    )
    assert [d.origin.split()[1] for d in world.virtual_services] == ["z/old", "z/a", "y/b", "z/b"]


def test_a_knative_service_is_no_service(world_of: Callable[..., World]) -> None:
    assert world_of("apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}").services == ()


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [80]}",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: http}]}",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: many}",
    ],
)
def test_a_manifest_of_another_shape_names_its_place(world_of: Callable[..., World], text: str) -> None:
    world = world_of(text)
    with pytest.raises(ManifestError, match=r"manifests\.yaml:1: \w+ default/a: cannot be read as a"):
        _ = (world.services, world.pods)


def test_memory_makes_once(world_of: Callable[..., World]) -> None:
    world, made = world_of(), []
    for _ in range(3):
        world.remember("key", lambda: made.append(1))
    assert made == [1]
