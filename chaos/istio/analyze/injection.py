"""What does `istioctl analyze` find about injection, namespaces and pods?

Sources: istio pkg/config/analysis/analyzers/injection, /webhook, /deployment (pod.go). A pod made from a Deployment is
taken as injected; only pods that a manifest spells out can lack a proxy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
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
from chaos.istio.analyze.ports import is_control_plane
from chaos.istio.documents import Document
from chaos.istio.findings import Finding, Level, about

_REVISION = "istio.io/rev"
_DATAPLANE = "istio.io/dataplane-mode"
_ROOT_NAMESPACE = "istio-system"
_PROXY_USER = 1337
_ISTIOS_OWN = (PROXY_CONTAINER, "istio-operator")
_AUTO = "auto"
_WEBHOOKS = "MutatingWebhookConfiguration"
Labels = Mapping[str, str]


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


def _injection_labels(labels: Labels) -> list[str]:
    """`istio-injection=disabled` ends the matter; the revision and the ambient mode count beside `enabled` or alone."""
    legacy = labels.get(INJECTION, "")
    counted = (INJECTION, _REVISION, _DATAPLANE) if legacy in ("", "enabled") else (INJECTION,)
    return [f"{key}={labels[key]}" for key in counted if key in labels and (key != INJECTION or legacy)]


def missing_proxies(cluster: Cluster) -> Iterator[Finding]:
    """IST0103: a pod that was there before its namespace was labelled."""
    for pod in cluster.world.of_kind("Pod", ""):
        labels = cluster.namespace_labels(pod.namespace) or {}
        if labels.get(INJECTION) != "enabled" and _REVISION not in labels:
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
    """IST0146, IST0147: `image: auto`, which only the injector can replace."""
    for pod in cluster.world.of_kind("Pod", ""):
        if _has_auto_image(pod.spec):
            yield about(pod, "IST0147", Level.ERROR, _auto_image(pod))
    hooks = [
        hook
        for configuration in cluster.world.of_kind(_WEBHOOKS)
        for hook in mappings(configuration.raw.get("webhooks"))
        if str(hook.get("name", "")).endswith("istio.io")
    ]
    for deployment in cluster.world.of_kind("Deployment", "apps"):
        template = mapping(deployment.spec.get("template"))
        labels = texts(mapping(template.get("metadata")).get("labels"))
        around = cluster.namespace_labels(deployment.namespace) or {}
        if _has_auto_image(mapping(template.get("spec"))) and not any(_is_hooked(hook, around, labels) for hook in hooks):
            yield about(deployment, "IST0146", Level.WARNING, _auto_image(deployment))


def _has_auto_image(spec: Mapping[str, Any]) -> bool:
    return any(c.get("name") == PROXY_CONTAINER and c.get("image") == _AUTO for c in mappings(spec.get("containers")))


def _auto_image(document: Document) -> str:
    subject = f"{document.kind} {document.name}"
    return f"{subject} contains `image: auto` but does not match any Istio injection webhook selectors."


# ---------------------------------------------------------------------------------------------------------- webhooks
def webhooks(cluster: Cluster) -> Iterator[Finding]:
    """IST0139: two injectors for one pod, or an injector without the service behind it."""
    found = [
        (configuration, hook)
        for configuration in cluster.world.of_kind(_WEBHOOKS)
        if _is_istios(configuration)
        for hook in mappings(configuration.raw.get("webhooks"))
    ]
    revisions = sorted({revision for configuration, _ in found for revision in _revisions(configuration)})
    yield from _overlaps(found, revisions)
    services = {f"{service.namespace}/{service.name}" for service in cluster.world.of_kind("Service", "")}
    for configuration, hook in found:
        service = mapping(mapping(hook.get("clientConfig")).get("service"))
        name = f"{service.get('namespace')}/{service.get('name')}"
        if service and name not in services:
            why = f"Injector refers to a control plane service that does not exist: {name}."
            yield about(configuration, "IST0139", Level.ERROR, why)


def _overlaps(found: list[tuple[Document, Mapping[str, Any]]], revisions: list[str]) -> Iterator[Finding]:
    """Tries every combination of labels that Istio's selectors tell apart."""
    tried = [{}, *({_REVISION: revision} for revision in revisions)]
    around = [labels | more for labels in _choices(INJECTION, "enabled", "disabled") for more in tried]
    own = [labels | more for labels in _choices(INJECT, "true", "false") for more in tried]
    reported: set[tuple[Document, str]] = set()
    for namespace, pod in product(around, own):
        hooked = [(configuration, hook) for configuration, hook in found if _is_hooked(hook, namespace, pod)]
        for configuration, hook in hooked if len(hooked) > 1 else ():
            others = [f"{other.name}/{rival.get('name')}" for other, rival in hooked if rival is not hook]
            why = f"Webhook overlaps with others: [{' '.join(others)}]. This may cause injection to occur twice."
            if (configuration, why) not in reported:
                reported.add((configuration, why))
                yield about(configuration, "IST0139", Level.ERROR, why)


def _choices(key: str, *values: str) -> list[dict[str, str]]:
    return [{}, *({key: value} for value in values)]


def _is_istios(configuration: Document) -> bool:
    hooks = mappings(configuration.raw.get("webhooks"))
    return bool(_revisions(configuration)) or any(str(hook.get("name", "")).endswith("istio.io") for hook in hooks)


def _revisions(configuration: Document) -> Iterator[str]:
    labels = texts(configuration.metadata.get("labels"))
    yield from (labels[key] for key in (_REVISION,) if key in labels)
    for hook in mappings(configuration.raw.get("webhooks")):
        for part in ("namespaceSelector", "objectSelector"):
            selector = mapping(hook.get(part))
            wanted = texts(selector.get("matchLabels"))
            yield from (wanted[key] for key in (_REVISION,) if key in wanted)
            for expression in mappings(selector.get("matchExpressions")):
                if expression.get("key") == _REVISION:
                    yield from map(str, expression.get("values") or ())


def _is_hooked(hook: Mapping[str, Any], namespace: Labels, pod: Labels) -> bool:
    return _selects(hook.get("namespaceSelector"), namespace) and _selects(hook.get("objectSelector"), pod)


def _selects(selector: object, labels: Labels) -> bool:
    """A Kubernetes LabelSelector; none selects everything."""
    wanted = mapping(selector)
    if not texts(wanted.get("matchLabels")).items() <= labels.items():
        return False
    return all(_fits(expression, labels) for expression in mappings(wanted.get("matchExpressions")))


def _fits(expression: Mapping[str, Any], labels: Labels) -> bool:
    key, values = str(expression.get("key")), [str(value) for value in expression.get("values") or ()]
    match expression.get("operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            return False


# -------------------------------------------------------------------------------------------------------------- users
def users(cluster: Cluster) -> Iterator[Finding]:
    """IST0144: what runs as the proxy's user is not intercepted."""
    for pod in cluster.pods:
        spec = _pod_spec(pod.document)
        if not _is_control_plane(pod.labels) and _runs_as_proxy(spec):
            yield on_pod(pod.document, pod.name, "IST0144", Level.WARNING, _USER)
    for deployment in cluster.world.of_kind("Deployment", "apps"):
        if not is_control_plane(deployment) and _runs_as_proxy(_pod_spec(deployment)):
            yield about(deployment, "IST0144", Level.WARNING, _USER)


_USER = f"User ID (UID) {_PROXY_USER} is reserved for the sidecar proxy."
