from __future__ import annotations

from collections.abc import Callable

import pytest

Codes = Callable[..., list[str]]


def namespace(name: str, labels: str) -> str:
    return f"---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {labels}}}}}\n"


@pytest.mark.parametrize(
    ("name", "labels", "code"),
    [
        ("shop", "{}", "IST0102"),
        ("shop", "{istio-injection: enabled}", ""),
        ("shop", "{istio-injection: disabled}", ""),
        ("shop", "{istio.io/rev: canary}", ""),
        ("shop", "{istio-injection: enabled, istio.io/rev: canary}", "IST0123"),
        ("shop", "{istio-injection: disabled, istio.io/rev: canary}", ""),
        ("shop", "{istio.io/dataplane-mode: ambient}", ""),
        ("shop", "{istio-injection: enabled, istio.io/dataplane-mode: ambient}", "IST0123"),
        ("istio-system", "{}", ""),
        ("kube-system", "{}", ""),
    ],
)
def test_namespaces(codes: Codes, name: str, labels: str, code: str) -> None:
    assert codes(namespace(name, labels)) == ([f"{code} Namespace {name}"] if code else [])


def pod(metadata: str = "", spec: str = "containers: [{name: app, image: a}]") -> str:
    return f"---\n{{apiVersion: v1, kind: Pod, metadata: {{name: p, namespace: default{metadata}}}, spec: {{{spec}}}}}\n"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (pod(), "IST0103"),
        (pod(spec="containers: [{name: istio-proxy, image: proxyv2}]"), ""),
        (pod(spec="initContainers: [{name: istio-proxy, image: proxyv2}]"), ""),
        (pod(spec="containers: [], hostNetwork: true"), ""),
        (pod(', labels: {sidecar.istio.io/inject: "false"}'), ""),
        (pod().replace("namespace: default", "namespace: elsewhere"), ""),
        (pod(spec="containers: [{name: istio-proxy, image: auto}]"), "IST0147"),
    ],
)
def test_pods(codes: Codes, text: str, code: str) -> None:
    assert codes(text) == ([f"{code} Pod default/p"] if code else [])


def test_pods_where_the_namespace_contradicts_itself(codes: Codes) -> None:
    here = pod().replace("namespace: default", "namespace: shop")
    assert codes(namespace("shop", "{istio.io/rev: canary}") + here) == ["IST0103 Pod shop/p"]
    both = namespace("shop", "{istio-injection: enabled, istio.io/rev: canary}")
    assert codes(both + here) == ["IST0123 Namespace shop"]


def webhook(name: str, *selectors: str, service: str = "istiod", labels: str = "{}") -> str:
    hooks = ", ".join(
        f"{{name: h{index}.istio.io, namespaceSelector: {selector}, clientConfig: "
        f"{{service: {{name: {service}, namespace: istio-system}}}}}}"
        for index, selector in enumerate(selectors)
    )
    return f"""
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {{name: {name}, labels: {labels}}}
webhooks: [{hooks}]
"""


ISTIOD = "---\n{apiVersion: v1, kind: Service, metadata: {name: istiod, namespace: istio-system}, spec: {ports: []}}\n"
ENABLED, NOT_ENABLED = (
    "{matchLabels: {istio-injection: enabled}}",
    "{matchExpressions: [{key: istio-injection, operator: DoesNotExist}]}",
)
DEPLOYMENT = "Deployment istio-system/istio-ingressgateway"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),  # without any webhook nothing can be said
        (webhook("a", "{}"), []),
        (webhook("a", ENABLED), [f"IST0146 {DEPLOYMENT}"]),
        (webhook("a", ENABLED, NOT_ENABLED), []),
        (webhook("a", ENABLED, "{}"), ["IST0139 MutatingWebhookConfiguration a"]),
        (webhook("a", "{}", service="gone"), ["IST0139 MutatingWebhookConfiguration a"]),
        (
            webhook("a", "{}", labels="{istio.io/rev: x}") + webhook("b", "{}"),
            ["IST0139 MutatingWebhookConfiguration a", "IST0139 MutatingWebhookConfiguration b"],
        ),
        (webhook("a", "{matchExpressions: [{key: istio.io/rev, operator: In, values: [x]}]}"), [f"IST0146 {DEPLOYMENT}"]),
        (webhook("a", "{matchExpressions: [{key: istio.io/rev, operator: NotIn, values: [x]}]}"), []),
        (webhook("a", "{matchExpressions: [{key: istio.io/rev, operator: Exists}]}"), [f"IST0146 {DEPLOYMENT}"]),
        (webhook("a", "{matchExpressions: [{key: istio.io/rev, operator: Like}]}"), [f"IST0146 {DEPLOYMENT}"]),
    ],
)
def test_webhooks(codes: Codes, text: str, expected: list[str]) -> None:
    assert codes(ISTIOD + text) == expected


@pytest.mark.parametrize(
    ("spec", "warned"),
    [
        ("{securityContext: {runAsUser: 1337}, containers: []}", True),
        ("{containers: [{name: app, securityContext: {runAsUser: 1337}}]}", True),
        ("{containers: [{name: istio-proxy, image: a, securityContext: {runAsUser: 1337}}]}", False),
        ("{securityContext: {runAsUser: 1000}, containers: []}", False),
    ],
)
def test_the_proxys_user(codes: Codes, spec: str, warned: bool) -> None:
    text = f"""
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: app}}
spec: {{template: {{metadata: {{labels: {{app: app}}}}, spec: {spec}}}}}
"""
    assert codes(text) == (["IST0144 Pod default/app", "IST0144 Deployment default/app"] if warned else [])
