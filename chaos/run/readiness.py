"""Is this mesh fit for experiments? What every mesh can be asked; what only a cluster can is in `chaos.mesh.cluster.readiness`.

A question is a small function in `CHECKS`; it is asked of a `Look`, and answers with findings. One that cannot be answered is a
finding itself, and keeps no other from being asked. Nothing is written and nothing is sent.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final, cast

from chaos.errors import ChaosError, InvalidValue, Refused
from chaos.injection.callers import VOLATILE_LABELS, Ends, ends
from chaos.injection.names import PREFIX, REAPER
from chaos.injection.objects import Signature
from chaos.mesh.port import Mesh
from chaos.model.edge import Edge
from chaos.model.inventory import Pod, Service
from chaos.model.marks import Mark
from chaos.model.readiness import Finding, Severity, error, info, warning
from chaos.model.topology import Topology
from chaos.run.admission import unguarded
from chaos.run.journal import Journal
from chaos.run.paths import Paths

UNSAID: Final = "UnsupportedProtocol"
"""What a port's protocol is called where nobody said it."""


class Look:
    """What is looked at, each thing once; what the topology does not allow is nobody's business."""

    def __init__(self, mesh: Mesh, topology: Topology, edges: Sequence[Edge] = ()) -> None:
        self.mesh = mesh
        self.topology = topology
        self.edges = tuple(edges)

    @cached_property
    def everybody(self) -> tuple[Pod, ...]:
        return tuple(self.mesh.pods())

    @property
    def pods(self) -> list[Pod]:
        return [pod for pod in self.everybody if self.topology.allow.namespace(pod.namespace)]

    @cached_property
    def services(self) -> tuple[Service, ...]:
        return tuple(s for s in self.mesh.services() if self.topology.allow.namespace(s.namespace))

    @cached_property
    def entry(self) -> Service:
        return self.mesh.entry[1]

    def workloads(self) -> dict[tuple[str, str], list[Pod]]:
        found: dict[tuple[str, str], list[Pod]] = {}
        for pod in self.pods:
            found.setdefault((pod.namespace, pod.workload), []).append(pod)
        return found


Check = Callable[[Look], Iterable[Finding]]


def sidecars(look: Look) -> Iterator[Finding]:
    """Does each pod have a sidecar?"""
    for (namespace, workload), pods in look.workloads().items():
        bare = [pod for pod in pods if not pod.proxy]
        if bare:
            yield warning(
                f"workload/{workload}.{namespace}",
                f"{len(bare)} of its {len(pods)} pods have no sidecar ({bare[0].id})",
                means="edges that start there are refused, and what it calls is not seen",
                remedy="Label its namespace istio-injection=enabled and restart it",
            )


def protocols(look: Look) -> Iterator[Finding]:
    """Can a fault act on each port?"""
    for service in look.services:
        for port in service.ports:
            where = f"service/{service.name}.{service.namespace}:{port.number}"
            is_entry = (service.host, port.number) == (look.entry.host, look.mesh.entry[2])
            if not port.http:
                (say, whose) = (error, "it is the entry, so there is no load") if is_entry else (info, "no edge leads there")
                yield say(
                    where,
                    f"carries {port.protocol}",
                    means=f"faults act on HTTP requests, and load is one of them; {whose}",
                    remedy="If it is HTTP, say so: name the port http-... or set appProtocol: http",
                )
            elif port.protocol == UNSAID:
                yield warning(
                    where,
                    "does not say its protocol",
                    means="the sidecar looks at each connection's first bytes: what does not look like HTTP meets no fault",
                    remedy="Name the port http-..., http2-... or grpc-..., or set appProtocol",
                )


def endpoints(look: Look) -> Iterator[Finding]:
    """Does somebody stand behind each service?"""
    for service in look.services:
        if service.external or not service.selector:
            continue
        where = f"service/{service.name}.{service.namespace}"
        if not any(pod.namespace == service.namespace and pod.matches(service.selector) for pod in look.pods):
            say = error if service.host == look.entry.host else warning
            yield say(
                where,
                "no pod stands behind it",
                means="every call of it fails without any fault, so no claim about it means anything",
                remedy="Start its workload, or correct its selector: "
                + ", ".join(f"{key}={value}" for key, value in service.selector.items()),
            )
        if service.headless:
            yield info(
                where,
                "is headless",
                means="callers reach its pods directly and no policy stands between: edges to it are refused",
                remedy="Give it a cluster IP, or inject on another edge",
            )


def labels(look: Look) -> Iterator[Finding]:
    """Can the pods of each workload be told from all others, and its versions from each other?"""
    for (namespace, workload), pods in look.workloads().items():
        proxied = [pod for pod in pods if pod.proxy]
        if not proxied:
            continue
        where = f"workload/{workload}.{namespace}"
        common = set.intersection(*(set(pod.labels.items()) for pod in proxied))
        selector = {key: value for key, value in common if key not in VOLATILE_LABELS}
        stranger = next((p for p in look.pods if p.namespace == namespace and p.matches(selector) and p not in proxied), None)
        if not selector or stranger:
            what = f"its labels also select {stranger.id}" if stranger else "has no labels of its own"
            yield warning(
                where,
                what,
                means="an injection would reach others as well, so edges that start there are refused",
                remedy="Give its pod template a label of its own, such as app",
            )
        ours = workload == f"{PREFIX}-load"
        if not ours and any(pod.version is None and not pod.gateway for pod in proxied):
            yield info(
                where,
                "has no label version",
                means='its pods cannot be chosen as "name:version", and canaries cannot be told apart',
                remedy="Label its pod template version: v1 (or app.kubernetes.io/version)",
            )


def caller_edges(look: Look) -> Iterator[Finding]:
    """Who calls on the edges that were asked for, and could a private path be made in each of their proxies now?"""
    for edge in look.edges:
        where = f"edge/{edge}"
        try:
            found = ends(edge, look.mesh.services(), look.everybody, look.mesh.default_namespace)
            Paths.plan(_nothing_written(look.mesh), found)
        except (Refused, InvalidValue) as refused:
            yield error(
                where,
                str(refused).removeprefix(f"{edge}: "),
                means="an injection on it is refused",
                remedy="See to the reason, or test another edge",
            )
        else:
            yield info(
                where,
                f"starts at {_callers(found)}",
                means="a private path can be made in each of their proxies",
                remedy="Nothing to do",
            )


def _callers(found: Ends) -> str:
    return ", ".join(f"{c.workload}.{c.namespace} ({len(c.pods)} pod{'s' if len(c.pods) > 1 else ''})" for c in found.callers)


def _nothing_written(mesh: Mesh) -> Paths:
    """Paths that are only planned: without anything to write, there is nothing to journal."""
    run = "0" * 11 + "1"
    signature = Signature(run=run, deadline="", lease="")
    return Paths(
        mesh,
        Mark(run=run, experiment=0),
        cast("Journal", None),
        lambda _: signature,
        itertools.count(1),
        may_write=lambda: None,
    )


def stop_switch(look: Look) -> Iterator[Finding]:
    """Has somebody decided that nobody injects now?"""
    if reason := look.mesh.stopped():
        yield error(
            f"mesh/{look.mesh.identity.name}",
            reason,
            means="nothing is injected while it is set",
            remedy="Ask whoever set it",
        )


def reaper(look: Look) -> Iterator[Finding]:
    """Would somebody clean up after us if this machine were lost?"""
    if not look.mesh.reach:
        return  # all that is written there ends with our processes
    for namespace in sorted({pod.namespace for pod in look.pods if pod.proxy}):
        reason = unguarded(look.mesh.leases, [namespace])
        if not reason:
            continue
        without = look.topology.allow.without_reaper
        home = namespace == look.mesh.default_namespace
        say = info if without else error if home else warning
        yield say(
            f"namespace/{namespace}",
            reason,
            means="if this machine is lost, what it wrote there stays"
            + ("" if without else "; edges that start there are refused"),
            remedy=f"Deploy the reaper (deploy/), which renews the lease {REAPER}"
            + ("" if without else f", or say in {look.topology.file}: allow: {{without_reaper: true}}"),
        )


CHECKS: Mapping[str, Check] = {
    "sidecars": sidecars,
    "protocols": protocols,
    "endpoints": endpoints,
    "labels": labels,
    "edges": caller_edges,
    "stop-switch": stop_switch,
    "reaper": reaper,
}


def examine(look: Look, checks: Mapping[str, Check] = CHECKS) -> Iterator[Finding]:
    """Every finding."""
    for name, check in checks.items():
        try:
            for finding in check(look):
                yield replace(finding, check=name)
        except ChaosError as failure:
            yield replace(
                warning(
                    f"mesh/{look.mesh.identity.name}",
                    f"could not be asked: {failure}",
                    means="nobody knows whether this is in order",
                    remedy="See to the reason, then ask again",
                ),
                check=name,
            )


def refusal(findings: Iterable[Finding]) -> str:
    """Why no experiment can be run, in the words of an error; empty if they can."""
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if not errors:
        return ""
    more = f" (and {len(errors) - 1} more: istio-chaos doctor lists them)" if len(errors) > 1 else ""
    return f"{errors[0]}{more}"


def summary(findings: Iterable[Finding]) -> str:
    """`1 error, 2 warnings`; empty if there is nothing but information."""
    found = [finding.severity for finding in findings]
    counts = [(found.count(severity), severity.value) for severity in (Severity.ERROR, Severity.WARNING)]
    return ", ".join(f"{count} {name}{'s' if count > 1 else ''}" for count, name in counts if count)
