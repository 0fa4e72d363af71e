from __future__ import annotations

from collections.abc import Callable

import pytest

from chaos.istio.services import Protocol, Resolution, Service, protocol_of
from chaos.istio.world import World

SERVICE = """
apiVersion: v1
kind: Service
metadata: {{name: cart, namespace: shop{metadata}}}
spec: {{{spec}}}
"""
ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: outside, namespace: shop}}
spec: {{hosts: [a.example.com, b.example.com], ports: [{{number: 443, name: x, protocol: {protocol}, targetPort: 8443}}]{more}}}
"""


@pytest.mark.parametrize(
    ("name", "app_protocol", "number", "transport", "protocol"),
    [
        ("http", None, 80, "TCP", Protocol.HTTP),
        ("http-api", None, 80, "TCP", Protocol.HTTP),
        ("httpish", None, 80, "TCP", Protocol.AUTO),
        ("http2-api", None, 80, "TCP", Protocol.HTTP2),
        ("grpc", None, 80, "TCP", Protocol.GRPC),
        ("grpc-web", None, 80, "TCP", Protocol.GRPC_WEB),
        ("grpc-web-api", None, 80, "TCP", Protocol.GRPC_WEB),
        ("HTTPS-api", None, 80, "TCP", Protocol.HTTPS),
        ("tcp-pg", None, 80, "TCP", Protocol.TCP),
        ("mysql", None, 80, "TCP", Protocol.MYSQL),
        ("", None, 8080, "TCP", Protocol.AUTO),
        ("", None, 3306, "TCP", Protocol.TCP),
        ("", None, 27017, "TCP", Protocol.TCP),
        ("web", None, 53, "TCP", Protocol.TCP),
        ("http", "tcp", 80, "TCP", Protocol.TCP),
        ("tcp-pg", "http", 80, "TCP", Protocol.HTTP),
        ("x", "kubernetes.io/h2c", 80, "TCP", Protocol.HTTP2),
        ("x", "kubernetes.io/ws", 80, "TCP", Protocol.HTTP),
        ("x", "unheard-of", 80, "TCP", Protocol.AUTO),
        ("http", None, 80, "UDP", Protocol.UDP),
    ],
)
def test_protocol_of_a_port(name: str, app_protocol: str | None, number: int, transport: str, protocol: Protocol) -> None:
    assert protocol_of(number, name, app_protocol, transport) is protocol


@pytest.mark.parametrize(
    ("protocol", "http", "http2", "sniffed_too"),
    [
        (Protocol.HTTP, True, False, True),
        (Protocol.GRPC, True, True, True),
        (Protocol.GRPC_WEB, True, True, True),
        (Protocol.AUTO, False, False, True),
        (Protocol.HTTPS, False, False, False),
        (Protocol.TCP, False, False, False),
    ],
)
def test_what_a_protocol_counts_as(protocol: Protocol, http: bool, http2: bool, sniffed_too: bool) -> None:
    assert (protocol.is_http, protocol.is_http2, protocol.is_http_or_sniffed) == (http, http2, sniffed_too)


def only(world: World) -> Service:
    (service,) = world.services
    return service


def test_a_service_has_a_full_name_and_one_made_up_address(world_of: Callable[..., World]) -> None:
    service = only(world_of(SERVICE.format(metadata="", spec="ports: [{name: http, port: 80, targetPort: api}]")))
    assert service.hostname == "cart.shop.svc.cluster.local"
    assert len(service.addresses) == 1
    assert (service.ports[0].number, service.ports[0].target) == (80, "api")
    assert service.resolution is Resolution.STATIC


@pytest.mark.parametrize(
    ("spec", "resolution", "addresses"),
    [
        ("clusterIP: None, ports: [{port: 80}]", Resolution.NONE, ()),
        ("type: ExternalName, externalName: x.example.com", Resolution.ALIAS, ()),
        ("clusterIP: 10.0.0.7, ports: [{port: 80}]", Resolution.STATIC, ("10.0.0.7",)),
        ("clusterIP: 10.0.0.7, clusterIPs: [10.0.0.7, 'fd00::7'], ports: [{port: 80}]", Resolution.STATIC, ("10.0.0.7",)),
        ("clusterIP: 'fd00::7', ports: [{port: 80}]", Resolution.STATIC, ("fd00::7",)),
    ],
)
def test_addresses(world_of: Callable[..., World], spec: str, resolution: Resolution, addresses: tuple[str, ...]) -> None:
    service = only(world_of(SERVICE.format(metadata="", spec=spec)))
    assert (service.resolution, service.addresses) == (resolution, addresses)


@pytest.mark.parametrize(
    ("annotation", "mesh", "exports"),
    [
        ("", {}, {"*"}),
        ("", {"defaultServiceExportTo": ["."]}, {"."}),
        (', annotations: {networking.istio.io/exportTo: "., pay"}', {}, {".", "pay"}),
    ],
)
def test_export_of_a_service(world_of: Callable[..., World], annotation: str, mesh: dict[str, object], exports: set[str]) -> None:
    service = only(world_of(SERVICE.format(metadata=annotation, spec="ports: [{port: 80}]"), mesh=mesh))
    assert service.export_to == exports


def test_a_service_entry_gives_one_service_per_host(world_of: Callable[..., World]) -> None:
    one, other = world_of(ENTRY.format(protocol="TLS", more=", resolution: DNS")).services
    assert (one.hostname, other.hostname) == ("a.example.com", "b.example.com")
    assert one.resolution is Resolution.DNS
    assert one.mesh_external
    assert not one.kubernetes
    assert (one.ports[0].protocol, one.ports[0].target) == (Protocol.TLS, 8443)


@pytest.mark.parametrize("written", ["", ", resolution: NONE", ", resolution: DYNAMIC_DNS"])
def test_whatever_is_not_resolved_here_goes_where_the_caller_went(world_of: Callable[..., World], written: str) -> None:
    assert world_of(ENTRY.format(protocol="HTTP", more=written)).services[0].resolution is Resolution.NONE


def test_external_names_become_aliases_over_several_steps(world_of: Callable[..., World]) -> None:
    alias = """
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{type: ExternalName, externalName: {target}}}
"""
    world = world_of(
        "apiVersion: v1\nkind: Service\nmetadata: {name: real}\nspec: {ports: [{port: 80}]}",
        alias.format(name="one", target="real.default.svc.cluster.local"),
        alias.format(name="two", target="one.default.svc.cluster.local"),
        alias.format(name="loop", target="loop.default.svc.cluster.local"),
    )
    real = world.services_by_host["real.default.svc.cluster.local"][0]
    assert real.aliases == ("one.default.svc.cluster.local", "two.default.svc.cluster.local")
    assert world.services_by_host["loop.default.svc.cluster.local"][0].aliases == ()
