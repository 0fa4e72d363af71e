"""Which workloads run as the proxy's own user? Traffic of user 1337 passes the sidecar by.

Source: istio pkg/config/analysis/analyzers/deployment (pod.go), which looks at pods and at Deployments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chaos.istio.analyze.cluster import PROXY_CONTAINER, Cluster, is_control_plane, mapping, mappings, on_pod, texts
from chaos.istio.findings import Finding, Level, about

_PROXY_USER = 1337
_ISTIOS_OWN = (PROXY_CONTAINER, "istio-operator")
_WHY = f"User ID (UID) {_PROXY_USER} is reserved for the sidecar proxy."


def reserved_user(cluster: Cluster) -> Iterator[Finding]:
    """IST0144"""
    for pod in cluster.pods:
        spec = pod.document.spec
        inner = spec if pod.document.kind == "Pod" else mapping(mapping(spec.get("template")).get("spec"))
        if not is_control_plane(pod.labels) and _runs_as_proxy(inner):
            yield on_pod(pod, "IST0144", Level.WARNING, _WHY, "spec", "securityContext")
    for deployment in cluster.world.of_kind("Deployment", "apps"):
        inner = mapping(mapping(deployment.spec.get("template")).get("spec"))
        if not is_control_plane(texts(deployment.metadata.get("labels"))) and _runs_as_proxy(inner):
            yield about(deployment, "IST0144", Level.WARNING, _WHY, "spec", "template", "spec", "securityContext")


def _runs_as_proxy(spec: Mapping[str, Any]) -> bool:
    parts = [spec, *(c for c in mappings(spec.get("containers")) if c.get("name") not in _ISTIOS_OWN)]
    return any(mapping(part.get("securityContext")).get("runAsUser") == _PROXY_USER for part in parts)


ANALYZERS = (reserved_user,)
