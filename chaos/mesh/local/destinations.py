"""Where do calls go whose destination only the client knows? On a cluster to the address it connected to, which is not here.

    headless service                      the sidecar chooses among its pods, as it does for a service with a cluster IP
    ServiceEntry with resolution NONE     the sidecar looks the host's name up, as the client would have done

Faults cannot tell the difference; clients that want one certain pod can. For a wildcard there is no name to look up.
"""

from __future__ import annotations

from dataclasses import replace

from chaos.envoy.configuration import Configuration, Resource
from chaos.envoy.endpoints import endpoints
from chaos.envoy.naming import parse_cluster
from chaos.istio.services import Resolution, Service
from chaos.istio.world import Proxy, World


def with_known_destinations(world: World, proxy: Proxy, translated: Configuration) -> Configuration:
    """Original-destination clusters become EDS clusters with the pods of a headless service, or DNS clusters for one name."""
    services = {service.hostname: service for service in world.services}
    found = ((c, services.get(parse_cluster(c["name"]).host)) for c in translated.clusters if c.get("type") == "ORIGINAL_DST")
    known = {cluster["name"]: (cluster, service) for cluster, service in found if service is not None}
    by_pods = {name: _by_pods(cluster) for name, (cluster, service) in known.items() if service.headless}
    by_name = {name: _by_name(cluster, service) for name, (cluster, service) in known.items() if _has_name(service)}
    chosen = by_pods | by_name
    if not chosen:
        return translated
    return replace(
        translated,
        clusters=tuple(chosen.get(cluster["name"], cluster) for cluster in translated.clusters),
        endpoints=(*translated.endpoints, *endpoints(world, proxy, by_pods.values())),
    )


def _has_name(service: Service) -> bool:
    return not service.kubernetes and service.resolution is Resolution.NONE and "*" not in service.hostname


def _by_pods(cluster: Resource) -> Resource:
    return {**_balanced(cluster), "type": "EDS", "eds_cluster_config": {"service_name": cluster["name"]}}


def _by_name(cluster: Resource, service: Service) -> Resource:
    number = parse_cluster(cluster["name"]).port
    port = service.port(number)
    target = int(port.target) if port else number
    endpoint = {"endpoint": {"address": {"socket_address": {"address": service.hostname, "port_value": target}}}}
    return {
        **_balanced(cluster),
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_ONLY",
        "load_assignment": {"cluster_name": cluster["name"], "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _balanced(cluster: Resource) -> Resource:
    return {**{k: v for k, v in cluster.items() if k not in ("lb_policy", "original_dst_lb_config")}, "lb_policy": "LEAST_REQUEST"}
