"""What does `istioctl analyze` find in DestinationRules?

Source: istio pkg/config/analysis/analyzers/destinationrule. Istio compares subsets with every pod there is, whatever the
host selects, and does not count the inline endpoints of a ServiceEntry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from chaos.istio.analyze.cluster import Cluster, Object, texts
from chaos.istio.documents import PathInside
from chaos.istio.findings import Finding, Level
from chaos.istio.validate.decoding import Message
from chaos.istio.workloads import Pod

_ZONE_LABELS = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")
_HOSTNAME = "kubernetes.io/hostname"


def hosts_and_subsets(cluster: Cluster) -> Iterator[Finding]:
    """IST0174: a host nobody has. IST0173: a subset without a pod."""
    for rule in cluster.of("DestinationRule"):
        host = cluster.host(rule.spec["host"], rule.namespace, rule.spec["export_to"])
        if host is None:
            why = f"The host {rule.spec['host']} defined in the DestinationRule does not match any services in the mesh."
            yield rule.finding("IST0174", Level.WARNING, why, *rule.spec.at("host"))
            continue
        for subset in rule.spec["subsets"]:
            wanted = {**host.selector, **subset["labels"]}
            if not any(_carries(cluster, pod, wanted) for pod in cluster.pods):
                why = (
                    f"The Subset {subset['name']} defined in the DestinationRule does not select any pods. "
                    "Which may lead to 503 UH (NoHealthyUpstream)."
                )
                yield rule.finding("IST0173", Level.ERROR, why, *subset.path)


def _carries(cluster: Cluster, pod: Pod, labels: Mapping[str, str]) -> bool:
    """Subsets can also ask for where a pod is, as far as a Node object tells."""
    node = next((node for node in cluster.world.of_kind("Node", "") if node.name == pod.node), None)
    place = texts(node.metadata.get("labels")) if node else {}
    here = {key: place[key] for key in _ZONE_LABELS if key in place} | ({_HOSTNAME: pod.node} if node else {})
    known = {**pod.labels, **here}
    return all(known.get(key) == value for key, value in labels.items())


def unverified_servers(cluster: Cluster) -> Iterator[Finding]:
    """IST0128, IST0129: TLS to a server whose certificate nobody checks."""
    for rule in cluster.of("DestinationRule"):
        policy = rule.spec["traffic_policy"]
        selects = bool(rule.spec["workload_selector"])
        if _unverified(policy["tls"], selects):
            yield _about_tls(rule, "IST0128", policy["tls"], "", policy["tls"].path)
        for settings in policy["port_level_settings"]:
            if _unverified(settings["tls"], selects):
                port = f" at port {settings['port']['number']}"
                yield _about_tls(rule, "IST0129", settings["tls"], port, settings["tls"].path)


def _unverified(tls: Message, selects: bool) -> bool:
    """A Secret may hold the CA, but only rules with a workloadSelector can use one in a sidecar."""
    in_secret = selects and tls["credential_name"]
    return tls["mode"] in ("SIMPLE", "MUTUAL") and not tls["ca_certificates"] and not in_secret


def _about_tls(rule: Object, code: str, tls: Message, port: str, path: PathInside) -> Finding:
    return rule.finding(
        code,
        Level.WARNING,
        f"DestinationRule {rule.full_name} in namespace {rule.namespace} has TLS mode set to {tls['mode']} but no "
        f"caCertificates are set to validate server identity for host: {rule.spec['host']}{port}",
        *path,
    )


ANALYZERS = (hosts_and_subsets, unverified_servers)
