from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from chaos.envoy.virtualhosts import outbound_routes
from chaos.istio.destinationrules import rule_for
from chaos.istio.scope import scope_of
from chaos.istio.world import World

WORLD = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: app}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}, {name: http-admin, port: 81}]}
---
apiVersion: v1
kind: Service
metadata: {name: pay, namespace: bank}
spec: {clusterIP: 10.0.0.2, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: 10.0.0.3, ports: [{name: tcp, port: 90}]}
"""
Hosts = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture
def hosts(world_of: Callable[..., World]) -> Hosts:
    """`hosts("80", text...)`: virtual host name -> virtual host, as the pod web in shop sees that route configuration."""

    def build(name: str, *texts: str, mesh: Mapping[str, Any] | None = None, profile: str = "1.29") -> dict[str, dict[str, Any]]:
        world = world_of(WORLD, *texts, mesh=mesh, profile=profile)
        proxy = world.proxy("web.shop")
        scope = scope_of(world, proxy)
        found = outbound_routes(world, proxy, scope, name, lambda host: rule_for(world, proxy, host))
        return {virtual_host["name"]: virtual_host for virtual_host in found["virtual_hosts"]}

    return build


def rule(hosts: str, name: str = "r", http: str = "", created: str = "2024-01-01T00:00:00Z", namespace: str = "shop") -> str:
    http = http or f"name: {name}, route: [{{destination: {{host: cart}}}}]"
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}, creationTimestamp: "{created}"}}
spec: {{hosts: [{hosts}], http: [{{{http}}}]}}
"""


def routes(virtual_host: dict[str, Any]) -> list[str]:
    return [route.get("name", "") for route in virtual_host["routes"]]


def test_names_of_a_service_at_home_and_abroad(hosts: Hosts) -> None:
    found = hosts("80")
    assert found["cart.shop.svc.cluster.local:80"]["domains"] == [
        "cart.shop.svc.cluster.local", "cart.shop.svc.cluster.local.", "cart", "cart.shop.svc", "cart.shop", "10.0.0.1",
    ]  # fmt: skip
    assert found["pay.bank.svc.cluster.local:80"]["domains"] == [
        "pay.bank.svc.cluster.local", "pay.bank.svc.cluster.local.", "pay.bank", "pay.bank.svc", "10.0.0.2",
    ]  # fmt: skip


def test_before_1_27_no_name_ended_with_a_dot(hosts: Hosts) -> None:
    domains = hosts("80", profile="1.26")["cart.shop.svc.cluster.local:80"]["domains"]
    assert not any(domain.endswith(".") for domain in domains)


def test_every_port_has_its_own_services_and_a_catch_all(hosts: Hosts) -> None:
    assert list(hosts("81")) == ["cart.shop.svc.cluster.local:81", "allow_any"]
    assert list(hosts("90")) == ["allow_any"]


def test_unknown_hosts_may_be_refused(hosts: Hosts) -> None:
    found = hosts("80", mesh={"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}})
    assert "allow_any" not in found
    assert found["block_all"]["domains"] == ["*"]
    assert found["block_all"]["routes"][0]["direct_response"] == {"status": 502}


def test_or_go_to_an_egress_proxy(hosts: Hosts) -> None:
    sidecar = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: shop}
spec: {outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: out.bank.svc.cluster.local, port: {number: 3128}}}}
"""
    action = hosts("80", sidecar)["allow_any"]["routes"][0]["route"]
    assert action["cluster"] == "outbound|3128||out.bank.svc.cluster.local"


@pytest.mark.parametrize(("disabled", "counted"), [(False, True), (True, False)])
def test_attempts_are_counted_unless_switched_off(hosts: Hosts, disabled: bool, counted: bool) -> None:
    mesh = {"defaultConfig": {"proxyHeaders": {"attemptCount": {"disabled": disabled}}}}
    assert all(bool(v.get("include_request_attempt_count")) is counted for v in hosts("80", mesh=mesh).values())


def test_the_original_host_may_go_along_where_it_is_rewritten(hosts: Hosts) -> None:
    rewriting = rule("cart", http="rewrite: {authority: other.org}, route: [{destination: {host: cart}}]")
    mesh = {"defaultConfig": {"proxyHeaders": {"xForwardedHost": {"enabled": True}}}}
    for given, told in ((mesh, True), ({}, False)):
        action = hosts("80", rewriting, mesh=given)["cart.shop.svc.cluster.local:80"]["routes"][0]["route"]
        assert ("append_x_forwarded_host" in action) is told
    plain = hosts("80", rule("cart"), mesh=mesh)["cart.shop.svc.cluster.local:80"]["routes"][0]["route"]
    assert "append_x_forwarded_host" not in plain


def test_the_first_virtual_service_owns_a_host_alone(hosts: Hosts) -> None:
    old = rule("cart", "old", created="2020-01-01T00:00:00Z")
    found = hosts("80", rule("cart", "a-new"), old)
    assert routes(found["cart.shop.svc.cluster.local:80"]) == ["old"]


def test_one_without_a_rule_for_this_caller_leaves_the_host_to_the_next(hosts: Hosts) -> None:
    not_for_us = rule("cart", "a", http="match: [{sourceLabels: {app: other}}], route: [{destination: {host: cart}}]")
    assert routes(hosts("80", not_for_us, rule("cart", "b"))["cart.shop.svc.cluster.local:80"]) == ["b"]
    assert routes(hosts("80", not_for_us)["cart.shop.svc.cluster.local:80"]) == ["default"]


def test_but_it_still_keeps_a_wildcard_away(hosts: Hosts) -> None:
    not_for_us = rule("cart", "a", http="match: [{sourceLabels: {app: other}}], route: [{destination: {host: cart}}]")
    found = hosts("80", not_for_us, rule('"*.shop.svc.cluster.local"', "wild"))
    assert routes(found["cart.shop.svc.cluster.local:80"]) == ["default"]


def test_the_most_specific_wildcard_takes_a_service(hosts: Hosts) -> None:
    found = hosts("80", rule('"*.svc.cluster.local"', "a-wide"), rule('"*.shop.svc.cluster.local"', "z-narrow"))
    assert routes(found["cart.shop.svc.cluster.local:80"]) == ["z-narrow"]
    assert routes(found["pay.bank.svc.cluster.local:80"]) == ["a-wide"]


def test_only_port_80_knows_hosts_without_a_service(hosts: Hosts) -> None:
    foreign = rule("shop.example.com")
    assert hosts("80", foreign)["shop.example.com:80"]["domains"] == ["shop.example.com"]
    assert "shop.example.com:81" not in hosts("81", foreign)


def test_a_service_named_beside_brings_a_foreign_host_to_its_port(hosts: Hosts) -> None:
    assert "shop.example.com:81" in hosts("81", rule("shop.example.com, cart"))


def test_a_tcp_service_has_no_virtual_host_but_for_the_side_effect_on_port_80(hosts: Hosts) -> None:
    on_db = rule("db")
    assert list(hosts("90", on_db)) == ["allow_any"]
    assert hosts("80", on_db)["db.shop.svc.cluster.local:80"]["domains"] == ["db.shop.svc.cluster.local"]


def test_hosts_are_compared_in_lower_case(hosts: Hosts) -> None:
    found = hosts("80", rule("Cart, API.example.com", http="name: up, route: [{destination: {host: Cart}}]"))
    assert routes(found["cart.shop.svc.cluster.local:80"]) == ["up"]
    assert found["api.example.com:80"]["routes"][0]["route"]["cluster"] == "outbound|80||Cart.shop.svc.cluster.local"


def test_a_domain_belongs_to_whoever_came_first(hosts: Hosts) -> None:
    short = rule("cart.shop", "short")
    found = hosts("80", short)
    assert found["cart.shop:80"]["domains"] == ["cart.shop"]
    assert "cart.shop" not in found["cart.shop.svc.cluster.local:80"]["domains"]


def test_headless_services_have_wildcards_instead_of_an_address(hosts: Hosts) -> None:
    headless = """
apiVersion: v1
kind: Service
metadata: {name: h, namespace: shop}
spec: {clusterIP: None, ports: [{name: http, port: 80}]}
"""
    domains = hosts("80", headless)["h.shop.svc.cluster.local:80"]["domains"]
    assert domains[:5] + [f"*.{domain}" for domain in domains[:5]] == domains


def test_an_alias_joins_its_target(hosts: Hosts) -> None:
    alias = """
apiVersion: v1
kind: Service
metadata: {name: basket, namespace: bank}
spec: {type: ExternalName, externalName: cart.shop.svc.cluster.local, ports: [{name: http, port: 80}]}
"""
    found = hosts("80", alias)
    assert "basket.bank.svc.cluster.local:80" not in found
    assert {"basket.bank", "basket.bank.svc.cluster.local"} <= set(found["cart.shop.svc.cluster.local:80"]["domains"])


@pytest.mark.parametrize(
    ("host", "addresses", "domains"),
    [
        ("x.org", "[]", ["x.org", "x.org."]),
        ("x.org", "[192.0.2.1, 192.0.2.2]", ["x.org", "x.org.", "192.0.2.2"]),
        ("x.org", "[192.0.2.0/24]", ["x.org", "x.org.", "192.0.2.0/24"]),
        ("y.shop.svc.cluster.local", "[]", ["y.shop.svc.cluster.local", "y.shop.svc.cluster.local.", "y", "y.shop.svc", "y.shop"]),
    ],
)
def test_service_entries(hosts: Hosts, host: str, addresses: str, domains: list[str]) -> None:
    entry = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: e, namespace: shop}}
spec: {{hosts: [{host}], addresses: {addresses}, ports: [{{number: 80, name: http, protocol: HTTP}}]}}
"""
    assert hosts("80", entry)[f"{host}:80"]["domains"] == domains


def test_a_sniffed_port_has_one_virtual_host_for_everything(hosts: Hosts) -> None:
    sniffed = "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: shop}\nspec: {ports: [{port: 8080}]}"
    found = hosts("s.shop.svc.cluster.local:8080", sniffed)
    assert list(found) == ["s.shop.svc.cluster.local:8080"]
    assert found["s.shop.svc.cluster.local:8080"]["domains"] == ["*"]


def test_an_http_proxy_knows_all_ports_by_name_and_port(hosts: Hosts) -> None:
    found = hosts("http_proxy")
    assert "cart:80" in found["cart.shop.svc.cluster.local:80"]["domains"]
    assert "cart" in found["cart.shop.svc.cluster.local:80"]["domains"]
    assert found["cart.shop.svc.cluster.local:81"]["domains"] == [
        f"{name}:81"
        for name in (
            "cart.shop.svc.cluster.local", "cart.shop.svc.cluster.local.", "cart", "cart.shop.svc", "cart.shop", "10.0.0.1",
        )
    ]  # fmt: skip
    assert found["cart.shop.svc.cluster.local:81"]["routes"][0]["route"]["cluster"] == "outbound|81||cart.shop.svc.cluster.local"


def test_an_egress_listener_imports_only_what_it_names(hosts: Hosts) -> None:
    sidecar = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: shop}
spec:
  egress:
  - {port: {number: 80, protocol: HTTP, name: a}, hosts: ["bank/*"]}
  - {hosts: ["./*"]}
"""
    assert list(hosts("80", sidecar)) == ["pay.bank.svc.cluster.local:80", "allow_any"]
    assert list(hosts("81", sidecar)) == ["cart.shop.svc.cluster.local:81", "allow_any"]
