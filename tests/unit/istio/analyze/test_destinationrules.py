from __future__ import annotations

from collections.abc import Callable

import pytest

Codes = Callable[..., list[str]]


def rule(spec: str, namespace: str = "default") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: a, namespace: {namespace}}}
spec: {spec}
"""


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("{host: reviews}", ""),
        ("{host: reviews.default.svc.cluster.local}", ""),
        ("{host: reviews.default}", "IST0174"),
        ("{host: '*.default.svc.cluster.local'}", "IST0174"),
        ("{host: nobody, subsets: [{name: a, labels: {version: v9}}]}", "IST0174"),
        ("{host: reviews, subsets: [{name: a, labels: {version: v1}}]}", ""),
        ("{host: reviews, subsets: [{name: a, labels: {version: v9}}]}", "IST0173"),
        ("{host: cart, subsets: [{name: a, labels: {version: v1}}]}", ""),  # any pod will do
        ("{host: reviews, subsets: [{name: a}]}", ""),
        ("{host: reviews, trafficPolicy: {tls: {mode: SIMPLE}}}", "IST0128"),
        ("{host: reviews, trafficPolicy: {tls: {mode: SIMPLE, caCertificates: /ca}}}", ""),
        ("{host: reviews, trafficPolicy: {tls: {mode: SIMPLE, credentialName: c}}}", "IST0128"),
        ("{host: reviews, workloadSelector: {matchLabels: {a: b}}, trafficPolicy: {tls: {mode: SIMPLE, credentialName: c}}}", ""),
        ("{host: reviews, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}", ""),
        ("{host: reviews, trafficPolicy: {portLevelSettings: [{port: {number: 1}, tls: {mode: SIMPLE}}]}}", "IST0129"),
    ],
)
def test_findings(codes: Codes, spec: str, code: str) -> None:
    assert codes(rule(spec)) == ([f"{code} DestinationRule default/a"] if code else [])


def test_a_subset_can_be_a_place(codes: Codes) -> None:
    node = """
---
apiVersion: v1
kind: Node
metadata: {name: node-0, labels: {topology.kubernetes.io/region: east}}
"""
    text = rule("{host: reviews, subsets: [{name: a, labels: {topology.kubernetes.io/region: east}}]}")
    assert codes(text) == ["IST0173 DestinationRule default/a"]
    assert codes(node + text) == []


def test_the_selector_of_a_service_entry_counts(codes: Codes) -> None:
    entry = """
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e}
spec:
  hosts: [vm.internal]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  workloadSelector: {labels: {app: vm}}
"""
    text = rule("{host: vm.internal, subsets: [{name: a, labels: {version: v1}}]}")
    assert codes(entry + text) == ["IST0173 DestinationRule default/a"]
