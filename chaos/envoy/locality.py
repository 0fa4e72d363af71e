"""Who is near? Priorities and weights of endpoint groups by place, as one client sees them.

A rule's `localityLbSetting` (or the Service's trafficDistribution, or the mesh's setting) turns groups of endpoints, one per
place, into priorities (failover: the next is used when the nearer ones are unhealthy) or into weights (distribute).
`endpoints` makes the groups, for EDS and for clusters that carry their endpoints themselves.

Facts: istio pilot/pkg/networking/core/loadbalancer/loadbalancer.go, CTP `applyLocalityLoadBalancer`, util `LocalityMatch`,
`LbPriority`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.istio.destinationrules import TrafficPolicy
from chaos.istio.instances import NETWORK, NODE, REGION, SUBZONE, ZONE, Instance
from chaos.istio.meshconfig import MeshConfig
from chaos.istio.services import Service
from chaos.istio.workloads import Locality

_SAME_ZONE = [NETWORK, REGION, ZONE]
_SAME_NODE = [NETWORK, REGION, ZONE, SUBZONE, NODE]
_DISTRIBUTIONS = {"preferclose": _SAME_ZONE, "prefersamezone": _SAME_ZONE, "prefersamenode": _SAME_NODE}
_NOWHERE_NEAR = 3
_NOT_THE_FAILOVER = 4


@dataclass(slots=True, kw_only=True)
class Group:
    """The endpoints of one place (LocalityLbEndpoints) while priorities and weights are worked out."""

    locality: Locality
    weight: int
    lb_endpoints: list[dict[str, Any]]
    instances: list[Instance]
    """What `lb_endpoints` were made of, index by index."""
    priority: int = 0

    def proto(self) -> dict[str, Any]:
        out: dict[str, Any] = {"locality": self.locality.proto(), "load_balancing_weight": self.weight}
        if self.lb_endpoints:
            out["lb_endpoints"] = self.lb_endpoints
        if self.priority:
            out["priority"] = self.priority
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalitySetting:
    """What is in force for one client and one cluster."""

    written: Mapping[str, Any] | None
    """`localityLbSetting`; None where locality does not count."""
    failover: bool
    """Priorities need something that finds hosts unhealthy: outlierDetection, or Kubernetes (trafficDistribution)."""

    @property
    def distribute(self) -> Sequence[Mapping[str, Any]]:
        return (self.written or {}).get("distribute") or ()

    @property
    def weighted(self) -> bool:
        """Does the cluster say locality_weighted_lb_config? With distribute wherever the client is; not by outliers alone."""
        written = self.written or {}
        return bool(self.distribute or (self.failover and (written.get("failover") or written.get("failoverPriority"))))


def setting_of(policy: TrafficPolicy, service: Service, mesh: MeshConfig) -> LocalitySetting:
    """The rule's setting, else the Service's trafficDistribution, else the mesh's. A rule's is used whole, nothing is merged."""
    outliers = policy.outlier_detection is not None
    own = (policy.load_balancer or {}).get("localityLbSetting")
    if own is not None:
        return LocalitySetting(written=None if own.get("enabled") is False else own, failover=outliers)
    order = traffic_distribution(service)
    if order is not None:
        return LocalitySetting(written={"failoverPriority": order}, failover=True)
    return LocalitySetting(written=(mesh.locality_lb_setting or {}) if mesh.locality_enabled else None, failover=outliers)


def traffic_distribution(service: Service) -> list[str] | None:
    """The labels that a Service's trafficDistribution compares, the most important first; None without one."""
    return _DISTRIBUTIONS.get(str(service.traffic_distribution or "").lower())


def apply(
    groups: list[Group], setting: LocalitySetting, here: Locality, labels: Mapping[str, str], *, split: bool = True
) -> list[Group]:
    """The groups as a client at `here` with these labels uses them.

    `split` False leaves failoverPriority out, as istiod does for clusters resolved by DNS.
    """
    if setting.written is None:
        return groups
    if setting.distribute:
        _distribute(groups, setting.distribute, here)
    elif setting.failover:
        order, failover = setting.written.get("failoverPriority") or (), setting.written.get("failover") or ()
        if order and split:
            groups = _by_labels(groups, order, labels)
        if failover or not order:
            _by_distance(groups, failover, here)
    return groups


def matches(place: Locality, pattern: str) -> bool:
    """`region/zone/subzone` with `*`; what the pattern leaves out matches all."""
    region, zone, subzone, *_ = [*pattern.split("/"), "", ""]
    return region in ("*", place.region) and zone in ("*", "", place.zone) and subzone in ("*", "", place.subzone)


def _distance(here: Locality, there: Locality) -> int:
    """0 for the same subzone, 1 the same zone, 2 the same region, 3 elsewhere."""
    if here.region != there.region:
        return _NOWHERE_NEAR
    if here.zone != there.zone:
        return 2
    return 0 if here.subzone == there.subzone else 1


def _by_distance(groups: list[Group], failover: Iterable[Mapping[str, Any]], here: Locality) -> None:
    """By distance, within what failoverPriority has already given; of other regions a failover entry prefers one."""
    to = next((str(f.get("to") or "") for f in failover if f.get("from") == here.region), None)
    for group in groups:
        distance = _distance(here, group.locality)
        if distance == _NOWHERE_NEAR and to is not None and group.locality.region != to:
            distance = _NOT_THE_FAILOVER
        group.priority = group.priority * (_NOT_THE_FAILOVER + 1) + distance
    _close_gaps(groups)


def _by_labels(groups: list[Group], order: Sequence[str], labels: Mapping[str, str]) -> list[Group]:
    """By how many labels agree in a row, `name=value` standing for a value of its own; a place may be split over several."""
    if not labels or not groups:
        return groups
    wanted = [_wanted(text, labels) for text in order]
    out = [part for group in groups for part in _split(group, lambda i: _disagreement(i.labels, wanted))]
    _close_gaps(out)
    return out


def _wanted(text: str, labels: Mapping[str, str]) -> tuple[str, str]:
    name, sign, value = str(text).partition("=")
    return name, value if sign else labels.get(name, "")


def _disagreement(labels: Mapping[str, str], wanted: Sequence[tuple[str, str]]) -> int:
    for at, (name, value) in enumerate(wanted):
        if labels.get(name, "") != value:
            return len(wanted) - at
    return 0


def _split(group: Group, priority_of: Callable[[Instance], int]) -> Iterable[Group]:
    by_priority: dict[int, list[int]] = defaultdict(list)
    for at, instance in enumerate(group.instances):
        by_priority[priority_of(instance)].append(at)
    for priority, members in sorted(by_priority.items()):
        endpoints = [group.lb_endpoints[at] for at in members]
        yield Group(
            locality=group.locality,
            weight=sum(endpoint["load_balancing_weight"] for endpoint in endpoints),
            lb_endpoints=endpoints,
            instances=[group.instances[at] for at in members],
            priority=priority,
        )


def _close_gaps(groups: Iterable[Group]) -> None:
    """Envoy wants priorities from 0 without gaps."""
    groups = list(groups)
    rank = {priority: at for at, priority in enumerate(sorted({group.priority for group in groups}))}
    for group in groups:
        group.priority = rank[group.priority]


def _distribute(groups: Iterable[Group], distribute: Iterable[Mapping[str, Any]], here: Locality) -> None:
    """The first entry whose `from` is here gives its shares, split by weight within one pattern; other places are emptied."""
    entry = next((d for d in distribute if matches(here, str(d.get("from") or ""))), None)
    if entry is None:
        return
    left = list(groups)
    for pattern, share in (entry.get("to") or {}).items():
        named = [group for group in left if matches(group.locality, str(pattern))]
        left = [group for group in left if not matches(group.locality, str(pattern))]
        total = sum(group.weight for group in named)
        for group in named:
            weight = math.ceil(group.weight * int(share) / total) if total else 0
            group.weight = weight or group.weight
    for group in left:
        group.lb_endpoints = []
