from __future__ import annotations

from collections.abc import Callable

import pytest

Codes = Callable[..., list[str]]


def service(name: str, spec: str, namespace: str = "default") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}}}
spec: {spec}
"""


def route(destination: str, more: str = "") -> str:
    return service("a", f"{{hosts: [reviews], http: [{{route: [{{destination: {destination}}}]{more}}}]}}")


RULE = """
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: %s}
spec: {host: %s, subsets: [{name: v1, labels: {version: v1}}]}
"""
ENTRY = """
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e}
spec: {hosts: ["%s"], exportTo: [%s], ports: [{number: 443, name: tls, protocol: TLS}], resolution: NONE}
"""


@pytest.mark.parametrize(
    ("destination", "code"),
    [
        ("{host: reviews}", ""),
        ("{host: reviews.default.svc.cluster.local}", ""),
        ("{host: reviews.default}", "IST0101"),
        ("{host: reveiws}", "IST0101"),
        ("{host: reviews, port: {number: 9080}}", ""),
        ("{host: reviews, port: {number: 80}}", "IST0101"),
        ("{host: cart}", "IST0112"),
        ("{host: cart, port: {number: 80}}", ""),
        ("{host: reviews, subset: v1}", "IST0101"),
    ],
)
def test_destinations(codes: Codes, destination: str, code: str) -> None:
    expected = [f"{code} VirtualService default/a"] if code else []
    assert codes(route(destination)) == expected
    assert codes(route("{host: reviews}", f", mirror: {destination}")) == expected
    assert codes(route("{host: reviews}", f", mirrors: [{{destination: {destination}}}]")) == expected


def test_tcp_and_tls_routes_have_destinations_too(codes: Codes) -> None:
    tcp = service("a", "{hosts: [reviews], tcp: [{route: [{destination: {host: nobody}}]}]}")
    tls = service("b", "{hosts: [a.com], tls: [{match: [{sniHosts: [a.com]}], route: [{destination: {host: nobody}}]}]}")
    assert codes(tcp + tls) == ["IST0101 VirtualService default/a", "IST0101 VirtualService default/b"]


@pytest.mark.parametrize(
    ("host", "export_to", "asked", "found"),
    [
        ("api.a.com", "", "api.a.com", True),
        ("*.a.com", "", "api.a.com", True),
        ("*.a.com", "", "a.com", False),
        ("api.a.com", ".", "api.a.com", True),
        ("api.a.com", "shop", "api.a.com", True),  # what the object exports to is looked at, not to whom the host is
        ("short", "", "short", True),
    ],
)
def test_hosts_of_service_entries(codes: Codes, host: str, export_to: str, asked: str, found: bool) -> None:
    assert (codes(ENTRY % (host, export_to) + route(f"{{host: {asked}}}")) == []) is found


def test_a_service_can_hide(codes: Codes) -> None:
    hidden = """
---
apiVersion: v1
kind: Service
metadata: {name: vault, namespace: shop, annotations: {networking.istio.io/exportTo: "."}}
spec: {ports: [{name: http, port: 80}]}
"""
    spec = "{hosts: [a.com], http: [{route: [{destination: {host: vault.shop.svc.cluster.local}}]}]}"
    assert codes(hidden + service("a", spec)) == ["IST0101 VirtualService default/a"]
    assert codes(hidden + service("a", spec, "shop")) == []


@pytest.mark.parametrize(
    ("namespace", "host", "known"),
    [
        ("default", "reviews", True),
        ("default", "reviews.default.svc.cluster.local", True),
        ("shop", "reviews.default.svc.cluster.local", True),
        ("shop", "reviews", False),
    ],
)
def test_subsets_belong_to_a_service(codes: Codes, namespace: str, host: str, known: bool) -> None:
    found = codes(RULE % (namespace, host) + route("{host: reviews, subset: v1}"))
    assert ("IST0101 VirtualService default/a" not in found) is known


@pytest.mark.parametrize(
    ("one", "other", "conflict"),
    [
        ("hosts: [reviews]", "hosts: [reviews]", True),
        ("hosts: [reviews]", "hosts: [reviews.default.svc.cluster.local]", True),
        ("hosts: [reviews]", "hosts: [cart]", False),
        ("hosts: [reviews], gateways: [istio-system/gw]", "hosts: [reviews]", False),
        ("hosts: [reviews], gateways: [istio-system/gw, mesh]", "hosts: [reviews]", True),
        ("hosts: [reviews], exportTo: [.]", "hosts: [reviews]", True),
        ("hosts: [reviews], exportTo: [.]", "hosts: [reviews], exportTo: [shop]", False),
        ("hosts: [reviews], exportTo: [shop]", "hosts: [reviews], exportTo: [shop]", True),
        ("hosts: ['*.com'], exportTo: [.]", "hosts: [a.com]", True),
        ("hosts: ['*.com']", "hosts: [a.com]", False),
    ],
)
def test_one_host_twice_on_the_mesh(codes: Codes, one: str, other: str, conflict: bool) -> None:
    http = "http: [{route: [{destination: {host: reviews}}]}]"
    found = codes(service("a", f"{{{one}, {http}}}") + service("b", f"{{{other}, {http}}}"))
    expected = {"IST0109 VirtualService default/a", "IST0109 VirtualService default/b"} if conflict else set()
    assert {text for text in found if "IST0109" in text} == expected


GATEWAY = """
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: %s}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["%s"]}]
"""


@pytest.mark.parametrize(
    ("where", "offered", "bound", "expected"),
    [
        ("default", "*", "gw", []),
        ("default", "a.com", "gw", []),
        ("default", "*.com", "gw", []),
        ("default", "b.com", "gw", ["IST0132"]),
        ("default", "./a.com", "gw", []),
        ("istio-system", "a.com", "istio-system/gw", []),
        ("istio-system", "./a.com", "istio-system/gw", ["IST0132"]),
        ("istio-system", "default/a.com", "istio-system/gw", []),
        ("istio-system", "*/a.com", "istio-system/gw", []),
        ("istio-system", "a.com", "gw", ["IST0101", "IST0132"]),
        ("default", "a.com", "gw-istio-autogenerated-k8s-gateway-http", ["IST0165"]),
    ],
)
def test_gateways(codes: Codes, where: str, offered: str, bound: str, expected: list[str]) -> None:
    spec = f"{{hosts: [a.com], gateways: [{bound}], http: [{{route: [{{destination: {{host: reviews}}}}]}}]}}"
    found = codes(GATEWAY % (where, offered) + service("a", spec))
    assert sorted(found) == [f"{code} VirtualService default/a" for code in expected]


def test_claims_need_a_request_authentication_at_the_gateway(codes: Codes) -> None:
    match = "[{headers: {'@request.auth.claims.group': {exact: dev}}}]"
    spec = f"{{hosts: [a.com], gateways: [gw], http: [{{match: {match}, route: [{{destination: {{host: reviews}}}}]}}]}}"
    text = GATEWAY % ("default", "*") + service("a", spec)
    policy = """
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: istio-system}
spec: {selector: {matchLabels: {istio: %s}}, jwtRules: [{issuer: a}]}
"""
    assert codes(text) == ["IST0149 VirtualService default/a"]
    assert codes(text + policy % "ingressgateway") == []
    assert codes(text + policy % "egressgateway") == ["IST0149 VirtualService default/a"]


def test_subsets_of_the_mesh_mean_nothing_at_the_gateway(codes: Codes) -> None:
    split = service("split", "{hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: v1}}]}]}")
    edge = service("edge", "{hosts: [a.com], gateways: [gw], http: [{route: [{destination: {host: reviews}}]}]}")
    found = codes(GATEWAY % ("default", "*") + RULE % ("default", "reviews") + split + edge)
    assert found == ["IST0140 VirtualService default/edge"]


def test_the_old_percentage(codes: Codes) -> None:
    delay = ", fault: {delay: {percent: %d, fixedDelay: 1s}}"
    assert codes(route("{host: reviews}", delay % 5)) == ["IST0002 VirtualService default/a"]
    assert codes(route("{host: reviews}", delay % 0)) == []
