from __future__ import annotations

from collections.abc import Callable

import pytest

from chaos.istio.gateways import MergedGateway, intersection, merged_gateway
from chaos.istio.world import World

PROXY = """
apiVersion: v1
kind: Pod
metadata: {name: gw, namespace: istio-system, labels: {istio: ingress}}
spec: {containers: [{name: istio-proxy}]}
---
apiVersion: v1
kind: Service
metadata: {name: gw, namespace: istio-system%s}
spec: {selector: {istio: ingress}, ports: [{name: http, port: 80, targetPort: 8080}, {name: https, port: 443, targetPort: 8443}]}
"""
TLS = "tls: {mode: SIMPLE, credentialName: c}"


def gateway(*servers: str, name: str = "edge", namespace: str = "shop", selector: str = "istio: ingress") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{selector: {{{selector}}}, servers: [{", ".join(servers)}]}}
"""


def server(port: int = 80, protocol: str = "HTTP", hosts: str = "a.com", name: str = "p", more: str = "") -> str:
    return f"{{port: {{number: {port}, name: {name}, protocol: {protocol}}}, hosts: [{hosts}]{', ' + more if more else ''}}}"


def merged(world: World) -> MergedGateway:
    return merged_gateway(world, world.proxy("gw.istio-system"))


def routes(found: MergedGateway) -> dict[str, list[tuple[str, ...]]]:
    return {name: [s.hosts for s in servers] for name, servers in found.by_route.items()}


def test_a_server_is_bound_to_the_target_port(world_of: Callable[..., World]) -> None:
    found = merged(world_of(PROXY % "", gateway(server(), server(9000, name="q"))))
    assert list(found.by_port) == [(8080, ""), (9000, "")]
    assert routes(found) == {"http.8080": [("a.com",)], "http.9000": [("a.com",)]}
    assert found.service_ports == {8080: frozenset({80})}


def test_a_service_may_forbid_the_translation(world_of: Callable[..., World]) -> None:
    label = ', labels: {experimental.istio.io/disable-gateway-port-translation: "true"}'
    assert list(merged(world_of(PROXY % label, gateway(server()))).by_port) == [(80, "")]


def test_only_gateways_that_select_the_proxy_count(world_of: Callable[..., World]) -> None:
    found = merged(world_of(PROXY % "", gateway(server(), selector="istio: other"), gateway(server(81), name="b")))
    assert list(found.by_port) == [(81, "")]


def test_plain_http_servers_share_a_port(world_of: Callable[..., World]) -> None:
    found = merged(world_of(PROXY % "", gateway(server()), gateway(server(hosts="b.com", protocol="GRPC"), name="other")))
    assert routes(found) == {"http.8080": [("a.com",), ("b.com",)]}


def test_tls_servers_have_routes_of_their_own(world_of: Callable[..., World]) -> None:
    found = merged(
        world_of(
            PROXY % "",
            gateway(
                server(443, "HTTPS", "a.com", "one", TLS),
                server(443, "HTTPS", "b.com", "two", TLS),
                server(443, "HTTPS", "a.com", "again", TLS),
            ),
        )
    )
    assert routes(found) == {"https.443.one.edge.shop": [("a.com",)], "https.443.two.edge.shop": [("b.com",)]}


@pytest.mark.parametrize(
    "second",
    [
        server(80, "TCP", name="q"),
        server(80, "HTTPS", name="q", more=TLS),
    ],
)
def test_what_cannot_share_a_port_is_skipped(world_of: Callable[..., World], second: str) -> None:
    found = merged(world_of(PROXY % "", gateway(server(), second)))
    assert [len(servers) for servers in found.by_port.values()] == [1]


@pytest.mark.parametrize("tls", ["tls: {mode: PASSTHROUGH}", "tls: {mode: AUTO_PASSTHROUGH}"])
def test_passthrough_sees_no_http(world_of: Callable[..., World], tls: str) -> None:
    found = merged(world_of(PROXY % "", gateway(server(443, "HTTPS", more=tls))))
    assert found.by_route == {}
    assert found.by_port[8443, ""][0].is_passthrough


@pytest.mark.parametrize(
    ("hosts", "kept", "for_shop", "for_bank"),
    [
        ("a.com, b.com", ("a.com", "b.com"), ["a.com", "b.com"], ["a.com", "b.com"]),
        ("./a.com", ("shop/a.com",), ["a.com"], []),
        ("bank/a.com", ("bank/a.com",), [], ["a.com"]),
        ('"*/a.com"', ("a.com",), ["a.com"], ["a.com"]),
        ('a.com, "*/*"', ("*",), ["*"], ["*"]),
    ],
)
def test_hosts_of_one_namespace(
    world_of: Callable[..., World], hosts: str, kept: tuple[str, ...], for_shop: list[str], for_bank: list[str]
) -> None:
    (found,) = merged(world_of(PROXY % "", gateway(server(hosts=hosts)))).by_route["http.8080"]
    assert found.hosts == kept
    assert (found.hosts_for("shop"), found.hosts_for("bank")) == (for_shop, for_bank)


@pytest.mark.parametrize(
    ("ours", "theirs", "both"),
    [
        (["*.a.com"], ["x.a.com", "y.b.com"], ["x.a.com"]),
        (["x.a.com", "y.a.com"], ["*.a.com"], ["x.a.com", "y.a.com"]),
        (["*"], ["*"], ["*"]),
        (["a.com"], ["b.com"], []),
        (["*.com", "a.com"], ["a.com"], ["a.com"]),
    ],
)
def test_the_narrower_host_of_two_that_overlap(ours: list[str], theirs: list[str], both: list[str]) -> None:
    assert intersection(ours, theirs) == both
