"""What do EnvoyFilters make of the clusters? CLUSTER patches: merge, remove, add.

Facts: istio pilot/pkg/networking/core/envoyfilter/cluster_patch.go. Nothing is changed in place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from chaos.envoy.configuration import Resource
from chaos.envoy.merging import merged, merged_any
from chaos.envoy.naming import parse_cluster
from chaos.envoy.patchmatch import SIDECAR_INBOUND, Patch

_CLUSTER = "envoy.config.cluster.v3.Cluster"


def patched(
    clusters: Iterable[Resource], context: str, patches: Sequence[Patch], inbound_hosts: Mapping[int, Collection[str]]
) -> list[Resource]:
    """An ADD for ANY context is made once, outbound."""
    meant = [patch for patch in patches if patch.is_for(context)]
    if not meant:
        return list(clusters)
    changed = (_cluster(cluster, meant, inbound_hosts) for cluster in clusters)
    added = [p.value for p in meant if p.operation == "ADD" and not (p.context == "ANY" and context == SIDECAR_INBOUND)]
    return [cluster for cluster in changed if cluster is not None] + added


def _cluster(cluster: Resource, patches: Sequence[Patch], inbound_hosts: Mapping[int, Collection[str]]) -> Resource | None:
    name = str(cluster["name"])
    parts = parse_cluster(name)
    hosts = inbound_hosts.get(parts.port, ()) if parts.direction == "inbound" else ()
    for patch in patches:
        if not patch.meets_cluster(name, hosts):
            continue
        if patch.operation == "REMOVE":
            return None
        if patch.merges:
            cluster = _merged(cluster, patch)
    return cluster


def _merged(cluster: Resource, patch: Patch) -> Resource:
    """A patch with a transport socket changes that alone: istiod merges sockets of one name and drops the rest of the patch."""
    socket = patch.value.get("transport_socket")
    if socket is None:
        return merged(_CLUSTER, cluster, patch.value, replace_lists=patch.replaces_lists)
    if cluster.get("transport_socket_matches"):
        return cluster
    known = cluster.get("transport_socket")
    if known and known.get("name") == socket.get("name") and known.get("typed_config") and socket.get("typed_config"):
        config = merged_any(known["typed_config"], socket["typed_config"])
        return {**cluster, "transport_socket": {**known, "typed_config": config}}
    return {**cluster, "transport_socket": socket}
