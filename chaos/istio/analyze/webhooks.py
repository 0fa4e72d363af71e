"""What does `istioctl analyze` find about Istio's webhooks?

Source: istio pkg/config/analysis/analyzers/webhook.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from chaos.istio.analyze.cluster import INJECT, INJECTION, Cluster, mapping, mappings, texts
from chaos.istio.documents import Document
from chaos.istio.findings import Finding, Level, about

CONFIGURATION = "MutatingWebhookConfiguration"
_REVISION = "istio.io/rev"
Labels = Mapping[str, str]


def webhooks(cluster: Cluster) -> Iterator[Finding]:
    """IST0139: two injectors for one pod, or an injector without the service behind it."""
    found = [
        (configuration, hook)
        for configuration in cluster.world.of_kind(CONFIGURATION)
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
        hooked = [(configuration, hook) for configuration, hook in found if is_hooked(hook, namespace, pod)]
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


def is_hooked(hook: Mapping[str, Any], namespace: Labels, pod: Labels) -> bool:
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


ANALYZERS = (webhooks,)
