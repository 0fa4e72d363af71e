"""Where do requests to a cluster go? The endpoints behind it, grouped by place, with weights and priorities for one client.

`endpoints` gives what EDS would push for the clusters of a proxy; `groups` is the same for clusters that carry their
endpoints themselves (DNS). The registry side is `chaos.istio.instances`, nearness is `locality`.
Facts: istio pilot/pkg/xds/endpoints/endpoint_builder.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chaos.envoy import locality, naming
from chaos.envoy.locality import Group, setting_of
from chaos.istio.destinationrules import policy_for, rule_for
from chaos.istio.instances import Instance, instances, is_ip, locality_label, with_topology
from chaos.istio.scope import scope_of
from chaos.istio.services import Protocol, Service, ServicePort
from chaos.istio.workloads import Locality
from chaos.istio.world import Proxy, World


def endpoints(world: World, proxy: Proxy, clusters: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A ClusterLoadAssignment for every EDS cluster among `clusters`; one without endpoints for a name that says nothing."""
    names = (
        str((cluster.get("eds_cluster_config") or {}).get("service_name") or cluster.get("name"))
        for cluster in clusters
        if cluster.get("type") == "EDS"
    )
    return [_assignment(world, proxy, name) for name in names]


def groups(world: World, service: Service, port: ServicePort, labels: Mapping[str, Any] | None, proxy: Proxy) -> list[Group]:
    """The endpoints of a service port that carry a subset's `labels`, by place, without priorities."""
    wanted = {str(key): str(value) for key, value in (labels or {}).items()}.items()
    found = (i for i in instances(world, service, port) if wanted <= i.labels.items())
    return _grouped(i for i in found if not _node_local(service) or i.node == proxy.pod.node)


def client_labels(proxy: Proxy) -> dict[str, str]:
    """The labels of a proxy as failoverPriority compares them: the pod's and those of its place."""
    return with_topology(proxy.labels, locality_label(proxy.pod), proxy.pod.node)


def load_assignment(name: str, found: Iterable[Group]) -> dict[str, Any]:
    assignment: dict[str, Any] = {"cluster_name": name}
    written = [group.proto() for group in found]
    if written:
        assignment["endpoints"] = written
    return assignment


def socket_address(address: str, port: int) -> dict[str, Any]:
    """envoy.config.core.v3.Address; a port of 0 makes it the path of a Unix socket."""
    if port == 0:
        return {"pipe": {"path": address.removeprefix("unix://")}}
    return {"socket_address": {"address": address, "port_value": port}}


def _assignment(world: World, proxy: Proxy, name: str) -> dict[str, Any]:
    parts = naming.parse_cluster(name)
    service = scope_of(world, proxy).services_by_host.get(parts.host)
    ports = service.ports if service else ()
    port = next((p for p in ports if p.number == parts.port and p.protocol is not Protocol.UDP), None)
    if service is None or port is None:
        return load_assignment(name, ())
    rule = rule_for(world, proxy, service.hostname)
    subset = rule.subset(parts.subset) if rule else None
    found = [group for group in map(_addresses_only, groups(world, service, port, (subset or {}).get("labels"), proxy)) if group]
    setting = setting_of(policy_for(rule, port.number, parts.subset), service, world.mesh)
    return load_assignment(name, locality.apply(found, setting, proxy.locality, client_labels(proxy)))


def _grouped(found: Iterable[Instance]) -> list[Group]:
    by_place: dict[str, Group] = {}
    for instance in found:
        group = by_place.get(instance.locality)
        if group is None:
            place = Locality.parse(instance.locality)
            group = by_place[instance.locality] = Group(locality=place, weight=0, lb_endpoints=[], instances=[])
        group.instances.append(instance)
        group.lb_endpoints.append(_lb_endpoint(instance))
        group.weight += instance.weight
    return [by_place[place] for place in sorted(by_place)]


def _lb_endpoint(instance: Instance) -> dict[str, Any]:
    out: dict[str, Any] = {
        "endpoint": {"address": socket_address(instance.address, instance.port)},
        "load_balancing_weight": instance.weight,
    }
    if instance.ready:
        out["health_status"] = "HEALTHY"
    return out


def _addresses_only(group: Group) -> Group | None:
    """EDS takes addresses and sockets, no host names."""
    kept = [instance for instance in group.instances if instance.port == 0 or is_ip(instance.address)]
    if len(kept) == len(group.instances):
        return group
    return next(iter(_grouped(kept)), None)


def _node_local(service: Service) -> bool:
    return service.kubernetes and service.document.spec.get("internalTrafficPolicy") == "Local"
