"""What does `istioctl analyze` find in Sidecars?

Source: istio pkg/config/analysis/analyzers/sidecar and /deprecation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from chaos.istio.analyze.cluster import INJECTION, Cluster, Object, selector_text
from chaos.istio.findings import Finding, Level
from chaos.istio.workloads import Pod

_REDIRECTION = "ambient.istio.io/redirection"


def selectors(cluster: Cluster) -> Iterator[Finding]:
    """IST0101: selects nothing. IST0110: selects what another one selects. IST0167: selects pods without sidecars."""
    on_pod: dict[Pod, list[Object]] = defaultdict(list)
    for sidecar in cluster.of("Sidecar"):
        selector = sidecar.spec["workload_selector"]
        if not selector["labels"]:
            continue
        pods = cluster.selected(selector["labels"], sidecar.namespace)
        if not pods:
            yield sidecar.not_found("selector", selector_text(selector["labels"]), *selector.at("labels"))
        for pod in pods:
            on_pod[pod].append(sidecar)
    for pod, involved in on_pod.items():
        yield from _on_pod(pod, involved)


def _on_pod(pod: Pod, involved: list[Object]) -> Iterator[Finding]:
    if pod.annotations.get(_REDIRECTION) == "enabled":
        for sidecar in involved:
            yield _ineffective(sidecar, "selected workload is in ambient mode, the policy has no impact")
    elif len(involved) > 1:
        for sidecar in involved:
            yield sidecar.finding(
                "IST0110",
                Level.ERROR,
                f'The Sidecars {names(involved)} in namespace "{pod.namespace}" select the same workload pod "{pod.name}", '
                "which can lead to undefined behavior.",
                *sidecar.spec.at("workload_selector"),
            )


def without_selector(cluster: Cluster) -> Iterator[Finding]:
    """IST0111: two for one whole namespace. IST0167: for a namespace without sidecars."""
    by_namespace: dict[str, list[Object]] = defaultdict(list)
    for sidecar in cluster.of("Sidecar"):
        if not sidecar.spec["workload_selector"]["labels"]:
            by_namespace[sidecar.namespace].append(sidecar)
    for namespace, involved in by_namespace.items():
        for sidecar in involved:
            if _is_ambient(cluster, namespace):
                yield _ineffective(sidecar, "namespace is in ambient mode, the policy has no impact")
            elif len(involved) > 1:
                why = (
                    f'The Sidecars {names(involved)} in namespace "{namespace}" have no workload selector, '
                    "which can lead to undefined behavior."
                )
                yield sidecar.finding("IST0111", Level.ERROR, why)


def _is_ambient(cluster: Cluster, namespace: str) -> bool:
    labels = cluster.namespace_labels(namespace) or {}
    injected = labels.get(INJECTION) == "enabled" or labels.get("istio.io/rev")
    return not injected and labels.get("istio.io/dataplane-mode") == "ambient"


def _ineffective(sidecar: Object, why: str) -> Finding:
    return sidecar.finding("IST0167", Level.WARNING, f"The policy has no effect: {why}.")


def names(objects: Sequence[Object]) -> str:
    return f"[{' '.join(sorted(found.name for found in objects))}]"


def deprecated(cluster: Cluster) -> Iterator[Finding]:
    """IST0002: a proxy for egress traffic, which Istio ignores."""
    for sidecar in cluster.of("Sidecar"):
        proxy = sidecar.spec["outbound_traffic_policy"]["egress_proxy"]
        if proxy:
            yield sidecar.finding("IST0002", Level.WARNING, "Deprecated: OutboundTrafficPolicy.EgressProxy ignored", *proxy.path)


ANALYZERS = (selectors, without_selector, deprecated)
