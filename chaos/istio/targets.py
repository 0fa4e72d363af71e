"""What is a pod called by? The service ports that lead to it: what its sidecar's inbound side is made of.

Facts: istio pilot/pkg/model/context.go (`SetServiceTargets`: by creation, then host name) and
pilot/pkg/networking/core/listener_inbound.go (of several services on one port the first counts).
"""

from __future__ import annotations

from dataclasses import dataclass

from chaos.istio.services import Service, ServicePort
from chaos.istio.workloads import Pod
from chaos.istio.world import Proxy, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One service port as it reaches one pod."""

    service: Service
    port: ServicePort
    number: int
    """The port at the pod."""


def service_targets(world: World, pod: Pod) -> tuple[Target, ...]:
    """Every (service, port) that selects `pod`: oldest service first, ports in their order. ServiceEntries select pods too."""
    return world.remember(("targets", pod.id), lambda: tuple(_targets(world, pod)))


def inbound_ports(world: World, pod: Pod) -> dict[int, Target]:
    """Target port -> the first service port that leads there, by number."""
    first: dict[int, Target] = {}
    for target in service_targets(world, pod):
        first.setdefault(target.number, target)
    return dict(sorted(first.items()))


def inbound_hosts(world: World, proxy: Proxy) -> dict[int, tuple[str, ...]]:
    """Target port -> the hosts of all services that lead there."""
    hosts: dict[int, tuple[str, ...]] = {}
    for target in service_targets(world, proxy.pod):
        hosts[target.number] = (*hosts.get(target.number, ()), target.service.hostname)
    return hosts


def unserved(world: World, pod: Pod) -> list[tuple[Service, ServicePort]]:
    """Service ports that reach `pod` on a cluster but not without its API server: their container port says no protocol."""
    if world.api_defaults:
        return []
    selecting = (service for service in _selecting(world, pod.namespace) if pod.has(service.selector or {}))
    return [(service, port) for service in selecting for port in service.ports if port.target in pod.ports_without_protocol]


def _targets(world: World, pod: Pod) -> list[Target]:
    found = []
    for service in _selecting(world, pod.namespace):
        if not pod.has(service.selector or {}):
            continue
        for port in service.ports:
            if port.target in pod.ports_without_protocol and not world.api_defaults:
                continue
            number = pod.target_port(port.target)
            if number:
                found.append(Target(service=service, port=port, number=number))
    return found


def _selecting(world: World, namespace: str) -> list[Service]:
    """The services of a namespace that select pods, the oldest first."""

    def make() -> list[Service]:
        own = (service for service in world.services if service.namespace == namespace and service.selector)
        return sorted(own, key=lambda service: (service.created, not service.kubernetes, service.hostname))

    return world.remember(("selecting services", namespace), make)
