"""Which clusters does a proxy get? Everything CDS pushes: what it can call, what it serves, and where the rest goes.

`outboundclusters` makes one per service port and subset in the proxy's scope, `inboundclusters` one per port its pod serves;
here are the static ones for traffic nobody named. `endpoints` comes next, then `patches`.

TLS itself (transport sockets and their secrets) is not part of the translation: proxies outside of a cluster have no
identities. Facts: istio CB (cluster_builder.go), pilot/pkg/networking/core/cluster.go `buildClusters`.
"""

from __future__ import annotations

from typing import Any

from chaos.envoy import naming, pools, protocols
from chaos.envoy.inboundclusters import BOUND_TO_LOOPBACK, inbound_clusters
from chaos.envoy.outboundclusters import outbound_clusters
from chaos.istio import durations
from chaos.istio.destinationrules import NO_POLICY, with_mesh_defaults
from chaos.istio.world import Proxy, World


def clusters(world: World, proxy: Proxy) -> list[dict[str, Any]]:
    """Every cluster of `proxy`, before EnvoyFilters."""
    return [
        *outbound_clusters(world, proxy),
        *static_clusters(world, proxy),
        *([] if proxy.is_gateway else inbound_clusters(world, proxy)),
    ]


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
        "upstream_bind_config": BOUND_TO_LOOPBACK,
    }
    return [black_hole, _passthrough(world), inbound]


def _passthrough(world: World) -> dict[str, Any]:
    pool = with_mesh_defaults(NO_POLICY, world).connection_pool or {}
    cluster: dict[str, Any] = {
        "name": naming.PASSTHROUGH,
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": durations.proto(world.mesh.connect_timeout),
        "alt_stat_name": naming.stat_prefix(naming.PASSTHROUGH),
        "circuit_breakers": pools.circuit_breakers(pool, None, world.minor),
        "typed_extension_protocol_options": protocols.PASSTHROUGH,
    }
    pools.keepalive(cluster, world.mesh.tcp_keepalive)
    return cluster
