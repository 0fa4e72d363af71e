from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from chaos.envoy.httpfilters import CONNECTION_MANAGER
from chaos.envoy.translation import translate
from chaos.istio.world import World

WORLD = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec: {containers: [{name: app}]}
---
apiVersion: v1
kind: Pod
metadata: {name: peer, namespace: shop, labels: {app: peer}}
spec: {containers: [{name: app}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: pay, namespace: bank}
spec: {clusterIP: 10.0.0.2, ports: [{name: http, port: 80}]}
"""
Listeners = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture
def listeners(world_of: Callable[..., World]) -> Listeners:
    """`listeners(text...)`: name -> outbound listener of the pod web."""

    def build(*texts: str, mesh: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
        configuration = translate(world_of(WORLD, *texts, mesh=mesh), "web.shop")
        return {li["name"]: li for li in configuration.listeners if li["traffic_direction"] == "OUTBOUND"}

    return build


def service(name: str, port: str, ip: str = "10.0.0.9") -> str:
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec: {{clusterIP: {ip}, ports: [{{{port}}}]}}
"""


def kinds(listener: dict[str, Any]) -> list[str]:
    """`http:<routes>` or `tcp:<cluster>` per chain, the default one last."""
    chains = [*listener["filter_chains"], *([listener["default_filter_chain"]] if "default_filter_chain" in listener else [])]
    found = []
    for chain in chains:
        config = chain["filters"][-1]["typed_config"]
        is_http = chain["filters"][-1]["name"] == CONNECTION_MANAGER
        found.append(f"http:{config['rds']['route_config_name']}" if is_http else f"tcp:{config.get('cluster', 'weighted')}")
    return found


def test_http_services_share_a_port_and_let_strangers_through(listeners: Listeners) -> None:
    found = listeners()
    assert list(found) == ["0.0.0.0_80", "virtualOutbound"]
    assert kinds(found["0.0.0.0_80"]) == ["http:80", "tcp:PassthroughCluster"]
    assert found["0.0.0.0_80"]["bind_to_port"] is False
    assert kinds(found["virtualOutbound"]) == ["tcp:BlackHoleCluster", "tcp:PassthroughCluster"]


def test_or_not(listeners: Listeners) -> None:
    found = listeners(mesh={"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}})
    assert kinds(found["0.0.0.0_80"]) == ["http:80", "tcp:BlackHoleCluster"]


def test_tcp_services_have_their_own_address(listeners: Listeners) -> None:
    found = listeners(service("db", "name: tcp, port: 80"))
    assert kinds(found["10.0.0.9_80"]) == ["tcp:outbound|80||db.shop.svc.cluster.local"]
    assert kinds(found["0.0.0.0_80"]) == ["http:80", "tcp:PassthroughCluster"]


def test_a_sniffed_port_speaks_both(listeners: Listeners) -> None:
    found = listeners(service("any", "port: 8080"))["10.0.0.9_8080"]
    assert kinds(found) == ["http:any.shop.svc.cluster.local:8080", "tcp:outbound|8080||any.shop.svc.cluster.local"]
    assert [f["name"].rpartition(".")[2] for f in found["listener_filters"]] == ["tls_inspector", "http_inspector"]


def test_headless_tcp_has_a_listener_per_peer(listeners: Listeners, world_of: Callable[..., World]) -> None:
    headless = """
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: None, selector: {app: peer}, ports: [{name: tcp, port: 90}, {name: http, port: 91}]}
"""
    peer = world_of(WORLD).proxy("peer.shop").ip
    found = listeners(headless)
    assert kinds(found[f"{peer}_90"]) == ["tcp:outbound|90||db.shop.svc.cluster.local"]
    assert kinds(found["0.0.0.0_91"]) == ["http:91", "tcp:PassthroughCluster"]
    assert "0.0.0.0_90" not in found


def test_udp_has_none(listeners: Listeners) -> None:
    assert list(listeners(service("dns", "name: dns, port: 53, protocol: UDP"))) == ["0.0.0.0_80", "virtualOutbound"]


@pytest.mark.parametrize("port", [15001, 15006, 15021, 15090])
def test_the_proxy_s_own_ports_are_left_to_it(listeners: Listeners, port: int) -> None:
    assert list(listeners(service("x", f"name: http, port: {port}"))) == ["0.0.0.0_80", "virtualOutbound"]


def test_a_cidr_is_matched_not_bound(listeners: Listeners) -> None:
    entry = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: lab, namespace: shop}
spec: {hosts: [lab.org], addresses: [192.0.2.0/24], resolution: NONE, ports: [{number: 90, name: tcp, protocol: TCP}]}
"""
    (chain,) = listeners(entry)["0.0.0.0_90"]["filter_chains"]
    assert chain["filter_chain_match"] == {"prefix_ranges": [{"address_prefix": "192.0.2.0", "prefix_len": 24}]}


SIDECAR = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: default, namespace: shop}}
spec: {{egress: [{{port: {{number: 80, protocol: {protocol}, name: a}}, hosts: ["bank/*"]{more}}}, {{hosts: ["./*"]}}]}}
"""


@pytest.mark.parametrize(
    ("protocol", "more", "name", "bound"),
    [
        ("HTTP", "", "0.0.0.0_80", False),
        ("HTTP", ", bind: 127.0.0.5", "127.0.0.5_80", False),
        ("HTTP", ", captureMode: NONE", "127.0.0.1_80", True),
        ("HTTP_PROXY", ", bind: 127.0.0.1", "127.0.0.1_80", False),
    ],
)
def test_egress_listeners_bind_as_they_say(listeners: Listeners, protocol: str, more: str, name: str, bound: bool) -> None:
    found = listeners(SIDECAR.format(protocol=protocol, more=more))[name]
    assert ("bind_to_port" not in found) is bound
    assert kinds(found)[0] == "http:80"


def test_an_egress_listener_keeps_its_port_to_itself(listeners: Listeners) -> None:
    assert list(listeners(SIDECAR.format(protocol="HTTP", more=""))) == ["0.0.0.0_80", "virtualOutbound"]


def test_an_http_proxy_listens_on_the_loopback_address(listeners: Listeners) -> None:
    found = listeners(mesh={"proxyHttpPort": 15007})["127.0.0.1_15007"]
    assert kinds(found) == ["http:http_proxy"]
    assert "bind_to_port" not in found


def test_tcp_rules_choose_the_cluster(listeners: Listeners) -> None:
    routes = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: db, namespace: shop}
spec: {hosts: [db], tcp: [{match: [{port: 90}], route: [{destination: {host: other.org, port: {number: 91}}}]}]}
"""
    found = listeners(service("db", "name: tcp, port: 90"), routes)
    assert kinds(found["10.0.0.9_90"]) == ["tcp:outbound|91||other.org"]


def test_tls_rules_choose_by_server_name(listeners: Listeners) -> None:
    routes = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: db, namespace: shop}
spec:
  hosts: [db]
  tls:
  - match: [{port: 443, sniHosts: [a.org]}]
    route: [{destination: {host: a.org}, weight: 50}, {destination: {host: b.org}, weight: 50}]
"""
    found = listeners(service("db", "name: tls, port: 443"), routes)["10.0.0.9_443"]
    assert kinds(found) == ["tcp:weighted", "tcp:outbound|443||db.shop.svc.cluster.local"]
    assert found["filter_chains"][0]["filter_chain_match"] == {"server_names": ["a.org"]}
