"""Where do calls to a headless service go? On a cluster to the pod whose address the client got from DNS, which is not here.

So the sidecar chooses among the service's pods, as it does for a service with a cluster IP. Faults cannot tell the difference,
clients that want one certain pod can.
"""

from __future__ import annotations

from dataclasses import replace

from chaos.envoy.configuration import Configuration, Resource
from chaos.envoy.endpoints import endpoints
from chaos.envoy.naming import parse_cluster
from chaos.istio.world import Proxy, World


def with_pods_of_headless(world: World, proxy: Proxy, translated: Configuration) -> Configuration:
    """Original-destination clusters of headless services become EDS clusters with those pods as endpoints."""
    headless = {service.hostname for service in world.services if service.headless}
    found = (c for c in translated.clusters if c.get("type") == "ORIGINAL_DST" and parse_cluster(c["name"]).host in headless)
    chosen = {cluster["name"]: _by_endpoints(cluster) for cluster in found}
    if not chosen:
        return translated
    return replace(
        translated,
        clusters=tuple(chosen.get(cluster["name"], cluster) for cluster in translated.clusters),
        endpoints=(*translated.endpoints, *endpoints(world, proxy, chosen.values())),
    )


def _by_endpoints(cluster: Resource) -> Resource:
    kept = {k: v for k, v in cluster.items() if k not in ("lb_policy", "original_dst_lb_config")}
    return {**kept, "type": "EDS", "lb_policy": "LEAST_REQUEST", "eds_cluster_config": {"service_name": cluster["name"]}}
