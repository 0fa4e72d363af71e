"""Which resilience policy is in force on an edge, as the caller's own proxy shows it, and would it act on a given failure?

Reads what `chaos.injection` copied out of a configuration dump: a virtual host with its routes, and the clusters they lead to.
Facts: Envoy's router documentation (`retry_on`) and defaults; measured on Envoy 1.40: Istio's default policy does not retry an
application's 503, but it does on gRPC calls, where that 503 arrives as UNAVAILABLE; `5xx` never retries a gRPC status; outlier
detection counts gRPC statuses by their HTTP counterparts (UNAVAILABLE and DEADLINE_EXCEEDED as gateway errors, UNKNOWN and
INTERNAL as 5xx) and the router's own timeouts as 504.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.envoy.pools import UNLIMITED
from chaos.istio.durations import from_proto

Json = Mapping[str, Any]

FAULT_FILTER = "envoy.filters.http.fault"
GATEWAY_ERRORS = frozenset({502, 503, 504})
GRPC_CONDITIONS = {"cancelled": 1, "deadline-exceeded": 4, "resource-exhausted": 8, "internal": 13, "unavailable": 14}
"""retry_on words -> gRPC status they retry."""
_UNKNOWN = 2
_GRPC_OF_HTTP = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
"""What Envoy makes of an HTTP status on a gRPC call; any other is UNKNOWN."""
_HTTP_OF_GRPC = {
    0: 200, 1: 499, 2: 500, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 409, 11: 400, 12: 501, 13: 500, 14: 503,
    15: 500, 16: 401,
}  # fmt: skip
"""What outlier detection makes of a gRPC status."""
_DEFAULT_TIMEOUT = "15s"
"""Envoy's own, of a route that says none; istiod always says one."""
_RETRIES = "retries"
_LIMITS = {
    "max_connections": ("connections", 1024),
    "max_pending_requests": ("pending requests", 1024),
    "max_requests": ("requests", 1024),
    "max_retries": (_RETRIES, 3),
}
"""Envoy's threshold -> what it limits, and Envoy's own default (istiod lifts all of them)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How the callee would fail; None means not in this way."""

    status: int | None = None
    grpc: int | None = None
    delay: float | None = None
    """Seconds."""
    throttled: bool = False
    on_grpc: bool = False
    """The calls are gRPC: an HTTP status reaches the caller's proxy as a gRPC one."""

    @property
    def grpc_seen(self) -> int | None:
        """The gRPC status the caller's proxy sees, if any."""
        if self.grpc is not None or self.status is None or not self.on_grpc:
            return self.grpc
        return _GRPC_OF_HTTP.get(self.status, _UNKNOWN)

    @property
    def http_counted(self) -> int | None:
        """The HTTP status that outlier detection counts."""
        grpc = self.grpc_seen
        return self.status if grpc is None else _HTTP_OF_GRPC.get(grpc, 500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """One route's retry policy."""

    attempts: int
    conditions: tuple[str, ...]
    codes: tuple[int, ...]
    per_try_timeout: float | None

    def see(self, failure: Failure) -> bool:
        """Would an answer like this be tried again?"""
        grpc = failure.grpc_seen
        if grpc is not None:
            return any(GRPC_CONDITIONS.get(c) == grpc for c in self.conditions)
        status = failure.status
        if status is None:
            return False
        return (
            (status >= 500 and "5xx" in self.conditions)
            or (status in GATEWAY_ERRORS and "gateway-error" in self.conditions)
            or (status == 409 and "retriable-4xx" in self.conditions)
            or (status in self.codes and "retriable-status-codes" in self.conditions)
        )

    def __str__(self) -> str:
        on = ",".join([c for c in self.conditions if c != "retriable-status-codes"] + [str(code) for code in self.codes])
        per_try = f", {_text(self.per_try_timeout)} per try" if self.per_try_timeout else ""
        return f"{self.attempts} {'retry' if self.attempts == 1 else 'retries'} on {on}{per_try}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutePolicy:
    """What one route does about failures. Seconds; None = nothing set."""

    name: str
    timeout: float | None
    retries: Retries | None
    clusters: tuple[str, ...]
    has_fault: bool = False
    """A fault of a VirtualService sits on the route already."""

    def __str__(self) -> str:
        timeout = f"timeout {_text(self.timeout)}" if self.timeout else "no timeout"
        return f"route {self.name}: {timeout}, {self.retries or 'no retries'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlier:
    """A cluster's outlier detection; counts of 0 are off."""

    consecutive_5xx: int
    consecutive_gateway: int
    interval: float
    base_ejection: float
    max_ejection_percent: int

    def sees(self, failure: Failure) -> bool:
        """Does an answer like this count towards an ejection?"""
        status = failure.http_counted
        if status is None:
            return False
        return bool((status >= 500 and self.consecutive_5xx) or (status in GATEWAY_ERRORS and self.consecutive_gateway))

    def __str__(self) -> str:
        what = [f"{self.consecutive_5xx} x 5xx"] if self.consecutive_5xx else []
        what += [f"{self.consecutive_gateway} gateway errors"] if self.consecutive_gateway else []
        if not what:
            return "outlier detection that counts neither 5xx nor gateway errors"
        return (
            f"ejects after {' or '.join(what)} for {_text(self.base_ejection)}, at most {self.max_ejection_percent} % of the hosts"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPolicy:
    """What one cluster does about failures."""

    name: str
    outlier: Outlier | None
    limits: Mapping[str, int]
    """Circuit breaker thresholds that are set, by what they limit."""
    retry_share: float | None = None
    """Percent of the active requests that may be retries (a retry budget), instead of a number."""

    def __str__(self) -> str:
        said = [str(self.outlier)] if self.outlier else ["no outlier detection"]
        said += [f"at most {number} {what}" for what, number in self.limits.items()]
        said += [f"at most {self.retry_share:g} % retries"] if self.retry_share is not None else []
        return f"{short(self.name)}: {', '.join(said)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgePolicy:
    """The policy of an edge in one caller's proxy."""

    routes: tuple[RoutePolicy, ...]
    clusters: tuple[ClusterPolicy, ...]

    def acts_on(self, failure: Failure) -> str | None:
        """Why some policy would act on such a failure of the callee, in words; None if none would."""
        for route in self.routes:
            reason = _route_acts(route, failure)
            if reason:
                return reason
        for cluster in self.clusters:
            reason = _cluster_acts(cluster, failure)
            if reason:
                return reason
        return None

    @property
    def timeout(self) -> float | None:
        """Seconds: the shortest timeout or per-try timeout any route sets."""
        set_ones = [t for route in self.routes for t in (route.timeout, route.retries and route.retries.per_try_timeout) if t]
        return min(set_ones, default=None)

    @property
    def attempts(self) -> int:
        """The largest number of retries any route allows."""
        return max((route.retries.attempts for route in self.routes if route.retries), default=0)

    @property
    def lines(self) -> tuple[str, ...]:
        """One line a route and cluster, for people."""
        return tuple(dict.fromkeys([*map(str, self.routes), *map(str, self.clusters)]))


def edge_policy(virtual_host: Json, clusters: Iterable[Json]) -> EdgePolicy:
    """Read it from a virtual host and the clusters its routes lead to, as a dump shows them."""
    return EdgePolicy(
        routes=tuple(_route(route, virtual_host.get("retry_policy")) for route in virtual_host.get("routes", [])),
        clusters=tuple(_cluster(cluster) for cluster in clusters),
    )


def counted_status(status: int, grpc: int | None) -> int:
    """The HTTP status that outlier detection counts for an answer with this status and grpc-status."""
    return _HTTP_OF_GRPC.get(grpc, 500) if grpc is not None and grpc > 0 else status


def together(policies: Sequence[EdgePolicy]) -> EdgePolicy:
    """Of several callers' proxies."""
    return EdgePolicy(
        routes=tuple(dict.fromkeys(route for policy in policies for route in policy.routes)),
        clusters=tuple(cluster for policy in policies for cluster in policy.clusters),
    )


def short(cluster: str) -> str:
    """`outbound|9080|v3|reviews.bookinfo.svc.cluster.local` -> `reviews.bookinfo:9080 v3`."""
    parts = cluster.split("|")
    if len(parts) != 4:
        return cluster
    _, port, subset, host = parts
    return f"{host.removesuffix('.svc.cluster.local')}:{port}{' ' + subset if subset else ''}"


# ---------------------------------------------------------------------------------------------- reading
def _route(route: Json, retries_of_host: Json | None) -> RoutePolicy:
    """A route that answers itself or redirects calls nobody: no timeout, no retries, no clusters."""
    action = route.get("route")
    name, has_fault = str(route.get("name", "default")), FAULT_FILTER in route.get("typed_per_filter_config", {})
    if action is None:
        return RoutePolicy(name=name, timeout=None, retries=None, clusters=(), has_fault=has_fault)
    retries = action.get("retry_policy", retries_of_host)
    weighted = [c["name"] for c in action.get("weighted_clusters", {}).get("clusters", [])]
    return RoutePolicy(
        name=name,
        timeout=_seconds(action.get("timeout", _DEFAULT_TIMEOUT)) or None,
        retries=_retries(retries) if retries is not None else None,
        clusters=tuple(weighted or [action["cluster"]]) if weighted or "cluster" in action else (),
        has_fault=has_fault,
    )


def _retries(policy: Json) -> Retries:
    per_try = policy.get("per_try_timeout")
    return Retries(
        attempts=int(policy.get("num_retries", 1)),
        conditions=tuple(c.strip() for c in str(policy.get("retry_on", "")).split(",") if c.strip()),
        codes=tuple(policy.get("retriable_status_codes", ())),
        per_try_timeout=_seconds(per_try) or None if per_try else None,
    )


def _cluster(cluster: Json) -> ClusterPolicy:
    # Requests have the default priority; of several entries for it Envoy takes the first.
    found = cluster.get("circuit_breakers", {}).get("thresholds", ())
    thresholds: Json = next((t for t in found if t.get("priority", "DEFAULT") == "DEFAULT"), {})
    numbers = {what: int(thresholds.get(key, default)) for key, (what, default) in _LIMITS.items()}
    budget = thresholds.get("retry_budget")
    if budget is not None:
        del numbers[_RETRIES]
    outlier = cluster.get("outlier_detection")
    return ClusterPolicy(
        name=str(cluster["name"]),
        outlier=_outlier(outlier) if outlier is not None else None,
        limits={what: number for what, number in numbers.items() if number != UNLIMITED},
        retry_share=None if budget is None else float(budget.get("budget_percent", {"value": 20}).get("value", 0)),
    )


def _outlier(block: Json) -> Outlier:
    # Envoy's defaults: 5 x 5xx enforced, gateway errors counted but not enforced, 10 s, 30 s, 10 %.
    enforced = int(block.get("enforcing_consecutive_5xx", 100))
    gateway = int(block.get("enforcing_consecutive_gateway_failure", 0))
    return Outlier(
        consecutive_5xx=int(block.get("consecutive_5xx", 5)) if enforced else 0,
        consecutive_gateway=int(block.get("consecutive_gateway_failure", 5)) if gateway else 0,
        interval=_seconds(block.get("interval", "10s")),
        base_ejection=_seconds(block.get("base_ejection_time", "30s")),
        max_ejection_percent=int(block.get("max_ejection_percent", 10)),
    )


# ---------------------------------------------------------------------------------------------- acting
def _route_acts(route: RoutePolicy, failure: Failure) -> str | None:
    retries = route.retries
    if retries and retries.attempts and retries.see(failure):
        return f"the mesh retries such an answer ({route})"
    if failure.delay is not None:
        if route.timeout and route.timeout < failure.delay:
            return f"the mesh times out after {_text(route.timeout)} ({route})"
        if retries and retries.per_try_timeout and retries.per_try_timeout < failure.delay:
            return f"the mesh gives up a try after {_text(retries.per_try_timeout)} ({route})"
    if failure.throttled and route.timeout:
        return f"the mesh times out after {_text(route.timeout)} ({route})"
    return None


def _cluster_acts(cluster: ClusterPolicy, failure: Failure) -> str | None:
    if cluster.outlier and cluster.outlier.sees(failure):
        return f"outlier detection counts such an answer ({cluster})"
    # A limit on retries is not filled by slow answers.
    if (failure.delay is not None or failure.throttled) and cluster.limits.keys() - {_RETRIES}:
        return f"slow answers fill the connection pool ({cluster})"
    return None


def _seconds(duration: str) -> float:
    return from_proto(duration).total_seconds()


def _text(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:g} s"
