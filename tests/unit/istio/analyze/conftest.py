from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from chaos.istio.lint import lint
from tests.manifests import documents

# reviews (two versions, one port) and cart (two ports) in an injected namespace, and an ingress gateway.
MESH = """\
apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart}
spec: {selector: {app: cart}, ports: [{name: http, port: 80}, {name: http-admin, port: 9901}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews-v1}
spec:
  template: {metadata: {labels: {app: reviews, version: v1}}, spec: {containers: [{name: app, image: reviews}]}}
---
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec: {selector: {istio: ingressgateway}, ports: [{name: http2, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec:
  template:
    metadata: {labels: {istio: ingressgateway, app: istio-ingressgateway}}
    spec: {containers: [{name: istio-proxy, image: auto}]}
---
"""
FROM_VALIDATION = {"IST0106", "IST0130", "IST0131", "IST0133"}
Codes = Callable[..., list[str]]


@pytest.fixture
def codes() -> Codes:
    """`codes(text)`: what is found in these manifests beside MESH, as `IST0101 VirtualService default/a`, each once."""

    def find(text: str, *, mesh_config: Mapping[str, Any] | None = None) -> list[str]:
        found = lint([*documents(MESH), *documents(text)], mesh_config=mesh_config)
        ours = (f for f in found if f.code.startswith("IST") and f.code not in FROM_VALIDATION)
        return list(dict.fromkeys(f"{f.code} {f.origin}" for f in ours))

    return find
