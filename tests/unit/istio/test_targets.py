from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from chaos.istio.documents import read_text
from chaos.istio.targets import inbound_hosts, inbound_ports, service_targets, unserved
from chaos.istio.world import World

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: shop, labels: {app: cart}}
spec: {containers: [{name: app, ports: [{name: api, containerPort: 8080}, {name: admin, containerPort: 9090, protocol: TCP}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: b, namespace: shop}
spec: {selector: {app: cart}, ports: [{name: http, port: 80, targetPort: api}, {name: x, port: 81, targetPort: gone}]}
---
apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop}
spec: {selector: {app: cart}, ports: [{name: grpc, port: 90, targetPort: 8080}, {name: http, port: 91, targetPort: admin}]}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere, namespace: other}
spec: {selector: {app: cart}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: no-selector, namespace: shop}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: 0-entry, namespace: shop}
spec:
  hosts: [cart.org]
  workloadSelector: {labels: {app: cart}}
  ports: [{number: 70, name: http, protocol: HTTP, targetPort: 7070}]
"""


def test_the_first_service_by_name_decides_on_a_port(world_of: Callable[..., World]) -> None:
    world = world_of(PODS)
    pod = world.proxy("cart.shop").pod
    assert [(t.service.name, t.port.number, t.number) for t in service_targets(world, pod)] == [
        ("a", 90, 8080),
        ("a", 91, 9090),
        ("b", 80, 8080),
        ("0-entry", 70, 7070),
    ]
    assert {number: target.service.name for number, target in inbound_ports(world, pod).items()} == {
        7070: "0-entry",
        8080: "a",
        9090: "a",
    }
    assert inbound_hosts(world, world.proxy("cart.shop"))[8080] == ("a.shop.svc.cluster.local", "b.shop.svc.cluster.local")


def test_without_an_api_server_nobody_says_that_a_named_port_is_tcp() -> None:
    world = World.of(read_text(PODS, Path("m.yaml")), api_defaults=False)
    targets = service_targets(world, world.proxy("cart.shop").pod)
    assert [(service.name, port.name) for service, port in unserved(world, world.proxy("cart.shop").pod)] == [("b", "http")]
    assert [(t.service.name, t.number) for t in targets] == [("a", 8080), ("a", 9090), ("0-entry", 7070)]
