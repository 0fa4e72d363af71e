from __future__ import annotations

from collections.abc import Callable

import pytest

Codes = Callable[..., list[str]]


def service(name: str, ports: str, more: str = "selector: {app: reviews}", labels: str = "{}", namespace: str = "default") -> str:
    return f"""
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}, labels: {labels}}}
spec: {{{more}, ports: [{ports}]}}
"""


@pytest.mark.parametrize(
    ("port", "code"),
    [
        ("{name: http, port: 80}", ""),
        ("{name: http-web, port: 80}", ""),
        ("{name: HTTP, port: 80}", ""),
        ("{name: web, port: 80}", "IST0118"),
        ("{port: 80}", "IST0118"),
        ("{name: web, port: 80, appProtocol: http}", ""),
        ("{name: http, port: 80, appProtocol: soap}", "IST0118"),
        ("{name: web, port: 53, protocol: UDP}", ""),
        ("{name: grpc-web, port: 80}", ""),
        ("{name: db, port: 3306}", ""),
    ],
)
def test_names_say_the_protocol(codes: Codes, port: str, code: str) -> None:
    assert codes(service("a", port, "selector: {app: nobody}")) == ([f"{code} Service default/a"] if code else [])


def test_external_names(codes: Codes) -> None:
    external = "type: ExternalName, externalName: a.com"
    assert codes(service("a", "{name: tcp, port: 80}", external)) == ["IST0150 Service default/a"]
    assert codes(service("a", "{name: web, port: 80}", external)) == ["IST0150 Service default/a"]
    assert codes(service("a", "{name: tcp-web, port: 80}", external)) == []


def test_istios_own_services_and_system_namespaces_are_left_alone(codes: Codes) -> None:
    port = "{name: web, port: 80}"
    assert codes(service("a", port, labels="{istio: pilot}")) == []
    assert codes(service("a", port, labels="{release: istio}")) == []
    assert codes(service("a", port, namespace="kube-system")) == []


def test_two_services_before_one_deployment(codes: Codes) -> None:
    assert codes(service("a", "{name: udp, port: 9080, protocol: UDP}")) == ["IST0116 Deployment default/reviews-v1"]
    assert codes(service("a", "{name: http, port: 80, targetPort: 9080}")) == ["IST0137 Deployment default/reviews-v1"]
    assert codes(service("a", "{name: http, port: 9080, targetPort: 8080}")) == []
    assert codes(service("a", "{name: udp, port: 9080, protocol: UDP}", namespace="other")) == []


def entry(port: str, more: str = "") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: e}}
spec: {{hosts: [a.com], ports: [{port}], resolution: DNS{more}}}
"""


@pytest.mark.parametrize(
    ("port", "more", "code"),
    [
        ("{number: 1, name: a, protocol: TCP}", "", "IST0134"),
        ("{number: 1, name: a}", "", "IST0134"),
        ("{number: 1, name: a, protocol: HTTP}", "", ""),
        ("{number: 1, name: a, protocol: TCP}", ", addresses: [10.0.0.1]", ""),
    ],
)
def test_tcp_needs_an_address(codes: Codes, port: str, more: str, code: str) -> None:
    assert codes(entry(port, more)) == ([f"{code} ServiceEntry default/e"] if code else [])


def test_addresses_can_be_made_up(codes: Codes) -> None:
    metadata = {"ISTIO_META_DNS_CAPTURE": "true", "ISTIO_META_DNS_AUTO_ALLOCATE": "true"}
    text = entry("{number: 1, name: a, protocol: TCP}")
    assert codes(text, mesh_config={"defaultConfig": {"proxyMetadata": metadata}}) == []


def test_what_a_controller_found(codes: Codes) -> None:
    status = "status: {conditions: [{type: Ready, status: '%s', reason: r, message: m}]}"
    text = service("a", "{name: http, port: 80}", "selector: {app: nobody}")
    assert codes(text + status % "False") == ["IST0171 Service default/a"]
    assert codes(text + status % "True") == []
