from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chaos.envoy.configuration import Configuration
from chaos.envoy.translation import translate
from chaos.istio.world import World

WORLD = """
apiVersion: v1
kind: Pod
metadata: {name: gw, namespace: edge, labels: {istio: ingress}}
spec: {containers: [{name: istio-proxy}]}
---
apiVersion: v1
kind: Service
metadata: {name: gw, namespace: edge}
spec: {selector: {istio: ingress}, ports: [{name: http, port: 80, targetPort: 8080}, {name: https, port: 443, targetPort: 8443}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {ports: [{name: http, port: 9000}]}
"""
Gateway = Callable[..., Configuration]


@pytest.fixture
def gateway(world_of: Callable[..., World]) -> Gateway:
    return lambda *texts: translate(world_of(WORLD, *texts), "gw.edge")


def servers(text: str, name: str = "front") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: shop}}
spec: {{selector: {{istio: ingress}}, servers: [{text}]}}
"""


def rule(hosts: str, name: str, http: str = "", namespace: str = "shop", created: str = "2024-01-01T00:00:00Z") -> str:
    http = http or f"name: {name}, route: [{{destination: {{host: cart.shop.svc.cluster.local}}}}]"
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}, creationTimestamp: "{created}"}}
spec: {{hosts: [{hosts}], gateways: [shop/front], http: [{{{http}}}]}}
"""


HTTP = "{port: {number: 80, name: http, protocol: HTTP}, hosts: [%s]%s}"


def hosts(configuration: Configuration, name: str = "http.8080") -> dict[str, Any]:
    found = configuration.route(name)
    assert found is not None
    return {virtual_host["name"]: virtual_host for virtual_host in found["virtual_hosts"]}


def names(virtual_host: dict[str, Any]) -> list[str]:
    return [route.get("name", "") for route in virtual_host["routes"]]


def test_without_gateways_it_listens_on_nothing(gateway: Gateway) -> None:
    found = gateway()
    assert (found.listeners, found.routes) == ((), ())
    assert found.cluster("outbound|9000||cart.shop.svc.cluster.local")


def test_a_listener_and_its_routes(gateway: Gateway) -> None:
    found = gateway(servers(HTTP % ("a.com", "")), rule("a.com", "r"))
    (listener,) = found.listeners
    assert listener["name"] == "0.0.0.0_8080"
    config = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert config["use_remote_address"] is True
    assert config["server_name"] == "istio-envoy"
    assert config["rds"]["route_config_name"] == "http.8080"
    (virtual_host,) = hosts(found).values()
    assert (virtual_host["name"], virtual_host["domains"]) == ("a.com:80", ["a.com"])
    assert virtual_host["routes"][0]["route"]["cluster"] == "outbound|9000||cart.shop.svc.cluster.local"


def test_a_server_without_routes_finds_nothing(gateway: Gateway) -> None:
    (virtual_host,) = hosts(gateway(servers(HTTP % ("a.com", "")))).values()
    assert (virtual_host["name"], virtual_host["domains"], virtual_host["routes"]) == ("blackhole:80", ["*"], [])


def test_rules_of_one_host_join_and_catch_alls_go_last(gateway: Gateway) -> None:
    old = rule("a.com", "old", created="2020-01-01T00:00:00Z")
    new = rule("a.com", "new", http="name: new, match: [{uri: {prefix: /n}}], route: [{destination: {host: cart}}]")
    found = hosts(gateway(servers(HTTP % ("a.com", "")), new, old, rule("a.com", "z-last")))
    assert names(found["a.com:80"]) == ["new", "old", "z-last"]


def test_hosts_with_the_same_routes_fold_into_the_most_specific(gateway: Gateway) -> None:
    found = hosts(gateway(servers(HTTP % ('"*"', "")), rule('b.com, "*.com", longer.com', "r")))
    assert {name: virtual_host["domains"] for name, virtual_host in found.items()} == {
        "longer.com:80": ["longer.com", "b.com", "*.com"]
    }


@pytest.mark.parametrize(
    ("server_hosts", "rule_hosts", "domains"),
    [
        ('"*.com"', "a.com", ["a.com"]),
        ("a.com", '"*.com"', ["a.com"]),
        ("A.com", "A.com", ["a.com"]),
        ("bank/a.com", "a.com", []),
        ("./a.com", "a.com", ["a.com"]),
        ("b.com", "a.com", []),
    ],
)
def test_a_rule_serves_the_hosts_both_name(gateway: Gateway, server_hosts: str, rule_hosts: str, domains: list[str]) -> None:
    found = hosts(gateway(servers(HTTP % (server_hosts, "")), rule(rule_hosts, "r")))
    assert [d for name, v in found.items() for d in v["domains"] if not name.startswith("blackhole")] == domains


def test_a_host_without_tls_parts_those_that_demand_it(gateway: Gateway) -> None:
    redirecting, plain = HTTP % ("aaa.com, c.com", ", tls: {httpsRedirect: true}"), HTTP % ("bb.com", "")
    found = hosts(
        gateway(servers(f"{redirecting}, {plain.replace('name: http', 'name: plain')}"), rule("aaa.com, bb.com, c.com", "r"))
    )
    assert {name: host.get("require_tls") for name, host in found.items()} == {
        "aaa.com:80": "ALL",
        "bb.com:80": None,
        "c.com:80": "ALL",
    }


def test_redirecting_to_https_holds_for_every_listed_host(gateway: Gateway) -> None:
    found = hosts(gateway(servers(HTTP % ("a.com, b.com", ", tls: {httpsRedirect: true}")), rule("a.com", "r")))
    assert {name: (virtual_host["require_tls"], names(virtual_host)) for name, virtual_host in found.items()} == {
        "a.com:80": ("ALL", ["r"]),
        "b.com:80": ("ALL", []),
    }


def test_tls_servers_are_told_apart_by_name(gateway: Gateway) -> None:
    https = "{port: {number: 443, name: %s, protocol: HTTPS}, hosts: [%s], tls: {mode: SIMPLE, credentialName: c}%s}"
    found = gateway(
        servers(f"{https % ('one', 'b.com, a.com', ', name: first')}, {https % ('two', 'c.com', '')}"), rule("c.com", "r")
    )
    (listener,) = found.listeners
    assert listener["name"] == "0.0.0.0_8443"
    one, two = listener["filter_chains"]
    assert one["filter_chain_match"] == {"server_names": ["a.com", "b.com"]}
    assert one["filters"][0]["typed_config"]["stat_prefix"] == "first"
    assert two["filters"][0]["typed_config"]["stat_prefix"] == "outbound_0.0.0.0_8443;"
    assert list(hosts(found, "https.443.two.front.shop")) == ["c.com:443"]


def test_passthrough_goes_by_server_name(gateway: Gateway) -> None:
    routes = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: t, namespace: shop}
spec: {hosts: [a.com], gateways: [front], tls: [{match: [{port: 443, sniHosts: [a.com]}], route: [{destination: {host: cart}}]}]}
"""
    found = gateway(servers("{port: {number: 443, name: t, protocol: TLS}, hosts: [a.com], tls: {mode: PASSTHROUGH}}"), routes)
    (chain,) = found.listeners[0]["filter_chains"]
    assert chain["filter_chain_match"] == {"server_names": ["a.com"]}
    assert chain["filters"][0]["typed_config"]["cluster"] == "outbound|443||cart.shop.svc.cluster.local"


def test_tcp_servers_lead_where_a_rule_says(gateway: Gateway) -> None:
    server = "{port: {number: 5000, name: t, protocol: TCP}, hosts: ['*']}"
    routes = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: t, namespace: shop}
spec: {hosts: ['*'], gateways: [front], tcp: [{match: [{port: 5000}], route: [{destination: {host: cart, port: {number: 9000}}}]}]}
"""
    assert gateway(servers(server)).listeners == ()
    (chain,) = gateway(servers(server), routes).listeners[0]["filter_chains"]
    assert chain["filters"][0]["typed_config"]["cluster"] == "outbound|9000||cart.shop.svc.cluster.local"
