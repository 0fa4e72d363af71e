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
from chaos.envoy.translation import translate
from chaos.envoy.ways import best, ways
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
    entry = topology.entry
    host = f"{entry.service}.{entry.namespace}.svc.{world.mesh.domain}"
    gateways = [instance for instance in instances if instance.pod.is_gateway]
    found = [(i, way) for i in gateways for way in ways(translate(world, i.pod.id), entry.service, host, entry.port)]
    chosen = best(way for _, way in found)
    if chosen is not None:
        instance = next(i for i, way in found if way is chosen)
        endpoint = Endpoint(instance.sidecar, block.bindable(chosen.port))
        return WayIn(pod=instance.pod.id, endpoint=endpoint, host=chosen.host)
    if found:
        raise TopologyError(
            f"{topology.file}: entry: {entry.service} is served by the gateway {found[0][0].pod.id} over HTTPS alone, and "
            "the local mesh has no certificates. Give its Gateway a server with protocol HTTP and without httpsRedirect for the "
            "same hosts, or leave the Gateway out of local.manifests: load then enters from istio-chaos-load"
        )
    return None
