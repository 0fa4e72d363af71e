"""What would each proxy of a plan hold, and where would load enter? The local mesh as it follows from its manifests.

`LocalMesh` gives it to Envoys; `ManifestMesh` shows it to who only plans, with nothing started.
"""

from __future__ import annotations

from pathlib import Path

from chaos.envoy.configuration import Configuration
from chaos.envoy.translation import translate
from chaos.errors import Unreachable
from chaos.istio.inventory import pod_of, service_of
from chaos.mesh.local.addresses import PROXY_PORT, Block
from chaos.mesh.local.destinations import with_known_destinations
from chaos.mesh.local.gateways import localise_gateway
from chaos.mesh.local.instances import LOAD, Instance
from chaos.mesh.local.localise import Place, localise
from chaos.mesh.local.planning import Plan
from chaos.mesh.port import Address, Pod, Service
from chaos.model.topology import Entry


def base(plan: Plan, instance: Instance, block: Block, folder: Path) -> Configuration:
    """What istiod would push to this instance's proxy, at our addresses. `folder` is that of all instances."""
    proxy = plan.world.proxy(instance.pod.id)
    place = Place(
        block=block,
        namespace=instance.pod.namespace,
        sidecar=instance.sidecar,
        application=instance.application,
        proxy_port=PROXY_PORT,
        offered=instance.offered,
        sidecars=frozenset(i.sidecar for i in plan.instances),
        folder=folder / instance.pod.id,
    )
    translated = with_known_destinations(plan.world, proxy, translate(plan.world, proxy.id))
    return localise_gateway(translated, place) if proxy.is_gateway else localise(translated, place)


def entry(plan: Plan, wanted: Entry) -> tuple[Pod, Service, int]:
    """The pod whose proxy is the caller of the entry, the entry service, its port."""
    pod = _load(plan).pod if plan.way_in is None else plan.world.proxy(plan.way_in.pod).pod
    service = next(s for s in plan.world.services if (s.name, s.namespace) == (wanted.service, wanted.namespace))
    return pod_of(pod), service_of(service), wanted.port


def address(plan: Plan, wanted: Entry, service: Service | None, port: int | None) -> Address:
    """Where load for one service, or for the entry, is sent to. Raises Unreachable."""
    if service is None and plan.way_in is not None:
        return Address(url=f"http://{plan.way_in.endpoint}", host=plan.way_in.host)
    if service is None:
        _, service, entry_port = entry(plan, wanted)
        port = port or entry_port
    load = _load(plan)
    offered = {p.number: p.endpoint for p in load.offered if p.host == service.host and p.http}
    number = port or next(iter(offered), None)
    if number not in offered:
        known = ", ".join(map(str, offered)) or "none"
        raise Unreachable(f"{service.host} has no HTTP port {number or ''} that {load.pod.id} could send load to; it has: {known}")
    # A ServiceEntry's host is its whole name; a Kubernetes service's is short and stands in a namespace.
    name = service.host if service.external else f"{service.name}.{service.namespace}"
    return Address(url=f"http://{offered[number]}", host=f"{name}:{number}")


def _load(plan: Plan) -> Instance:
    return next(instance for instance in plan.instances if instance.pod.workload == LOAD)
