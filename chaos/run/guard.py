"""Is it allowed? Everything the topology does not list is refused before anything is touched, with the line to add."""

from __future__ import annotations

from chaos.errors import NotAllowed
from chaos.injection.callers import Ends
from chaos.model.injection import InjectionRequest
from chaos.model.topology import Topology


def check_injection(request: InjectionRequest, ends: Ends, topology: Topology) -> None:
    """Namespaces, percentage, duration and traffic of one injection. Raises NotAllowed."""
    allow, file = topology.allow, topology.file
    check_namespaces(ends, topology)
    for part in (request.fault.delay, request.fault.abort, request.fault.throttle):
        percent = getattr(part, "percent", 100.0)  # a throttle meets every response
        if part is not None and percent > allow.max_percent:
            raise NotAllowed(
                f"{part} on {request.edge}: at most {allow.max_percent:g}% is allowed; "
                f"raise it in {file}: allow: {{max_percent: {percent:g}}}"
            )
    if request.expires > allow.max_duration:
        raise NotAllowed(
            f"{request.edge}: expires after {request.expires:g} s, allowed are {allow.max_duration:g} s; "
            f"raise it in {file}: allow: {{max_duration: {request.expires:g}s}}"
        )
    if request.traffic not in allow.traffic:
        listed = ", ".join([*allow.traffic, request.traffic])
        raise NotAllowed(
            f'{request.edge}: traffic="{request.traffic}" hits everybody who shares the path; '
            f"allow it in {file}: allow: {{traffic: [{listed}]}}"
        )


def check_rate(rate: float, topology: Topology) -> None:
    """Requests per second of one load. Raises NotAllowed."""
    if rate > topology.allow.max_rate:
        raise NotAllowed(
            f"load at {rate:g}/s: at most {topology.allow.max_rate:g}/s is allowed; "
            f"raise it in {topology.file}: allow: {{max_rate: {rate:g}/s}}"
        )


def check_namespaces(ends: Ends, topology: Topology) -> None:
    """Where our objects would stand, and whose callee they concern. Raises NotAllowed."""
    for namespace in sorted({ends.callee.namespace, *(c.namespace for c in ends.callers)}):
        if not topology.allow.namespace(namespace):
            listed = ", ".join([*topology.allow.namespaces, namespace])
            raise NotAllowed(
                f"{ends.edge}: namespace {namespace} is not allowed; add it in {topology.file}: allow: {{namespaces: [{listed}]}}"
            )
