"""What does `istioctl analyze` find about injection?

Source: istio pkg/config/analysis/analyzers/injection. A pod made from a Deployment is taken as injected; only pods that a
manifest spells out can lack a proxy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chaos.istio.analyze.cluster import (
    INJECT,
    INJECTION,
    PROXY_CONTAINER,
    SYSTEM_NAMESPACES,
    Cluster,
    mapping,
    mappings,
    texts,
)
from chaos.istio.analyze.webhooks import CONFIGURATION, is_hooked
from chaos.istio.documents import Document
from chaos.istio.findings import Finding, Level, about

_REVISION = "istio.io/rev"
_DATAPLANE = "istio.io/dataplane-mode"
_ROOT_NAMESPACE = "istio-system"
_AUTO = "auto"


def namespaces(cluster: Cluster) -> Iterator[Finding]:
    """IST0102: nothing says whether to inject. IST0123: too much does."""
    for name, namespace in cluster.world.namespaces.items():
        labels = texts(namespace.metadata.get("labels"))
        if name == _ROOT_NAMESPACE or name in SYSTEM_NAMESPACES:
            continue
        said = _injection_labels(labels)
        if len(said) > 1:
            why = (
                f"The namespace has more than one type of injection labels [{' '.join(said)}], which may lead to undefined "
                "behavior. Make sure only one injection label exists."
            )
            yield about(namespace, "IST0123", Level.WARNING, why, "metadata", "labels")
        elif not said:
            why = (
                f"The namespace is not enabled for Istio injection. Run 'kubectl label namespace {name} "
                f"istio-injection=enabled' to enable it, or 'kubectl label namespace {name} istio-injection=disabled' to "
                "explicitly mark it as not needing injection."
            )
            yield about(namespace, "IST0102", Level.INFO, why, "metadata", "name")


def _is_injected(name: str, labels: Mapping[str, str]) -> bool:
    said = _injection_labels(labels)
    exempt = name == _ROOT_NAMESPACE or name in SYSTEM_NAMESPACES
    return not exempt and (said == [f"{INJECTION}=enabled"] or (len(said) == 1 and _REVISION in labels))


def _injection_labels(labels: Mapping[str, str]) -> list[str]:
    """`istio-injection=disabled` ends the matter; the revision and the ambient mode count beside `enabled` or alone."""
    legacy = labels.get(INJECTION, "")
    counted = (INJECTION, _REVISION, _DATAPLANE) if legacy in ("", "enabled") else (INJECTION,)
    return [f"{key}={labels[key]}" for key in counted if key in labels and (key != INJECTION or legacy)]


def missing_proxies(cluster: Cluster) -> Iterator[Finding]:
    """IST0103: a pod that was there before its namespace was labelled."""
    for pod in cluster.world.of_kind("Pod", ""):
        if not _is_injected(pod.namespace, cluster.namespace_labels(pod.namespace) or {}):
            continue
        metadata = {part: texts(pod.metadata.get(part)) for part in ("labels", "annotations")}
        asked = metadata["labels"].get(INJECT, metadata["annotations"].get(INJECT, ""))
        proxies = [container for container in _containers(pod.spec) if container.get("name") == PROXY_CONTAINER]
        if asked.lower() != "false" and pod.spec.get("hostNetwork") is not True and not proxies:
            why = (
                f"The pod {pod.namespace}/{pod.name} is missing the Istio proxy. This can often be resolved by restarting or "
                "redeploying the workload."
            )
            yield about(pod, "IST0103", Level.WARNING, why)


def _containers(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those of a pod's spec; a proxy may be a native sidecar, which stands among the init containers."""
    return [*mappings(spec.get("containers")), *mappings(spec.get("initContainers"))]


def automatic_images(cluster: Cluster) -> Iterator[Finding]:
    """IST0146, IST0147: `image: auto`, which only the injector can replace. Without any injector's configuration among the
    manifests nothing can be said of Deployments."""
    for pod in cluster.world.of_kind("Pod", ""):
        if _has_auto_image(pod.spec):
            yield about(pod, "IST0147", Level.ERROR, _auto_image(pod))
    hooks = [
        hook
        for configuration in cluster.world.of_kind(CONFIGURATION)
        for hook in mappings(configuration.raw.get("webhooks"))
        if str(hook.get("name", "")).endswith("istio.io")
    ]
    for deployment in cluster.world.of_kind("Deployment", "apps"):
        template = mapping(deployment.spec.get("template"))
        labels = texts(mapping(template.get("metadata")).get("labels"))
        around = cluster.namespace_labels(deployment.namespace) or {}
        auto = _has_auto_image(mapping(template.get("spec")))
        if hooks and auto and not any(is_hooked(hook, around, labels) for hook in hooks):
            yield about(deployment, "IST0146", Level.WARNING, _auto_image(deployment))


def _has_auto_image(spec: Mapping[str, Any]) -> bool:
    return any(c.get("name") == PROXY_CONTAINER and c.get("image") == _AUTO for c in mappings(spec.get("containers")))


def _auto_image(document: Document) -> str:
    subject = f"{document.kind} {document.name}"
    return f"{subject} contains `image: auto` but does not match any Istio injection webhook selectors."


ANALYZERS = (namespaces, missing_proxies, automatic_images)
