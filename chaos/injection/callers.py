"""Whose proxies does an edge start at? From `productpage -> reviews` to pods, labels that select exactly them, and the callee.

What can be refused by looking at who is there is refused here, with the reason and the next step; what only the callers'
configuration shows is refused by `private_path`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaos.errors import InvalidValue, Refused, nearest
from chaos.model.edge import Edge, Party
from chaos.model.fault import Fault
from chaos.model.inventory import Pod, Service

VOLATILE_LABELS = frozenset({"pod-template-hash", "controller-revision-hash", "statefulset.kubernetes.io/pod-name"})
"""Labels that Kubernetes gives to one generation or one pod of a workload: a selector must not hang on them."""


ROOT_NAMESPACE = "istio-system"
"""Istio's default `rootNamespace`: EnvoyFilters there concern proxies of every namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callers:
    """The pods of one workload, which share one EnvoyFilter pair."""

    workload: str
    namespace: str
    labels: tuple[tuple[str, str], ...]
    """Select exactly these pods."""
    pods: tuple[Pod, ...]

    @property
    def gateway(self) -> bool:
        """They are gateways: whoever calls the callee from there stands outside."""
        return self.pods[0].gateway

    @property
    def context(self) -> str:
        """The EnvoyFilter patch context of these proxies."""
        return "GATEWAY" if self.gateway else "SIDECAR_OUTBOUND"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Both ends of an edge, found in a mesh."""

    edge: Edge
    callers: tuple[Callers, ...]
    callee: Service


def ends(edge: Edge, services: Sequence[Service], pods: Sequence[Pod], namespace: str) -> Ends:
    """Find both ends; `namespace` is the default for short names. Raises InvalidValue or Refused."""
    callee = service(edge.callee, services, namespace)
    if callee.headless:
        raise Refused(
            f"{edge}: {callee.host} is headless; callers reach its pods directly and no policy stands between. "
            "Give the service a cluster IP, or inject on another edge"
        )
    if not any(port.http for port in callee.ports):
        shown = ", ".join(f"{port.number} is {port.protocol}" for port in callee.ports) or "it has no port"
        raise Refused(
            f"{edge}: no port of {callee.host} carries HTTP ({shown}); faults act on HTTP requests. "
            "If it is HTTP, say so: name the port http-... or set appProtocol: http"
        )
    return Ends(edge=edge, callers=_callers(edge, services, pods, namespace), callee=callee)


def service(party: Party, services: Sequence[Service], namespace: str) -> Service:
    """The service a party names. Raises InvalidValue with the nearest name."""
    wanted = party.namespace or namespace
    for candidate in services:
        if (candidate.name, candidate.namespace) == (party.name, wanted):
            return candidate
    host = f"{party.name}.{party.namespace}" if party.namespace else party.name
    for candidate in services:
        if candidate.host in (host, f"{host}.cluster.local"):
            return candidate
    elsewhere = sorted({s.namespace for s in services if s.name == party.name})
    if elsewhere:
        raise InvalidValue(f'no service "{party.name}" in namespace {wanted}; write "{party.name}.{elsewhere[0]}"')
    raise InvalidValue(
        f'no service "{party.name}" in namespace {wanted}'
        + nearest(party.name, (s.name for s in services if s.namespace == wanted))
    )


def check_fault(fault: Fault, callee: Service) -> None:
    """A gRPC status can only be answered where the callers speak HTTP/2. Raises Refused."""
    if fault.abort is None or fault.abort.grpc is None:
        return
    plain = [port for port in callee.ports if port.http and not port.http2]
    if plain:
        # Measured on Envoy 1.40: a non-gRPC request gets a plain 200 with the body "fault filter abort".
        raise Refused(
            f"abort {fault.abort.grpc_name} on {callee.host}: port {plain[0].number} is {plain[0].protocol}, where a gRPC status "
            "would arrive as a plain 200. Name the port grpc-... if it is gRPC, or abort with an HTTP status"
        )


def _callers(edge: Edge, services: Sequence[Service], pods: Sequence[Pod], namespace: str) -> tuple[Callers, ...]:
    chosen = _pods_of(edge.caller, services, pods, namespace) if edge.caller else [pod for pod in pods if pod.proxy]
    bare = [pod for pod in chosen if not pod.proxy]
    if bare:
        raise Refused(
            f"{edge}: {bare[0].id} has no sidecar, so nothing can be injected or seen there. "
            "Label its namespace istio-injection=enabled and restart it"
        )
    if not chosen:
        raise Refused(f"{edge}: {edge.caller} has no pods; start it, or inject on another edge")
    workloads = sorted({(pod.namespace, pod.workload) for pod in chosen})
    return tuple(_workload(edge, where, name, chosen, pods) for where, name in workloads)


def _pods_of(party: Party, services: Sequence[Service], pods: Sequence[Pod], namespace: str) -> list[Pod]:
    where = party.namespace or namespace
    by_workload = [pod for pod in pods if (pod.workload, pod.namespace) == (party.name, where)]
    if by_workload and not any((s.name, s.namespace) == (party.name, where) for s in services):
        return by_workload
    found = service(party, services, namespace)
    chosen = [pod for pod in pods if pod.namespace == found.namespace and pod.matches(found.selector)]
    if party.version is None:
        return chosen
    of_version = [pod for pod in chosen if pod.version == party.version]
    if not of_version:
        raise InvalidValue(
            f'no version "{party.version}" of {party.name}'
            + nearest(party.version, (pod.version or "" for pod in chosen if pod.version))
        )
    return of_version


def _workload(edge: Edge, namespace: str, name: str, chosen: Sequence[Pod], everyone: Sequence[Pod]) -> Callers:
    mine = tuple(pod for pod in chosen if (pod.namespace, pod.workload) == (namespace, name))
    labels = dict(set.intersection(*(set(pod.labels.items()) for pod in mine)))
    labels = {key: value for key, value in sorted(labels.items()) if key not in VOLATILE_LABELS}
    # A selector in the mesh's root namespace acts everywhere: there, pods of every namespace count.
    reach = [pod for pod in everyone if namespace in (pod.namespace, ROOT_NAMESPACE)]
    strangers = [pod for pod in reach if pod.matches(labels) and pod not in mine]
    if not labels or strangers:
        also = f"also select {strangers[0].id}" if strangers else "are missing"
        raise Refused(f"{edge}: the labels of {namespace}/{name} {also}; give its pod template a label of its own, such as app")
    return Callers(workload=name, namespace=namespace, labels=tuple(labels.items()), pods=mine)
