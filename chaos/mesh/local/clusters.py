"""Where do a proxy's clusters lead on this machine? The same policies; endpoints are other sidecars, or the own application.

Endpoints stand inside the clusters, since every file that an Envoy watches costs the user an inotify instance. Mutual TLS
between sidecars, whose certificates only Istio's agent could bring, is taken out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chaos.envoy.configuration import Configuration, Resource
from chaos.mesh.local.addresses import Block, Endpoint
from chaos.mesh.local.stock import is_stock

_DNS = frozenset({"STRICT_DNS", "LOGICAL_DNS"})


def local_clusters(translated: Configuration, block: Block, sidecars: frozenset[str], application: str) -> Iterator[Resource]:
    """`sidecars` are the addresses of the mesh, whose ports are moved where they would need a privilege."""
    endpoints = {assignment["cluster_name"]: assignment for assignment in translated.endpoints}
    for cluster in translated.clusters:
        name = cluster["name"]
        if name.startswith("inbound|"):
            yield _inbound(cluster, block, application)
        elif cluster.get("type") == "EDS":
            key = cluster.get("eds_cluster_config", {}).get("service_name") or name
            yield _static(cluster, _moved(endpoints.get(key, {}).get("endpoints", ()), block, sidecars))
        elif cluster.get("type") in _DNS:
            # A name that nobody knows here must not keep the proxy from starting.
            yield {**_without_mesh_tls(cluster), "wait_for_warm_on_init": False}
        elif cluster.get("type") != "ORIGINAL_DST":  # the passthrough clusters have no meaning here
            yield _without_mesh_tls(cluster)


def _inbound(cluster: Resource, block: Block, application: str) -> Resource:
    written = _first_port(cluster)
    port = block.bindable(written if written is not None else int(cluster["name"].split("|")[1]))
    endpoint = {"endpoint": {"address": Endpoint(application, port).proto}}
    dropped = ("lb_policy", "cleanup_interval", "upstream_bind_config")
    return _static({k: v for k, v in cluster.items() if k not in dropped}, [{"lb_endpoints": [endpoint]}])


def _static(cluster: Resource, endpoints: Sequence[Resource]) -> Resource:
    kept = {k: v for k, v in _without_mesh_tls(cluster).items() if k not in ("type", "eds_cluster_config", "load_assignment")}
    return {**kept, "type": "STATIC", "load_assignment": {"cluster_name": cluster["name"], "endpoints": list(endpoints)}}


def _moved(localities: Sequence[Resource], block: Block, sidecars: frozenset[str]) -> list[Resource]:
    return [{**at, "lb_endpoints": [_moved_endpoint(e, block, sidecars) for e in at.get("lb_endpoints", ())]} for at in localities]


def _moved_endpoint(endpoint: Resource, block: Block, sidecars: frozenset[str]) -> Resource:
    address = endpoint["endpoint"]["address"].get("socket_address", {})
    if address.get("address") not in sidecars:
        return endpoint
    moved = Endpoint(address["address"], block.bindable(int(address["port_value"])))
    return {**endpoint, "endpoint": {**endpoint["endpoint"], "address": moved.proto}}


def _first_port(cluster: Resource) -> int | None:
    """Of an ingress listener's defaultEndpoint, which may be another port than the one clients see."""
    for locality in cluster.get("load_assignment", {}).get("endpoints", ()):
        for endpoint in locality.get("lb_endpoints", ()):
            port = endpoint["endpoint"]["address"].get("socket_address", {}).get("port_value")
            return None if port is None else int(port)
    return None


def _without_mesh_tls(cluster: Resource) -> Resource:
    local = {k: v for k, v in cluster.items() if k != "transport_socket_matches"}
    if "sds" in str(local.get("transport_socket", "")):  # certificates that only Istio's agent could bring
        del local["transport_socket"]
    if "filters" in local:
        local["filters"] = [f for f in local["filters"] if is_stock(f)]
    return local
