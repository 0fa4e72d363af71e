"""Can outlier detection take out a host at all? With few replicas maxEjectionPercent may round to none.

Since Envoy 1.28 the limit is strict: an ejection may not lift the ejected share above maxEjectionPercent, which is 10 by
default. Ten replicas are needed before the default ejects one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from chaos.istio.analyze.cluster import Cluster, Object, full_host
from chaos.istio.documents import PathInside
from chaos.istio.findings import Finding, Level
from chaos.istio.services import Resolution, Service
from chaos.istio.validate.decoding import Message

_DEFAULT_PERCENT = 10
_COUNTED = (Resolution.STATIC, Resolution.NONE)


def ejection(cluster: Cluster) -> Iterator[Finding]:
    """CHAOS0007"""
    for rule in cluster.of("DestinationRule"):
        service = next(iter(cluster.world.services_by_host.get(full_host(rule.spec["host"], rule.namespace), ())), None)
        if service is not None:
            yield from _never(cluster, rule, service)


def _never(cluster: Cluster, rule: Object, service: Service) -> Iterator[Finding]:
    """One finding per outlierDetection block, for the host and every subset it holds for."""
    blocks: dict[PathInside, Message] = {}
    spared: dict[PathInside, dict[str, int]] = defaultdict(dict)
    for where, policy, labels in _policies(rule.spec):
        replicas = _replicas(cluster, service, labels)
        for outlier in (block["outlier_detection"] for block in (policy, *policy["port_level_settings"])):
            if outlier and replicas and _percent(outlier) * replicas < 100:
                blocks[outlier.path] = outlier
                spared[outlier.path][where] = replicas
    for path, outlier in blocks.items():
        default = "" if outlier["max_ejection_percent"] else " by default"
        named = " or ".join(f"{where} (replicas: {replicas})" for where, replicas in spared[path].items())
        needed = -(-100 // min(spared[path].values()))
        why = f"maxEjectionPercent is {_percent(outlier)}{default}: no host of {named} is ever ejected; {needed} would allow one"
        yield rule.finding("CHAOS0007", Level.WARNING, why, *outlier.at("max_ejection_percent"))


def _percent(outlier: Message) -> int:
    return int(outlier["max_ejection_percent"] or _DEFAULT_PERCENT)


def _policies(spec: Message) -> Iterator[tuple[str, Message, Mapping[str, str]]]:
    """Those of the host and of its subsets; a subset without outlier detection of its own has the host's."""
    own = spec["traffic_policy"]
    yield spec["host"], own, {}
    for subset in spec["subsets"]:
        policy = subset["traffic_policy"]
        inherits = not policy["outlier_detection"] and not policy["port_level_settings"]
        yield f"subset {subset['name']}", own if inherits else policy, subset["labels"]


def _replicas(cluster: Cluster, service: Service, labels: Mapping[str, str]) -> int:
    """0 if it cannot be known: behind DNS names, or where no manifest makes the pods."""
    if service.resolution not in _COUNTED:
        return 0
    pods = cluster.selected({**service.selector, **labels}, service.namespace) if service.selector else []
    inline = (endpoint.get("labels") or {} for endpoint in service.endpoints)
    return len(pods) + sum(labels.items() <= endpoint.items() for endpoint in inline)
