from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chaos.istio import virtualservices
from chaos.istio.world import World

RULE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}, creationTimestamp: "{created}"}}
spec: {{hosts: [x.example.com]{more}}}
"""


def rule(name: str, namespace: str = "shop", created: str = "2024-01-01T00:00:00Z", more: str = "") -> str:
    return RULE.format(name=name, namespace=namespace, created=created, more=more)


def names(world: World, gateway: str, namespace: str) -> list[str]:
    return [found.name for found in virtualservices.bound_to(world, gateway, namespace)]


def test_names_are_written_out_in_the_namespace_of_the_rule(world_of: Callable[..., World]) -> None:
    (found,) = virtualservices.all_of(
        world_of("""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: shop}
spec:
  hosts: [cart, cart.pay]
  gateways: [gw, other/gw, ./gw, mesh]
  http:
  - match: [{gateways: [gw]}]
    route: [{destination: {host: cart}}, {destination: {host: cart.pay}}]
    mirror: {host: cart}
    mirrors: [{destination: {host: cart}}]
""")
    )
    full = "cart.shop.svc.cluster.local"
    assert found.hosts == (full, "cart.pay")
    assert found.gateways == ("shop/gw", "other/gw", "shop/gw", "mesh")
    (http,) = found.http
    assert http["match"] == [{"gateways": ["shop/gw"]}]
    assert [route["destination"]["host"] for route in http["route"]] == [full, "cart.pay"]
    assert (http["mirror"]["host"], http["mirrors"][0]["destination"]["host"]) == (full, full)


def test_no_gateways_means_the_mesh(world_of: Callable[..., World]) -> None:
    world = world_of(rule("in-mesh"), rule("at-gateway", more=", gateways: [gw]"))
    assert names(world, "mesh", "shop") == ["in-mesh"]
    assert names(world, "shop/gw", "shop") == ["at-gateway"]


def test_private_comes_before_named_before_public_whatever_the_age(world_of: Callable[..., World]) -> None:
    world = world_of(
        rule("public-old", created="2020-01-01T00:00:00Z"),
        rule("public-new"),
        rule("named", more=", exportTo: [pay]"),
        rule("private", namespace="pay", more=", exportTo: [.]"),
        rule("hidden", more=", exportTo: ['~']"),
        rule("everybody", more=", exportTo: [pay, '*']"),
    )
    assert names(world, "mesh", "pay") == ["private", "named", "public-old", "everybody", "public-new"]
    assert names(world, "mesh", "shop") == ["public-old", "everybody", "public-new"]


def test_the_mesh_may_make_them_private(world_of: Callable[..., World]) -> None:
    world = world_of(rule("a"), mesh={"defaultVirtualServiceExportTo": ["."]})
    assert names(world, "mesh", "shop") == ["a"]
    assert names(world, "mesh", "pay") == []


DELEGATE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: leaf, namespace: pay}}
spec: {{http: [{{name: leaf, route: [{{destination: {{host: ledger}}}}]}}]{more}}}
"""


@pytest.mark.parametrize(
    ("more", "rules"),
    [
        ("", ["leaf", "own"]),
        (", exportTo: [shop]", ["leaf", "own"]),
        (", exportTo: [.]", ["own"]),
        (", exportTo: [other]", ["own"]),
    ],
)
def test_a_delegate_must_reach_its_root(world_of: Callable[..., World], more: str, rules: list[str]) -> None:
    root = rule("root", more=", http: [{delegate: {name: leaf, namespace: pay}}, {name: own, route: [{destination: {host: a}}]}]")
    (found,) = virtualservices.all_of(world_of(root, DELEGATE.format(more=more)))
    assert [http["name"] for http in found.http] == rules
    if "leaf" in rules:
        assert found.http[0]["route"][0]["destination"]["host"] == "ledger.pay.svc.cluster.local"


def test_every_destination_is_found(world_of: Callable[..., World]) -> None:
    (found,) = virtualservices.all_of(
        world_of("""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [x]
  http:
  - route: [{destination: {host: a.x}}, {destination: {host: b.x}}]
    mirror: {host: c.x}
    mirrors: [{destination: {host: d.x}}]
  tcp: [{route: [{destination: {host: e.x}}]}]
  tls: [{match: [{sniHosts: [x]}], route: [{destination: {host: f.x}}]}]
""")
    )
    hosts: list[Any] = [destination["host"] for _, destination in virtualservices.destinations(found)]
    assert hosts == ["a.x", "b.x", "c.x", "d.x", "e.x", "f.x"]
