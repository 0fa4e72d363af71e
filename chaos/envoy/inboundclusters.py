"""What does a proxy's pod serve? `inbound|target port||`: a cluster per port, from its proxy to its application.

The ports are those of the services that select the pod (`chaos.istio.targets`), or the ingress listeners of its Sidecar
resource instead. Facts: istio CB `buildInboundCluster`; pilot/pkg/networking/core/cluster.go
`buildInboundClustersFromServiceInstances`, `buildInboundClustersFromSidecar`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.envoy import naming, pools, protocols
from chaos.envoy.endpoints import socket_address
from chaos.istio.destinationrules import NO_POLICY, TrafficPolicy, policy_for, rule_for, with_mesh_defaults
from chaos.istio.scope import scope_of
from chaos.istio.services import Service, ServicePort, parse_protocol
from chaos.istio.targets import inbound_ports
from chaos.istio.world import Proxy, World

# Redirection skips what comes from this address, so that it does not come back to the proxy.
BOUND_TO_LOOPBACK = {"source_address": {"address": "127.0.0.6", "port_value": 0}}
_LOCALHOST = "127.0.0.1"
_POD_ADDRESS = "0.0.0.0"  # in a Sidecar's defaultEndpoint
# Never cleaned up: 292 years (istio CB `maxSecondsValue`).
_NEVER = "9223372035s"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Served:
    """A port of the pod as its proxy hands it on."""

    number: int
    """Where calls arrive; the cluster's name."""
    port: ServicePort
    service: Service | None
    """The first one on this port: its rule decides."""
    address: str
    """Empty: calls go on to where they were sent."""
    target: int
    pool: Mapping[str, Any] | None


def inbound_clusters(world: World, proxy: Proxy) -> list[dict[str, Any]]:
    """What the proxy's pod serves. The Sidecar's ingress listeners replace the ports of the services."""
    ingress = scope_of(world, proxy).ingress
    served = _of_ingress(world, proxy, ingress) if ingress else _of_services(world, proxy)
    return [_cluster(world, proxy, one) for one in served]


def _of_services(world: World, proxy: Proxy) -> list[_Served]:
    address, pool = (_LOCALHOST if world.mesh.inbound_mode == "LOCALHOST" else ""), _inbound_pool(world, proxy)
    return [
        _Served(number=number, port=target.port, service=target.service, address=address, target=number, pool=pool)
        for number, target in inbound_ports(world, proxy.pod).items()
    ]


def _of_ingress(world: World, proxy: Proxy, ingress: Sequence[Mapping[str, Any]]) -> list[_Served]:
    """Of several listeners on a port the first counts; each may have a pool of its own."""
    found: dict[int, _Served] = {}
    for written in ingress:
        raw = written.get("port") or {}
        number, protocol = int(raw.get("number") or 0), parse_protocol(str(raw.get("protocol") or ""))
        port = ServicePort(name=str(raw.get("name") or ""), number=number, protocol=protocol, target=number)
        address, target = _default_endpoint(str(written.get("defaultEndpoint") or ""), proxy)
        behind = inbound_ports(world, proxy.pod).get(number)
        own = written.get("connectionPool")
        pool = _inbound_pool(world, proxy) if own is None else own
        service = behind.service if behind else None
        found.setdefault(number, _Served(number=number, port=port, service=service, address=address, target=target, pool=pool))
    return list(found.values())


def _inbound_pool(world: World, proxy: Proxy) -> Mapping[str, Any] | None:
    """The Sidecar's inboundConnectionPool."""
    sidecar = scope_of(world, proxy).sidecar
    return sidecar.spec.get("inboundConnectionPool") if sidecar else None


def _default_endpoint(written: str, proxy: Proxy) -> tuple[str, int]:
    """`127.0.0.1:9001`, `0.0.0.0:9001` for the pod's own address, a Unix socket, or nothing."""
    if written.startswith("unix://"):
        return written, 0
    host, colon, number = written.rpartition(":")
    if not colon or not number.isdigit():
        return "", 0
    return (proxy.ip if host == _POD_ADDRESS else host.strip("[]")), int(number)


def _cluster(world: World, proxy: Proxy, served: _Served) -> dict[str, Any]:
    """Of a rule only connectionPool and retryBudget arrive here; a Sidecar's pool replaces the rule's whole one."""
    name = naming.inbound_cluster(served.number)
    cluster: dict[str, Any] = {"name": name, "type": "STATIC" if served.address else "ORIGINAL_DST", "common_lb_config": {}}
    cluster["alt_stat_name"] = naming.stat_prefix(_stat_name(world, served) or name)
    if served.address:
        endpoint = {"endpoint": {"address": socket_address(served.address, served.target)}}
        cluster["load_assignment"] = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}
    else:
        cluster |= {"cleanup_interval": _NEVER, "lb_policy": "CLUSTER_PROVIDED"}
    if served.address != _LOCALHOST:
        cluster["upstream_bind_config"] = BOUND_TO_LOOPBACK
    policy = _policy(world, proxy, served)
    pool = policy.connection_pool if served.pool is None else served.pool
    options = protocols.of_port(served.port, sidecar=True, preserve_case=protocols.preserves_case(world, proxy))
    pools.apply(cluster, options, pool or {}, policy.retry_budget, world)
    options.apply_to(cluster)
    return cluster


def _stat_name(world: World, served: _Served) -> str:
    pattern = world.mesh.inbound_cluster_stat_name
    return naming.stat_name(pattern, served.service, served.port, target=served.number) if pattern and served.service else ""


def _policy(world: World, proxy: Proxy, served: _Served) -> TrafficPolicy:
    if served.service is None:
        return with_mesh_defaults(NO_POLICY, world)
    return with_mesh_defaults(policy_for(rule_for(world, proxy, served.service.hostname, inbound=True), served.port.number), world)
