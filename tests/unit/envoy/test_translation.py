from __future__ import annotations

from collections.abc import Callable

import pytest

from chaos.envoy.translation import translate
from chaos.errors import ConfigurationError
from chaos.istio.world import World

WORLD = """
apiVersion: v1
kind: Pod
metadata: {name: a, labels: {app: a, version: v1}}
spec: {containers: [{name: app}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b, labels: {app: a, version: v2}}
spec: {containers: [{name: app}]}
---
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {selector: {app: a}, ports: [{name: http, port: 80, targetPort: 8080}]}
"""
FOR_V2 = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec: {hosts: [a], http: [{name: v2, match: [{sourceLabels: {version: v2}}], route: [{destination: {host: a}}]}]}
"""


def test_everything_that_is_named_is_there(world_of: Callable[..., World]) -> None:
    found = translate(world_of(WORLD), "a.default")
    cluster = "outbound|80||a.default.svc.cluster.local"
    assert [listener["name"] for listener in found.listeners] == ["0.0.0.0_80", "virtualOutbound", "virtualInbound"]
    assert [route["name"] for route in found.routes] == ["80"]
    assert found.cluster(cluster) and found.cluster("inbound|8080||")
    assert [assignment["cluster_name"] for assignment in found.endpoints] == [cluster]


def test_the_same_world_gives_the_same(world_of: Callable[..., World]) -> None:
    assert translate(world_of(WORLD), "a.default") == translate(world_of(WORLD), "a.default")


def test_twins_share_their_routes_but_not_where_labels_tell_them_apart(world_of: Callable[..., World]) -> None:
    plain = world_of(WORLD)
    assert translate(plain, "a.default").routes[0] is translate(plain, "b.default").routes[0]
    split = world_of(WORLD, FOR_V2)
    names = [translate(split, proxy).routes[0]["virtual_hosts"][0]["routes"][0]["name"] for proxy in ("a.default", "b.default")]
    assert names == ["default", "v2"]


def test_an_unknown_proxy_is_refused(world_of: Callable[..., World]) -> None:
    with pytest.raises(ConfigurationError, match="no pod"):
        translate(world_of(WORLD), "c.default")
