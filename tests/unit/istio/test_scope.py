from __future__ import annotations

from collections.abc import Callable

import pytest

from chaos.istio.scope import Scope, scope_of, service_seen_from, services_visible_in, sidecar_of
from chaos.istio.world import World

SHOP = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web, tier: front}}
spec: {containers: [{name: app}]}
---
apiVersion: v1
kind: Pod
metadata: {name: gw, namespace: shop}
spec: {containers: [{name: istio-proxy}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {ports: [{name: http, port: 80}, {name: http-admin, port: 81}]}
---
apiVersion: v1
kind: Service
metadata: {name: pay, namespace: bank}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: vault, namespace: bank, annotations: {networking.istio.io/exportTo: "."}}
spec: {ports: [{name: http, port: 80}]}
"""
ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: {namespace}, creationTimestamp: "{created}"}}
spec: {{hosts: [{host}], resolution: {resolution}, ports: [{{number: {port}, name: http, protocol: HTTP}}]}}
"""
ROUTES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: r, namespace: shop}
spec:
  hosts: [cart.shop.svc.cluster.local]
  http: [{match: [{sourceNamespace: %s}], route: [{destination: {host: pay.bank.svc.cluster.local%s}}]}]
"""


def sidecar(spec: str, namespace: str = "shop", name: str = "default") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{{spec}}}
"""


def entry(name: str, namespace: str, created: str, host: str = "x.org", resolution: str = "DNS", port: int = 80) -> str:
    return ENTRY.format(name=name, namespace=namespace, created=created, host=host, resolution=resolution, port=port)


def scope(world: World, proxy: str = "web.shop") -> Scope:
    return scope_of(world, world.proxy(proxy))


def ports(found: Scope) -> dict[str, list[int]]:
    return {service.name: [port.number for port in service.ports] for service in found.services}


def test_without_a_sidecar_everything_exported_is_seen(world_of: Callable[..., World]) -> None:
    world = world_of(SHOP)
    assert ports(scope(world)) == {"cart": [80, 81], "pay": [80]}
    assert ports(scope(world, "gw.shop")) == {"cart": [80, 81], "pay": [80]}
    assert [service.name for service in services_visible_in(world, "bank")] == ["vault", "cart", "pay"]


@pytest.mark.parametrize(
    ("hosts", "seen"),
    [
        ('["*/*"]', {"cart": [80, 81], "pay": [80]}),
        ('["./*"]', {"cart": [80, 81]}),
        ('["shop/*"]', {"cart": [80, 81]}),
        ('["bank/pay.bank.svc.cluster.local"]', {"pay": [80]}),
        ('["*/*.bank.svc.cluster.local"]', {"pay": [80]}),
        ('["bank/cart.shop.svc.cluster.local"]', {}),
        ('["~/*"]', {}),
        ('["nowhere/*"]', {}),
    ],
)
def test_egress_hosts_say_what_is_imported(world_of: Callable[..., World], hosts: str, seen: dict[str, list[int]]) -> None:
    assert ports(scope(world_of(SHOP, sidecar(f"egress: [{{hosts: {hosts}}}]")))) == seen


def test_a_listener_with_a_port_imports_that_port_alone(world_of: Callable[..., World]) -> None:
    egress = 'egress: [{port: {number: 81, protocol: HTTP, name: a}, hosts: ["./*"]}, {hosts: ["bank/*"]}]'
    found = scope(world_of(SHOP, sidecar(egress)))
    assert ports(found) == {"cart": [81], "pay": [80]}
    of_81, of_80 = found.egress_for(81), found.egress_for(80)
    assert of_81 is not None and [s.name for s in of_81.services] == ["cart"]
    assert of_80 is not None and [s.name for s in of_80.services] == ["pay"]


def test_parts_of_one_service_join(world_of: Callable[..., World]) -> None:
    egress = 'egress: [{port: {number: 81, protocol: HTTP, name: a}, hosts: ["./*"]}, {hosts: ["./*"]}]'
    assert ports(scope(world_of(SHOP, sidecar(egress)))) == {"cart": [81, 80]}


@pytest.mark.parametrize(
    ("source", "port", "seen"),
    [
        ("shop", "", {"cart": [80, 81], "pay": [80]}),
        ("other", "", {"cart": [80, 81]}),
        ("shop", ", port: {number: 80}", {"cart": [80, 81], "pay": [80]}),
        ("shop", ", port: {number: 99}", {"cart": [80, 81]}),
    ],
)
def test_virtual_services_bring_in_where_they_lead(
    world_of: Callable[..., World], source: str, port: str, seen: dict[str, list[int]]
) -> None:
    assert ports(scope(world_of(SHOP, sidecar('egress: [{hosts: ["./*"]}]'), ROUTES % (source, port)))) == seen


@pytest.mark.parametrize(
    ("texts", "chosen"),
    [
        ([], None),
        ([sidecar("egress: []")], "shop/default"),
        ([sidecar("egress: []"), sidecar("workloadSelector: {labels: {app: web}}", name="z")], "shop/z"),
        ([sidecar("egress: []"), sidecar("workloadSelector: {labels: {app: other}}", name="a")], "shop/default"),
        ([sidecar("egress: []", namespace="istio-system")], "istio-system/default"),
        ([sidecar("workloadSelector: {labels: {app: web}}", namespace="istio-system")], None),
        ([sidecar("egress: []", namespace="istio-system"), sidecar("egress: []")], "shop/default"),
        ([sidecar("workloadSelector: {}", name="z"), sidecar("egress: []", name="a")], "shop/z"),
    ],
)
def test_which_sidecar_is_in_force(world_of: Callable[..., World], texts: list[str], chosen: str | None) -> None:
    world = world_of(SHOP, *texts)
    found = sidecar_of(world, world.proxy("web.shop"))
    assert (found.origin.split()[1] if found else None) == chosen


@pytest.mark.parametrize(
    ("mesh", "spec", "mode"),
    [
        ({}, "egress: []", "ALLOW_ANY"),
        ({"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}, "egress: []", "REGISTRY_ONLY"),
        ({"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}, "outboundTrafficPolicy: {mode: ALLOW_ANY}", "ALLOW_ANY"),
        ({}, "outboundTrafficPolicy: {}", "REGISTRY_ONLY"),
    ],
)
def test_the_sidecar_overrides_the_mesh_for_unknown_hosts(
    world_of: Callable[..., World], mesh: dict[str, object], spec: str, mode: str
) -> None:
    assert scope(world_of(SHOP, sidecar(spec), mesh=mesh)).outbound_mode == mode


def test_of_one_host_in_two_namespaces_the_own_one_counts_though_it_is_younger(world_of: Callable[..., World]) -> None:
    world = world_of(SHOP, entry("old", "bank", "2020-01-01T00:00:00Z"), entry("new", "shop", "2024-01-01T00:00:00Z"))
    assert scope(world).services_by_host["x.org"].namespace == "shop"
    third = world_of(SHOP, entry("old", "bank", "2020-01-01T00:00:00Z"), entry("new", "a", "2024-01-01T00:00:00Z"))
    assert scope(third).services_by_host["x.org"].namespace == "bank"


def test_a_kubernetes_service_beats_an_older_service_entry_of_its_name(world_of: Callable[..., World]) -> None:
    squatter = entry("squatter", "bank", "2020-01-01T00:00:00Z", host="cart.shop.svc.cluster.local")
    found = scope(world_of(SHOP, squatter))
    assert found.services_by_host["cart.shop.svc.cluster.local"].kubernetes


def test_two_entries_of_one_host_and_namespace_join_their_ports(world_of: Callable[..., World]) -> None:
    one, two = entry("a", "shop", "2020-01-01T00:00:00Z"), entry("b", "shop", "2021-01-01T00:00:00Z", port=81)
    found = scope(world_of(SHOP, one, two))
    assert [port.number for port in found.services_by_host["x.org"].ports] == [80, 81]
    other = entry("b", "shop", "2021-01-01T00:00:00Z", port=81, resolution="STATIC")
    assert [p.number for p in scope(world_of(SHOP, one, other)).services_by_host["x.org"].ports] == [80]


def test_a_service_as_a_namespace_would_pick_it(world_of: Callable[..., World]) -> None:
    world = world_of(SHOP, entry("b", "b", "2020-01-01T00:00:00Z"), entry("a", "a", "2024-01-01T00:00:00Z"))
    for namespace, picked in (("b", "b"), ("a", "a"), ("shop", "a")):
        service = service_seen_from(world, "x.org", namespace)
        assert service is not None and service.namespace == picked
    assert service_seen_from(world, "vault.bank.svc.cluster.local", "shop") is None


def test_proxies_of_one_kind_share_their_scope(world_of: Callable[..., World]) -> None:
    twin = "apiVersion: v1\nkind: Pod\nmetadata: {name: twin, namespace: shop}\nspec: {containers: [{name: app}]}"
    world = world_of(SHOP, twin)
    assert scope(world) is scope(world, "twin.shop")
    assert scope(world) is not scope(world, "gw.shop")
