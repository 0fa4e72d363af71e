from __future__ import annotations

from collections.abc import Callable

import pytest

Codes = Callable[..., list[str]]


def policy(kind: str, name: str, spec: str, namespace: str = "default") -> str:
    group = "telemetry" if kind == "Telemetry" else "security"
    return f"""
---
apiVersion: {group}.istio.io/v1
kind: {kind}
metadata: {{name: {name}, namespace: {namespace}}}
spec: {spec}
"""


@pytest.mark.parametrize(
    ("spec", "namespace", "code"),
    [
        ("{}", "default", ""),
        ("{selector: {matchLabels: {app: reviews}}}", "default", ""),
        ("{selector: {matchLabels: {app: nobody}}}", "default", "IST0127"),
        ("{}", "empty", "IST0127"),
        ("{}", "istio-system", ""),
        ("{selector: {matchLabels: {app: reviews}}}", "istio-system", ""),
        ("{selector: {matchLabels: {app: nobody}}}", "istio-system", "IST0127"),
        ("{targetRefs: [{kind: Service, name: a}]}", "empty", ""),
        ("{rules: [{from: [{source: {namespaces: [default]}}]}]}", "default", ""),
        ("{rules: [{from: [{source: {namespaces: [DEF*]}}]}]}", "default", "IST0101"),
        ("{rules: [{from: [{source: {namespaces: [def*, '*ault', '*']}}]}]}", "default", ""),
        ("{rules: [{from: [{source: {notNamespaces: [nowhere]}}]}]}", "default", "IST0101"),
    ],
)
def test_authorization(codes: Codes, spec: str, namespace: str, code: str) -> None:
    found = codes(policy("AuthorizationPolicy", "a", spec, namespace))
    assert found == ([f"{code} AuthorizationPolicy {namespace}/a"] if code else [])


def test_pods_without_a_proxy_do_not_count(codes: Codes) -> None:
    out = "---\n{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: out, labels: {app: p%s}}, spec: {containers: []}}\n"
    text = policy("AuthorizationPolicy", "a", "{}", "out")
    assert codes(out % "" + text) == ["IST0127 AuthorizationPolicy out/a"]
    assert codes(out % ", sidecar.istio.io/inject: 'true'" + text) == []


def test_access_logging_needs_a_provider(codes: Codes) -> None:
    text = policy("Telemetry", "a", "{accessLogging: [{disabled: false}]}")
    assert codes(text) == ["IST0157 Telemetry default/a"]
    assert codes(text, mesh_config={"defaultProviders": {"accessLogging": ["envoy"]}}) == []
    assert codes(policy("Telemetry", "a", "{accessLogging: [{providers: [{name: envoy}]}]}")) == []


def test_telemetries_of_one_pod_or_namespace(codes: Codes) -> None:
    here = policy("Telemetry", "a", "{selector: {matchLabels: {app: reviews}}}")
    also = policy("Telemetry", "b", "{selector: {matchLabels: {version: v1}}}")
    assert codes(here) == []
    assert codes(here + also) == ["IST0159 Telemetry default/a", "IST0159 Telemetry default/b"]
    assert codes(policy("Telemetry", "a", "{selector: {matchLabels: {app: nobody}}}")) == ["IST0101 Telemetry default/a"]
    two = policy("Telemetry", "a", "{}") + policy("Telemetry", "b", "{}")
    assert codes(two) == ["IST0160 Telemetry default/a", "IST0160 Telemetry default/b"]
    assert codes(policy("Telemetry", "a", "{}") + policy("Telemetry", "b", "{targetRefs: [{kind: Service, name: a}]}")) == []


def test_lightstep_is_gone(codes: Codes) -> None:
    text = policy("Telemetry", "a", "{tracing: [{providers: [{name: old}]}]}")
    assert codes(text, mesh_config={"extensionProviders": [{"name": "old", "lightstep": {}}]}) == ["IST0002 Telemetry default/a"]
    assert codes(text, mesh_config={"extensionProviders": [{"name": "old", "zipkin": {}}]}) == []


def test_selectors_do_not_reach_a_kubernetes_gateway(codes: Codes) -> None:
    pod = """
---
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {gateway.networking.k8s.io/gateway-name: gw, sidecar.istio.io/inject: "false"}}
spec: {containers: []}
"""
    text = policy("RequestAuthentication", "a", "{selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: gw}}}")
    assert codes(pod + text) == ["IST0166 RequestAuthentication default/a"]
