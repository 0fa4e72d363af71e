from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

Codes = Callable[..., list[str]]


def gateway(name: str, servers: str, selector: str = "{istio: ingressgateway}", namespace: str = "default") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{selector: {selector}, servers: {servers}}}
"""


def server(host: str, port: int = 80, bind: str = "") -> str:
    return f"{{port: {{number: {port}, name: http-{port}, protocol: HTTP}}, hosts: [{host}], bind: '{bind}'}}"


def https(credential: str, port: int = 443) -> str:
    tls = f"{{mode: SIMPLE, credentialName: {credential}}}"
    return f"[{{port: {{number: {port}, name: https, protocol: HTTPS}}, hosts: ['*'], tls: {tls}}}]"


SERVICE = """
---
apiVersion: v1
kind: Service
metadata: {name: more, namespace: istio-system}
spec: {selector: {istio: ingressgateway}, ports: [{name: https, port: 443}, {name: http, port: 81}]}
"""


@pytest.mark.parametrize(("port", "offered"), [(80, True), (8080, True), (81, True), (443, True), (9000, False)])
def test_ports_of_the_services_before_the_pods(codes: Codes, port: int, offered: bool) -> None:
    found = codes(SERVICE + gateway("a", f"[{server('a.com', port)}]"))
    assert found == ([] if offered else ["IST0162 Gateway default/a"])


def test_nobody_runs_it(codes: Codes) -> None:
    assert codes(gateway("a", f"[{server('a.com')}]", "{istio: egressgateway}")) == ["IST0101 Gateway default/a"]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


CERTIFICATE = f"-----BEGIN CERTIFICATE-----\n{encoded('0certainly not but begins as one')}\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (None, "IST0101"),
        ("{}", "IST0161"),
        (f"{{tls.crt: {encoded('nonsense')}, tls.key: {encoded('key')}}}", "IST0161"),
        (f"{{tls.crt: {encoded(CERTIFICATE)}}}", "IST0161"),
        (f"{{tls.crt: {encoded(CERTIFICATE)}, tls.key: {encoded('key')}}}", ""),
        (f"{{cert: {encoded(CERTIFICATE)}, key: {encoded('key')}}}", ""),
        ("{tls.crt: '***', tls.key: a}", "IST0161"),
    ],
)
def test_the_secret_of_a_certificate(codes: Codes, data: str | None, code: str) -> None:
    secret = f"---\n{{apiVersion: v1, kind: Secret, metadata: {{name: cert, namespace: istio-system}}, data: {data}}}\n"
    found = codes(SERVICE + (secret if data else "") + gateway("a", https("cert")))
    assert found == ([f"{code} Gateway default/a"] if code else [])


@pytest.mark.parametrize(
    ("one", "other", "selector", "conflict"),
    [
        (server("a.com"), server("a.com"), "{istio: ingressgateway}", True),
        (server("a.com"), server("b.com"), "{istio: ingressgateway}", False),
        (server("a.com"), server("'*.com'"), "{istio: ingressgateway}", False),  # hosts are compared as text
        (server("a.com"), server("a.com", 81), "{istio: ingressgateway}", False),
        (server("a.com"), server("a.com", bind="127.0.0.1"), "{istio: ingressgateway}", False),
        (server("a.com"), server("a.com"), "{app: istio-ingressgateway}", False),
        (server("a.com"), server("a.com"), "{app: istio-ingressgateway, istio: ingressgateway}", True),
        (server("a.com"), server("a.com"), "{}", True),
    ],
)
def test_a_host_taken_twice(codes: Codes, one: str, other: str, selector: str, conflict: bool) -> None:
    found = codes(SERVICE + gateway("a", f"[{one}]") + gateway("b", f"[{other}]", selector))
    assert found == (["IST0145 Gateway default/a", "IST0145 Gateway default/b"] if conflict else [])


@pytest.mark.parametrize(
    ("mine", "other", "selector", "expected"),
    [
        ("cert", "cert", "{istio: ingressgateway}", {"a", "b"}),
        ("cert", "other", "{istio: ingressgateway}", set()),
        ("cert", "cert", "{istio: ingressgateway, app: istio-ingressgateway}", {"a"}),
        ("cert", "cert", "{}", {"b"}),
    ],
)
def test_one_certificate_on_two_gateways(codes: Codes, mine: str, other: str, selector: str, expected: set[str]) -> None:
    text = SERVICE + gateway("a", https(mine)) + gateway("b", https(other, 8443), selector)
    found = {line for line in codes(text) if line.startswith("IST0138")}
    assert found == {f"IST0138 Gateway default/{name}" for name in expected}
