"""Which clusters does a proxy get? Everything CDS pushes: what it can call, what it serves, and where the rest goes.

One cluster per service port and subset in the proxy's scope, one inbound cluster per port its pod serves, and the static
ones for traffic nobody named. The policies come from `chaos.istio.destinationrules`; each block has a module of its own:
`pools`, `outliers`, `loadbalancing`, `hashing`, `locality`, `protocols`. `endpoints` comes next, then `patches`.

TLS itself (transport sockets and their secrets) is not part of the translation: proxies outside of a cluster have no
identities. Facts: istio CB (cluster_builder.go), CTP (cluster_traffic_policy.go), pilot/pkg/networking/core/cluster.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chaos.envoy import loadbalancing, locality, naming, outliers, pools, protocols
from chaos.envoy.endpoints import client_labels, groups, load_assignment, socket_address
from chaos.envoy.protocols import HttpProtocolOptions
from chaos.envoy.proxyconfig import proxy_headers
from chaos.istio import durations
from chaos.istio.destinationrules import NO_POLICY, DestinationRule, TrafficPolicy, policy_for, rule_for
from chaos.istio.scope import scope_of
from chaos.istio.services import Protocol, Resolution, Service, ServicePort, parse_protocol
from chaos.istio.targets import inbound_ports
from chaos.istio.world import Proxy, World

ORIGINAL_DST = loadbalancing.ORIGINAL_DST
_LOGICAL = {Resolution.DNS: "STRICT_DNS", Resolution.DNS_ROUND_ROBIN: "LOGICAL_DNS"}
# Redirection skips what comes from this address, so that it does not come back to the proxy.
_LOOPBACK_SOURCE = "127.0.0.6"
_LOCALHOST = "127.0.0.1"
_POD_ADDRESS = "0.0.0.0"  # in a Sidecar's defaultEndpoint
# Never cleaned up: 292 years (istio CB `maxSecondsValue`).
_NEVER = "9223372035s"
_SESSION_LABELS = ("istio.io/persistent-session", "istio.io/persistent-session-header")
_SENDS_UNHEALTHY_SINCE = 31


def clusters(world: World, proxy: Proxy) -> list[dict[str, Any]]:
    """Every cluster of `proxy`, before EnvoyFilters."""
    return [
        *outbound_clusters(world, proxy),
        *static_clusters(world, proxy),
        *([] if proxy.is_gateway else inbound_clusters(world, proxy)),
    ]


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


def inbound_clusters(world: World, proxy: Proxy) -> list[dict[str, Any]]:
    """What the proxy's pod serves: `inbound|target port||`. The Sidecar's ingress listeners replace those of the services."""
    scope = scope_of(world, proxy)
    if scope.ingress:
        made = [_ingress_cluster(world, proxy, ingress) for ingress in scope.ingress]
        return list({cluster["name"]: cluster for cluster in reversed(made)}.values())  # of one port the first counts
    address = _LOCALHOST if world.mesh.inbound_mode == "LOCALHOST" else ""
    served = inbound_ports(world, proxy.pod)
    return [_inbound(world, proxy, n, target.port, target.service, address, n) for n, target in served.items()]


def static_clusters(world: World, proxy: Proxy) -> list[dict[str, Any]]:
    """Where the rest goes: nowhere, or to where it wanted (gateways have no such traffic)."""
    black_hole = {
        "name": naming.BLACK_HOLE,
        "type": "STATIC",
        "connect_timeout": durations.proto(world.mesh.connect_timeout),
        "alt_stat_name": naming.stat_prefix(naming.BLACK_HOLE),
    }
    if proxy.is_gateway:
        return [black_hole]
    inbound = {
        **_passthrough(world),
        "name": naming.INBOUND_PASSTHROUGH,
        "upstream_bind_config": _bind_to_loopback(),
    }
    return [black_hole, _passthrough(world), inbound]


# ------------------------------------------------------------------------------------------------------------ outbound
class _Outbound:
    """Builds the outbound clusters of one proxy."""

    def __init__(self, world: World, proxy: Proxy) -> None:
        self.world = world
        self.proxy = proxy
        self.labels = client_labels(proxy)
        self.preserve_case = _preserves_case(world, proxy)

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
        pattern = self.world.mesh.raw.get("outboundClusterStatName")
        stat = naming.stat_name(pattern, service, port, subset=subset_name) if pattern else name
        cluster["alt_stat_name"] = naming.stat_prefix(stat)
        policy = policy_for(rule, port.number, subset_name)
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
        threshold = self._panic_threshold(service, policy)
        if threshold is not None:
            cluster["common_lb_config"]["healthy_panic_threshold"] = outliers.panic_threshold(threshold)
        loadbalancing.apply(cluster, policy.load_balancer or {})
        if policy.tls is not None and self._originates_tls(policy.tls, service):
            options.name_server_by_request(policy.tls)
        _set_options(cluster, options)

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


_ADS = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}


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
    rate = world.mesh.raw.get("dnsRefreshRate")
    return {
        "dns_lookup_family": "V4_ONLY",
        "dns_jitter": "0.1s",
        "dns_refresh_rate": durations.to_proto(rate) if rate else "60s",
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
    if service.kubernetes or port.target == port.number:
        return {}
    return {"original_dst_lb_config": {"upstream_port_override": int(port.target)}}


# ------------------------------------------------------------------------------------------------------------- inbound
def _ingress_cluster(world: World, proxy: Proxy, ingress: Mapping[str, Any]) -> dict[str, Any]:
    """`defaultEndpoint`: 127.0.0.1:9001, 0.0.0.0:9001 for the pod's own address, a Unix socket, or nothing: as it came."""
    raw = ingress.get("port") or {}
    number = int(raw.get("number") or 0)
    protocol = parse_protocol(str(raw.get("protocol") or ""))
    port = ServicePort(name=str(raw.get("name") or ""), number=number, protocol=protocol, target=number)
    address, target = _default_endpoint(str(ingress.get("defaultEndpoint") or ""), proxy)
    served = inbound_ports(world, proxy.pod).get(number)
    pool = ingress.get("connectionPool")
    return _inbound(world, proxy, number, port, served.service if served else None, address, target, pool)


def _default_endpoint(written: str, proxy: Proxy) -> tuple[str, int]:
    if written.startswith("unix://"):
        return written, 0
    host, colon, number = written.rpartition(":")
    if not colon or not number.isdigit():
        return "", 0
    return (proxy.ip if host == _POD_ADDRESS else host), int(number)


def _inbound(
    world: World,
    proxy: Proxy,
    number: int,
    port: ServicePort,
    service: Service | None,
    address: str,
    target: int,
    pool: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One inbound cluster. Of a rule only connectionPool and retryBudget reach it, of a Sidecar the connection pool.

    Where several services share a port the first one's rule counts. With no `address` requests go to where they were sent.
    """
    name = naming.inbound_cluster(number)
    cluster: dict[str, Any] = {"name": name, "type": "STATIC" if address else ORIGINAL_DST, "common_lb_config": {}}
    pattern = world.mesh.raw.get("inboundClusterStatName")
    stat = naming.stat_name(pattern, service, port, target=number) if pattern and service else name
    cluster["alt_stat_name"] = naming.stat_prefix(stat)
    if address:
        endpoint = {"endpoint": {"address": socket_address(address, target)}}
        cluster["load_assignment"] = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}
    else:
        cluster |= {"cleanup_interval": _NEVER, "lb_policy": "CLUSTER_PROVIDED"}
    if address != _LOCALHOST:
        cluster["upstream_bind_config"] = _bind_to_loopback()
    policy = _inbound_policy(world, proxy, service, port)
    sidecar = scope_of(world, proxy).sidecar
    own = pool if pool is not None else (sidecar.spec.get("inboundConnectionPool") if sidecar else None)
    options = protocols.of_port(port, sidecar=True, preserve_case=_preserves_case(world, proxy))
    pools.apply(cluster, options, (policy.connection_pool if own is None else own) or {}, policy.retry_budget, world)
    _set_options(cluster, options)
    return cluster


def _inbound_policy(world: World, proxy: Proxy, service: Service | None, port: ServicePort) -> TrafficPolicy:
    if service is None:
        return NO_POLICY
    return policy_for(rule_for(world, proxy, service.hostname, inbound=True), port.number)


# ---------------------------------------------------------------------------------------------------------- everything
def _passthrough(world: World) -> dict[str, Any]:
    cluster: dict[str, Any] = {
        "name": naming.PASSTHROUGH,
        "type": ORIGINAL_DST,
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": durations.proto(world.mesh.connect_timeout),
        "alt_stat_name": naming.stat_prefix(naming.PASSTHROUGH),
        "circuit_breakers": pools.circuit_breakers({}, None, world.minor),
        "typed_extension_protocol_options": protocols.PASSTHROUGH,
    }
    pools.keepalive(cluster, world.mesh.tcp_keepalive)
    return cluster


def _preserves_case(world: World, proxy: Proxy) -> bool:
    return bool(proxy_headers(world, proxy.pod).get("preserveHttp1HeaderCase"))


def _bind_to_loopback() -> dict[str, Any]:
    return {"source_address": {"address": _LOOPBACK_SOURCE, "port_value": 0}}


def _set_options(cluster: dict[str, Any], options: HttpProtocolOptions) -> None:
    built = options.proto()
    if built is not None:
        cluster["typed_extension_protocol_options"] = built
