from __future__ import annotations

from collections.abc import Callable

import pytest

Codes = Callable[..., list[str]]


def service(annotation: str) -> str:
    return f"---\n{{apiVersion: v1, kind: Service, metadata: {{name: a, annotations: {{{annotation}}}}}, spec: {{ports: []}}}}\n"


def deployment(annotation: str, labels: str = "{app: a}") -> str:
    return f"""
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: a}}
spec: {{template: {{metadata: {{labels: {labels}, annotations: {{{annotation}}}}}, spec: {{containers: []}}}}}}
"""


@pytest.mark.parametrize(
    ("annotation", "code"),
    [
        ("networking.istio.io/exportTo: '.'", ""),
        ("networking.istio.io/exportsTo: '.'", "IST0108"),
        ("proxy.istio.io/config: ''", "IST0107"),
        ("alpha.istio.io/canonical-serviceaccounts: a", "IST0135"),
        ("galley.istio.io/analyze-suppress: IST0001", ""),
        ("kubernetes.io/ingress.class: istio", "IST0107"),
        ("example.com/anything: a", ""),
        ("istio.io.example.com/anything: a", ""),
    ],
)
def test_on_a_service(codes: Codes, annotation: str, code: str) -> None:
    assert codes(service(annotation)) == ([f"{code} Service default/a"] if code else [])


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("sidecar.istio.io/interceptionMode", "TPROXY", "redirect"),
        ("status.sidecar.istio.io/port", "15020", "65536"),
        ("readiness.status.sidecar.istio.io/periodSeconds", "5", "-5"),
        ("traffic.sidecar.istio.io/includeOutboundIPRanges", "*", "10.0.0.0"),
        ("traffic.sidecar.istio.io/excludeOutboundIPRanges", "10.0.0.0/8,192.0.2.0/24", "*"),
        ("traffic.sidecar.istio.io/includeInboundPorts", "*", "80;81"),
        ("traffic.sidecar.istio.io/excludeInboundPorts", "80, 81", "*"),
        ("traffic.sidecar.istio.io/excludeOutboundPorts", "", "http"),
        ("prometheus.istio.io/merge-metrics", "t", "yes"),
        ("proxy.istio.io/config", "concurrency: 1", "'['"),
        ("proxy.istio.io/config", "{}", "5"),
    ],
)
def test_values_on_a_pod(codes: Codes, name: str, good: str, bad: str) -> None:
    assert codes(deployment(f'{name}: "{good}"')) == []
    assert codes(deployment(f'{name}: "{bad}"')) == ["IST0125 Pod default/a"]


def test_injection_is_asked_for_by_a_label_now(codes: Codes) -> None:
    note = 'sidecar.istio.io/inject: "true"'
    assert codes(deployment(note)) == ["IST0135 Pod default/a"]
    assert codes(deployment(note, f"{{app: a, {note}}}")) == []
