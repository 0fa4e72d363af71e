"""Which gateways run, what do they serve, and does traffic enter by one? Gateways and the VirtualServices bound to them.

A gateway of the manifests is a pod that is made of a proxy alone (`image: auto`). On a cluster it is often installed with Istio
and not among an application's manifests: then one is made up that the Gateway's selector picks. Listeners and routes are istiod's
(`http.8080`), at the gateway's own address. Nobody here has certificates, so servers that terminate TLS are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.envoy.configuration import Configuration, Resource
from chaos.envoy.naming import parse_cluster
from chaos.envoy.translation import translate
from chaos.errors import TopologyError
from chaos.istio.documents import Document, read_text
from chaos.istio.world import World
from chaos.mesh.local.addresses import Block, Endpoint
from chaos.mesh.local.bootstrap import from_file, routes_file
from chaos.mesh.local.clusters import local_clusters
from chaos.mesh.local.instances import Instance
from chaos.mesh.local.localise import Place
from chaos.mesh.local.stock import CONNECTION_MANAGER, adapted, chains_of, configs, is_stock, logged
from chaos.model.topology import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class WayIn:
    """Where a gateway takes requests for the entry."""

    pod: str
    """Id of the gateway's pod."""
    endpoint: Endpoint
    host: str | None
    """To be named in the request; None: any will do."""


# ------------------------------------------------------------------------------------------------------------- who runs
def made_up(documents: Sequence[Document]) -> Iterator[Document]:
    """A Deployment for each Gateway whose selector picks no gateway of the manifests, in the Gateway's own namespace.

    Named as Istio's own charts do: `istio-ingressgateway` for `istio: ingressgateway`.
    """
    world = World.of(documents)
    known = [pod.labels for pod in world.pods if pod.is_gateway]
    for gateway in world.gateways:
        selector = {str(k): str(v) for k, v in (gateway.spec.get("selector") or {}).items()}
        if any(selector.items() <= labels.items() for labels in known):
            continue
        name = _name(gateway, selector)
        labels = {"app": name, **selector}
        known.append(labels)
        yield from read_text(json.dumps(_deployment(name, gateway.namespace, labels)), Path(f"<{name}>"))


def _name(gateway: Document, selector: Mapping[str, str]) -> str:
    return f"istio-{selector['istio']}" if "istio" in selector else selector.get("app", gateway.name)


def _deployment(name: str, namespace: str, labels: Mapping[str, str]) -> Resource:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "istio-proxy", "image": "auto"}]}},
        },
    }


# ------------------------------------------------------------------------------------------------------ what they serve
def localise_gateway(translated: Configuration, place: Place) -> Configuration:
    """istiod's configuration for one gateway -> the same at the addresses of `place`; servers that terminate TLS are left out."""
    listeners = tuple(_listener(listener, place) for listener in translated.listeners if _plain(listener))
    served = {name for listener in listeners for name in _route_configurations(chains_of(listener))}
    return Configuration(
        listeners=listeners,
        routes=tuple(routes for routes in translated.routes if routes["name"] in served),
        clusters=tuple(local_clusters(translated, place.block, place.sidecars, place.application)),
    )


def _plain(listener: Resource) -> list[Resource]:
    """The chains that need no certificate: HTTP, TCP, and TLS that is passed through."""
    return [chain for chain in chains_of(listener) if "transport_socket" not in chain]


def _listener(listener: Resource, place: Place) -> Resource:
    if "internal_listener" in listener:  # an owner's, which needs no address
        return listener
    port = int(listener["address"]["socket_address"]["port_value"])
    return {
        **listener,
        "address": Endpoint(place.sidecar, place.block.bindable(port)).proto,
        "enable_reuse_port": False,  # see `stock.local_listener`
        "filter_chains": [_chain(chain, place) for chain in _plain(listener)],
    }


def _chain(chain: Resource, place: Place) -> Resource:
    return {**chain, "filters": [_filter(f, place) for f in chain["filters"] if is_stock(f)]}


def _filter(network_filter: Resource, place: Place) -> Resource:
    if network_filter["name"] != CONNECTION_MANAGER:
        return logged(network_filter, "outbound")
    manager = adapted(network_filter["typed_config"], "outbound")
    if "rds" in manager:
        name = manager["rds"]["route_config_name"]
        manager["rds"] = {"route_config_name": name, "config_source": from_file(place.folder / routes_file(name))}
    return {**network_filter, "typed_config": manager}


def _route_configurations(chains: Iterable[Resource]) -> Iterator[str]:
    for chain in chains:
        for manager in configs(chain, CONNECTION_MANAGER):
            if "rds" in manager:
                yield str(manager["rds"]["route_config_name"])


# -------------------------------------------------------------------------------------------------------- is it the entry
def way_in(world: World, instances: Iterable[Instance], topology: Topology, block: Block) -> WayIn | None:
    """Through which gateway requests reach the topology's entry; None if through none.

    Of several names one that is no wildcard, and that leads nowhere else. Raises TopologyError where all there is needs TLS.
    """
    ways = [way for i in instances if i.pod.is_gateway for way in _ways(world, i, topology, block)]
    plain = [(way, alone) for way, alone, is_plain in ways if is_plain]
    if plain:
        return min(plain, key=lambda pair: (pair[0].host is None, not pair[1]))[0]
    if ways:
        raise TopologyError(
            f"{topology.file}: entry: {topology.entry.service} is served by the gateway {ways[0][0].pod} over HTTPS alone, and "
            "the local mesh has no certificates. Give its Gateway a server with protocol HTTP and without httpsRedirect for the "
            "same hosts, or leave the Gateway out of local.manifests: load then enters from istio-chaos-load"
        )
    return None


def _ways(world: World, instance: Instance, topology: Topology, block: Block) -> Iterator[tuple[WayIn, bool, bool]]:
    """Every host of this gateway that leads to the entry, whether to it alone, and whether it can be reached without TLS."""
    entry = f"{topology.entry.service}.{topology.entry.namespace}.svc.{world.mesh.domain}", topology.entry.port
    for port, virtual_host, plain in _served(translate(world, instance.pod.id)):
        ends = {_end(cluster) for route in virtual_host["routes"] for cluster in _clusters(route.get("route", {}))}
        if entry in ends:
            endpoint = Endpoint(instance.sidecar, block.bindable(port))
            host = _host(virtual_host["domains"], topology)
            yield WayIn(pod=instance.pod.id, endpoint=endpoint, host=host), ends == {entry}, plain


def _served(translated: Configuration) -> Iterator[tuple[int, Resource, bool]]:
    """(port, virtual host, can be had without TLS)"""
    by_name = {routes["name"]: routes for routes in translated.routes}
    for listener in (li for li in translated.listeners if "internal_listener" not in li):
        for chain in chains_of(listener):
            for virtual_host in (host for name in _route_configurations([chain]) for host in by_name[name]["virtual_hosts"]):
                plain = "transport_socket" not in chain and virtual_host.get("require_tls") != "ALL"
                yield int(listener["address"]["socket_address"]["port_value"]), virtual_host, plain


def _end(cluster: str) -> tuple[str, int]:
    parsed = parse_cluster(cluster)
    return parsed.host, parsed.port


def _clusters(action: Resource) -> Iterator[str]:
    if "cluster" in action:
        yield action["cluster"]
    yield from (weighted["name"] for weighted in action.get("weighted_clusters", {}).get("clusters", ()))


def _host(domains: Sequence[str], topology: Topology) -> str | None:
    """A name that the virtual host takes; of a wildcard, the service's name under it."""
    named = next((domain for domain in domains if not domain.startswith("*")), domains[0])
    return None if named == "*" else named.replace("*", topology.entry.service, 1)
