from __future__ import annotations

from collections.abc import Callable

Codes = Callable[..., list[str]]


def sidecar(name: str, selector: str = "", namespace: str = "default", more: str = "") -> str:
    chosen = f"workloadSelector: {{labels: {selector}}}, " if selector else ""
    return f"""
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{{chosen}egress: [{{hosts: ["./*"]}}]{more}}}
"""


def test_selectors(codes: Codes) -> None:
    assert codes(sidecar("a", "{app: reviews}")) == []
    assert codes(sidecar("a", "{app: nobody}")) == ["IST0101 Sidecar default/a"]
    assert codes(sidecar("a", "{app: reviews}", namespace="shop")) == ["IST0101 Sidecar shop/a"]
    assert codes(sidecar("a", "{app: reviews}") + sidecar("b", "{version: v1}")) == [
        "IST0110 Sidecar default/a",
        "IST0110 Sidecar default/b",
    ]


def test_two_for_a_namespace(codes: Codes) -> None:
    assert codes(sidecar("a") + sidecar("b", namespace="shop")) == []
    assert codes(sidecar("a") + sidecar("b")) == ["IST0111 Sidecar default/a", "IST0111 Sidecar default/b"]
    assert codes(sidecar("a") + sidecar("b", "{app: reviews}")) == []


def test_without_sidecars(codes: Codes) -> None:
    namespace = "---\n{apiVersion: v1, kind: Namespace, metadata: {name: calm, labels: {istio.io/dataplane-mode: ambient}}}\n"
    assert codes(namespace + sidecar("a", namespace="calm")) == ["IST0167 Sidecar calm/a"]
    pod = """
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: calm, labels: {app: p}, annotations: {ambient.istio.io/redirection: enabled}}
spec: {containers: []}
"""
    assert codes(namespace + pod + sidecar("a", "{app: p}", namespace="calm")) == ["IST0167 Sidecar calm/a"]


def test_the_proxy_for_egress(codes: Codes) -> None:
    more = ", outboundTrafficPolicy: {egressProxy: {host: reviews, port: {number: 9080}}}"
    assert codes(sidecar("a", more=more.replace("{egressProxy", "{mode: ALLOW_ANY, egressProxy"))) == ["IST0002 Sidecar default/a"]
