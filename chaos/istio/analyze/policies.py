"""What does `istioctl analyze` find in AuthorizationPolicies, RequestAuthentications and Telemetries?

Sources: istio pkg/config/analysis/analyzers/authz, /telemetry, /k8sgateway.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from chaos.istio.analyze.cluster import Cluster, Object, selector_text
from chaos.istio.analyze.sidecars import names
from chaos.istio.findings import Finding, Level
from chaos.istio.workloads import Pod

_GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
_WITH_SELECTOR = ("AuthorizationPolicy", "RequestAuthentication", "Telemetry")


def authorization_workloads(cluster: Cluster) -> Iterator[Finding]:
    """IST0127: an AuthorizationPolicy that concerns no pod of the mesh."""
    for policy in cluster.of("AuthorizationPolicy"):
        selector, labels = policy.spec["selector"], policy.spec["selector"]["match_labels"]
        root = policy.namespace == cluster.world.mesh.root_namespace
        if (root and not selector) or policy.spec["target_ref"] or policy.spec["target_refs"]:
            continue
        pods = cluster.selected(labels, None if root else policy.namespace)
        if not any(map(cluster.in_mesh, pods)):
            why = f"No matching workloads for this resource with the following labels: {selector_text(labels)}"
            yield policy.finding("IST0127", Level.WARNING, why, *selector.path)


def authorization_namespaces(cluster: Cluster) -> Iterator[Finding]:
    """IST0101: an AuthorizationPolicy that names a namespace nobody declared."""
    for policy in cluster.of("AuthorizationPolicy"):
        for rule in policy.spec["rules"]:
            for sender in rule["from"]:
                for field in ("namespaces", "not_namespaces"):
                    for index, wanted in enumerate(sender["source"][field]):
                        if not any(_means(wanted, name) for name in cluster.world.namespaces):
                            yield policy.not_found("namespace", wanted, *sender["source"].at(field, index))


def _means(wanted: str, name: str) -> bool:
    if wanted.startswith("*"):
        return name.endswith(wanted[1:])
    if wanted.endswith("*"):
        return name.startswith(wanted[:-1])
    return wanted.casefold() == name.casefold()


def telemetry_providers(cluster: Cluster) -> Iterator[Finding]:
    """IST0157: access logging without a provider, where the mesh has no default either."""
    if cluster.world.mesh.default_access_logging:
        return
    for telemetry in cluster.of("Telemetry"):
        for logging in telemetry.spec["access_logging"]:
            if not logging["providers"]:
                why = f'The Telemetry {telemetry.name} in namespace "{telemetry.namespace}" with empty providers will be ignored.'
                yield telemetry.finding("IST0157", Level.WARNING, why, *logging.path)


def telemetry_selectors(cluster: Cluster) -> Iterator[Finding]:
    """IST0101: selects nothing. IST0159: selects what another one selects."""
    on_pod: dict[Pod, list[Object]] = defaultdict(list)
    for telemetry in cluster.of("Telemetry"):
        selector = telemetry.spec["selector"]
        if not selector["match_labels"]:
            continue
        pods = cluster.selected(selector["match_labels"], telemetry.namespace)
        if not pods:
            yield telemetry.not_found("selector", selector_text(selector["match_labels"]), *selector.at("match_labels"))
        for pod in pods:
            on_pod[pod].append(telemetry)
    for pod, involved in on_pod.items():
        for telemetry in involved if len(involved) > 1 else ():
            why = (
                f'The Telemetries {names(involved)} in namespace "{pod.namespace}" select the same workload pod '
                f'"{pod.name}", which can lead to undefined behavior.'
            )
            yield telemetry.finding("IST0159", Level.ERROR, why, *telemetry.spec.at("selector"))


def telemetry_without_selector(cluster: Cluster) -> Iterator[Finding]:
    """IST0160: two for one whole namespace."""
    by_namespace: dict[str, list[Object]] = defaultdict(list)
    for telemetry in cluster.of("Telemetry"):
        spec = telemetry.spec
        if not (spec["selector"] or spec["target_ref"] or spec["target_refs"]):
            by_namespace[telemetry.namespace].append(telemetry)
    for namespace, involved in by_namespace.items():
        for telemetry in involved if len(involved) > 1 else ():
            why = (
                f'The Telemetries {names(involved)} in namespace "{namespace}" have no workload selector, '
                "which can lead to undefined behavior."
            )
            yield telemetry.finding("IST0160", Level.ERROR, why)


def telemetry_lightstep(cluster: Cluster) -> Iterator[Finding]:
    """IST0002: tracing with a provider that Istio gave up."""
    gone = {str(p.get("name")) for p in cluster.world.mesh.extension_providers if "lightstep" in p}
    for telemetry in cluster.of("Telemetry"):
        for tracing in telemetry.spec["tracing"]:
            for provider in tracing["providers"]:
                if provider["name"] in gone:
                    advice = "please migrate to OpenTelemetry provider"
                    why = f"Deprecated: The Lightstep provider {provider['name']} is deprecated, {advice}."
                    yield telemetry.finding("IST0002", Level.WARNING, why, *provider.path)


def selectors_on_gateways(cluster: Cluster) -> Iterator[Finding]:
    """IST0166: pods of a Kubernetes Gateway are chosen by targetRef, not by a selector."""
    for kind in _WITH_SELECTOR:
        for policy in cluster.of(kind):
            selector = policy.spec["selector"]
            if not selector or policy.spec["target_ref"]:
                continue
            for pod in cluster.selected(selector["match_labels"], policy.namespace):
                if _GATEWAY_NAME in pod.labels:
                    why = (
                        f"Selector has no effect when applied to Kubernetes Gateway {pod.labels[_GATEWAY_NAME]}, "
                        "use targetRef instead."
                    )
                    yield policy.finding("IST0166", Level.WARNING, why, *selector.path)


ANALYZERS = (
    authorization_workloads,
    authorization_namespaces,
    telemetry_providers,
    telemetry_selectors,
    telemetry_without_selector,
    telemetry_lightstep,
    selectors_on_gateways,
)
