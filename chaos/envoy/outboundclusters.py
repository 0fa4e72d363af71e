"""What can a proxy call? `outbound|port|subset|host`: a cluster per port and subset of every service in its scope.

The policies come from `chaos.istio.destinationrules`; each block has a module of its own: `pools`, `outliers`,
`loadbalancing`, `locality`, `protocols`. Facts: istio CB `buildCluster`, `applyDestinationRule`, `buildSubsetCluster`; CTP
`applyTrafficPolicy`; pilot/pkg/networking/core/cluster.go `convertResolution`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chaos.envoy import loadbalancing, locality, naming, outliers, pools, protocols
from chaos.envoy.endpoints import client_labels, groups, load_assignment
from chaos.envoy.loadbalancing import ORIGINAL_DST
from chaos.istio import durations
from chaos.istio.destinationrules import DestinationRule, TrafficPolicy, policy_for, rule_for, with_mesh_defaults
from chaos.istio.scope import scope_of
from chaos.istio.services import Protocol, Resolution, Service, ServicePort
from chaos.istio.world import Proxy, World

_LOGICAL = {Resolution.DNS: "STRICT_DNS", Resolution.DNS_ROUND_ROBIN: "LOGICAL_DNS"}
_SESSION_LABELS = ("istio.io/persistent-session", "istio.io/persistent-session-header")
_SENDS_UNHEALTHY_SINCE = 31
_ERROR_CODES_SINCE = 31
_ADS = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}


def outbound_clusters(world: World, proxy: Proxy) -> list[dict[str, Any]]:
    """What the proxy can call: `outbound|port|subset|host`, every port and subset of the services in its scope."""
    build = _Outbound(world, proxy)
    return [
        cluster
        for service in scope_of(world, proxy).services
        if service.resolution is not Resolution.ALIAS
        for port in service.ports
        if port.protocol is not Protocol.UDP
        for cluster in build.of_port(service, port)
    ]


class _Outbound:
    """Builds the outbound clusters of one proxy."""

    def __init__(self, world: World, proxy: Proxy) -> None:
        self.world = world
        self.proxy = proxy
        self.labels = client_labels(proxy)
        self.preserve_case = protocols.preserves_case(world, proxy)

    def of_port(self, service: Service, port: ServicePort) -> Iterator[dict[str, Any]]:
        """The cluster of the whole port, then one per subset of the rule in force."""
        rule = rule_for(self.world, self.proxy, service.hostname)
        whole = self._cluster(service, port, _discovery(service, self.proxy), rule, None)
        if whole is None:
            return
        if any(service.labels.get(label) for label in _SESSION_LABELS):
            # Hosts on their way out stay reachable for the sessions they hold.
            whole["common_lb_config"]["override_host_status"] = {"statuses": ["HEALTHY", "DRAINING", "UNKNOWN", "DEGRADED"]}
        yield whole
        for subset in rule.subsets if rule else ():
            # Once the port goes where the caller went, so do its subsets, whatever they say.
            cluster = self._cluster(service, port, _subset_discovery(whole["type"], subset), rule, subset)
            if cluster is not None:
                yield cluster

    def _cluster(
        self, service: Service, port: ServicePort, discovery: str, rule: DestinationRule | None, subset: Mapping[str, Any] | None
    ) -> dict[str, Any] | None:
        """None where a name has to be resolved but nothing is there to resolve."""
        subset_name = str((subset or {}).get("name") or "")
        name = naming.outbound_cluster(port.number, subset_name, service.hostname)
        cluster: dict[str, Any] = {"name": name, "type": discovery, "common_lb_config": {}}
        pattern = self.world.mesh.outbound_cluster_stat_name
        stat = naming.stat_name(pattern, service, port, subset=subset_name) if pattern else name
        cluster["alt_stat_name"] = naming.stat_prefix(stat)
        policy = with_mesh_defaults(policy_for(rule, port.number, subset_name), self.world)
        setting = locality.setting_of(policy, service, self.world.mesh)
        if discovery in _LOGICAL.values():
            found = groups(self.world, service, port, (subset or {}).get("labels"), self.proxy)
            if not found:
                return None
            cluster |= _dns(self.world)
            # failoverPriority is not applied to endpoints that a cluster carries itself.
            found = locality.apply(found, setting, self.proxy.locality, self.labels, split=False)
            cluster["load_assignment"] = load_assignment(name, found)
        elif discovery == ORIGINAL_DST:
            cluster |= _port_override(service, port)
        self._apply(cluster, service, port, policy)
        if setting.weighted:
            cluster["common_lb_config"]["locality_weighted_lb_config"] = {}
        if cluster["type"] == "EDS":
            cluster["eds_cluster_config"] = {"eds_config": _ADS, "service_name": name}
        return cluster

    def _apply(self, cluster: dict[str, Any], service: Service, port: ServicePort, policy: TrafficPolicy) -> None:
        mesh, pool = self.world.mesh, policy.connection_pool or {}
        options = protocols.of_port(port, sidecar=not self.proxy.is_gateway, preserve_case=self.preserve_case)
        if protocols.upgraded_to_http2(port, pool, mesh_upgrades=mesh.h2_upgrade):
            options.speak_http2()
        pools.apply(cluster, options, pool, policy.retry_budget, self.world)
        if policy.outlier_detection is not None:
            cluster["outlier_detection"] = outliers.outlier_detection(policy.outlier_detection)
            if self.world.minor >= _ERROR_CODES_SINCE:
                options.count_as_errors([int(c) for c in policy.outlier_detection.get("outlierDetectionHttpErrorCodes") or ()])
        threshold = self._panic_threshold(service, policy)
        if threshold is not None:
            cluster["common_lb_config"]["healthy_panic_threshold"] = outliers.panic_threshold(threshold)
        loadbalancing.apply(cluster, policy.load_balancer or {})
        if policy.tls is not None and self._originates_tls(policy.tls, service):
            options.name_server_by_request(policy.tls)
        options.apply_to(cluster)

    def _panic_threshold(self, service: Service, policy: TrafficPolicy) -> float | None:
        """0 where istiod also sends unhealthy endpoints, so that they are never used; else as outlierDetection says."""
        if self.world.minor >= _SENDS_UNHEALTHY_SINCE or locality.traffic_distribution(service) is not None:
            return 0
        if policy.outlier_detection is None:
            return None
        return float(policy.outlier_detection.get("minHealthPercent") or 0)

    def _originates_tls(self, tls: Mapping[str, Any], service: Service) -> bool:
        """SIMPLE and MUTUAL; in sidecars a credentialName counts only in rules with a workloadSelector."""
        if tls.get("mode") not in ("SIMPLE", "MUTUAL"):
            return False
        secret = str(tls.get("credentialName") or "")
        if not secret or secret.startswith("configmap://") or self.proxy.is_gateway:
            return True
        rule = rule_for(self.world, self.proxy, service.hostname)
        return rule is not None and rule.selector is not None


def _discovery(service: Service, proxy: Proxy) -> str:
    """EDS, but for names resolved by Envoy and for headless services, which sidecars call by pod address."""
    if service.resolution is Resolution.NONE:
        return "EDS" if proxy.is_gateway else ORIGINAL_DST
    return _LOGICAL.get(service.resolution, "EDS")


def _subset_discovery(of_port: str, subset: Mapping[str, Any]) -> str:
    load_balancer = (subset.get("trafficPolicy") or {}).get("loadBalancer") or {}
    passthrough = load_balancer.get("simple") == "PASSTHROUGH" and load_balancer.get("consistentHash") is None
    return ORIGINAL_DST if passthrough else of_port


def _dns(world: World) -> dict[str, Any]:
    """Istio's defaults for resolving names; the mesh may set the refresh rate."""
    return {
        "dns_lookup_family": "V4_ONLY",
        "dns_jitter": "0.1s",
        "dns_refresh_rate": durations.proto(world.mesh.dns_refresh_rate),
        "respect_dns_ttl": True,
        "typed_dns_resolver_config": {
            "name": "envoy.network.dns_resolver.cares",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
                "udp_max_queries": 100,
            },
        },
    }


def _port_override(service: Service, port: ServicePort) -> dict[str, Any]:
    """A ServiceEntry without resolution may send a port to another one of the same address."""
    if service.kubernetes or service.resolution is not Resolution.NONE:
        return {}
    ports: Sequence[Mapping[str, Any]] = service.document.spec.get("ports") or ()
    target = next((int(p.get("targetPort") or 0) for p in ports if int(p.get("number") or 0) == port.number), 0)
    return {"original_dst_lb_config": {"upstream_port_override": target}} if target else {}
