"""What is strange about one route of a VirtualService? Faults, timeouts and retries that undo each other.

Facts: Envoy's fault filter stands before the router, so a delay runs outside the route's timeout and an abort is never
retried; the percentage of a fault defaults to 0; a try that times out counts as a reset, which `5xx`, `gateway-error` and
`reset` retry and Istio's default conditions do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from chaos.istio.analyze.cluster import Cluster, Object, full_host
from chaos.istio.durations import proto
from chaos.istio.findings import Finding, Level
from chaos.istio.services import Protocol
from chaos.istio.validate.decoding import Message

_RETRY_SLOW_TRIES = frozenset({"5xx", "gateway-error", "reset"})
_DEFAULT_RETRIES = 2
_MESH = "mesh"
_REQUEST_CONDITIONS = ("scheme", "method", "authority", "headers", "without_headers", "query_params")
_NO_GRPC = (Protocol.HTTP, Protocol.HTTP_PROXY)


def rules(cluster: Cluster) -> Iterator[tuple[Object, Message]]:
    """Every HTTP rule, with its VirtualService."""
    for service in cluster.of("VirtualService"):
        for rule in service.spec["http"]:
            yield service, rule


def bypassed_policies(cluster: Cluster) -> Iterator[Finding]:
    """CHAOS0002"""
    for service, rule in rules(cluster):
        delay, abort, retries = rule["fault"]["delay"], rule["fault"]["abort"], rule["retries"]
        if delay.has("fixed_delay") and rule.has("timeout"):
            why = (
                f"the delay of {proto(delay['fixed_delay'])} does not count against the timeout of {proto(rule['timeout'])} on the "
                "same route: a fault comes before it. To see the timeout, delay the callee instead"
            )
            yield service.finding("CHAOS0002", Level.WARNING, why, *delay.at("fixed_delay"))
        elif delay.has("fixed_delay") and retries.has("per_try_timeout"):
            why = "the delay does not count against perTryTimeout on the same route: a fault comes before it"
            yield service.finding("CHAOS0002", Level.WARNING, why, *delay.at("fixed_delay"))
        if abort and retries["attempts"] > 0:
            why = "an aborted request is not retried by the retries of the same route: a fault comes before them"
            yield service.finding("CHAOS0002", Level.WARNING, why, *abort.path)


def missing_percentages(cluster: Cluster) -> Iterator[Finding]:
    """CHAOS0003"""
    for service, rule in rules(cluster):
        for kind in ("delay", "abort"):
            fault = rule["fault"][kind]
            old = kind == "delay" and fault["percent"] > 0
            if fault and not fault["percentage"] and not old:
                why = f"without a percentage the {kind} never happens; write `percentage: {{value: 100}}` for every request"
                yield service.finding("CHAOS0003", Level.WARNING, why, *fault.path)


def grpc_statuses(cluster: Cluster) -> Iterator[Finding]:
    """CHAOS0004"""
    for service, rule in rules(cluster):
        abort = rule["fault"]["abort"]
        if not abort.has("grpc_status"):
            continue
        for share in rule["route"]:
            if (protocol := _protocol(cluster, service, share["destination"])) in _NO_GRPC:
                why = (
                    f"the port of {share['destination']['host']} speaks {protocol.value}: requests that are not gRPC get "
                    "a 200 for this fault; use httpStatus"
                )
                yield service.finding("CHAOS0004", Level.WARNING, why, *abort.at("grpc_status"))
                break


def _protocol(cluster: Cluster, service: Object, destination: Message) -> Protocol | None:
    host = full_host(destination["host"], service.namespace)
    found = next(iter(cluster.world.services_by_host.get(host, ())), None)
    if found is None:
        return None
    if destination["port"]:
        named = found.port(destination["port"]["number"])
        return named.protocol if named else None
    return found.ports[0].protocol if len(found.ports) == 1 else None


def crowded_tries(cluster: Cluster) -> Iterator[Finding]:
    """CHAOS0005"""
    for service, rule in rules(cluster):
        retries = rule["retries"]
        tries = retries["attempts"] + 1
        if tries < 2 or not retries.has("per_try_timeout") or not rule.has("timeout"):
            continue
        needed: timedelta = retries["per_try_timeout"] * tries
        if needed > rule["timeout"]:
            why = (
                f"{tries} tries of {proto(retries['per_try_timeout'])} each need {proto(needed)}, the timeout ends them after "
                f"{proto(rule['timeout'])}: the last ones are cut short or never made"
            )
            yield service.finding("CHAOS0005", Level.WARNING, why, *retries.at("per_try_timeout"))


def abandoned_tries(cluster: Cluster) -> Iterator[Finding]:
    """CHAOS0006"""
    for service, rule in rules(cluster):
        retries = rule["retries"]
        conditions = set(retries["retry_on"].split(","))
        if retries["attempts"] > 0 and retries.has("per_try_timeout") and not conditions & _RETRY_SLOW_TRIES:
            named = f"retryOn {retries['retry_on']}" if retries["retry_on"] else "Istio's default retryOn"
            why = f"a try ended by perTryTimeout is not retried under {named}; add 5xx, gateway-error or reset"
            yield service.finding("CHAOS0006", Level.WARNING, why, *retries.at("per_try_timeout"))


def switched_off_retries(cluster: Cluster) -> Iterator[Finding]:
    """CHAOS0008"""
    for service, rule in rules(cluster):
        if rule["retries"] and not rule["retries"].plain():
            remedy = "leave it out to keep them, or write `attempts: 0` if that is meant"
            why = f"`retries: {{}}` switches Istio's {_DEFAULT_RETRIES} default retries off; {remedy}"
            yield service.finding("CHAOS0008", Level.WARNING, why, *rule["retries"].path)


def unmatched_requests(cluster: Cluster) -> Iterator[Finding]:
    """CHAOS0009"""
    for service in cluster.of("VirtualService"):
        spec = service.spec
        on_mesh = not spec["gateways"] or _MESH in spec["gateways"]
        if not spec["hosts"] or not spec["http"] or not on_mesh:
            continue  # at the edge a 404 for an unknown path is what one expects
        if not any(_takes_any_request(rule) for rule in spec["http"]):
            why = "every rule has a match: a request that fits none gets a 404, not the service; add a last rule without a match"
            yield service.finding("CHAOS0009", Level.WARNING, why, *spec.at("http"))


def _takes_any_request(rule: Message) -> bool:
    """Conditions on the caller do not count: a caller with no rule at all goes to the service."""
    return not rule["match"] or any(_is_any_request(match) for match in rule["match"])


def _is_any_request(match: Message) -> bool:
    uri = match["uri"]
    any_path = not uri or uri["prefix"] == "/" or uri["regex"] in (".*", "/.*")
    return any_path and not any(match[field] for field in _REQUEST_CONDITIONS)


ADVISERS = (
    bypassed_policies,
    missing_percentages,
    grpc_statuses,
    crowded_tries,
    abandoned_tries,
    switched_off_retries,
    unmatched_requests,
)
