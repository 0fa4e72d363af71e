"""How many connections, requests and retries may be open to a cluster at once, and how are its connections made?

The part of a DestinationRule that holds on both sides of a hop: the caller's outbound cluster and the callee's inbound one.
Zero means "not said" everywhere. Facts: istio CTP `applyConnectionPool`, `applyRetryBudget`, `applyTCPKeepalive`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaos.envoy.protocols import HttpProtocolOptions
from chaos.istio.durations import parse, proto, to_proto
from chaos.istio.world import World

UNLIMITED = 4294967295
_BUDGET_PERCENT = 20
_BUDGET_CONCURRENCY = 3
# Gauges of what is left of each limit: off by default from this release on (DISABLE_TRACK_REMAINING_CB_METRICS).
_TRACKS_NO_MORE_SINCE = 29
_BUDGETS_SINCE = 27
_PINGS_SINCE = 31


def apply(
    cluster: dict[str, Any],
    options: HttpProtocolOptions,
    pool: Mapping[str, Any],
    retry_budget: Mapping[str, Any] | None,
    world: World,
) -> None:
    """Connect timeout, keepalive and circuit breakers on `cluster`, the limits of single connections on `options`.

    Envoy's own default of 3 parallel retries is lifted like every other limit: it breaks during pod churn.
    """
    tcp, http = pool.get("tcp") or {}, pool.get("http") or {}
    timeout = tcp.get("connectTimeout")
    cluster["connect_timeout"] = proto(world.mesh.connect_timeout) if timeout is None else to_proto(timeout)
    keepalive(cluster, world.mesh.tcp_keepalive, tcp.get("tcpKeepalive"))
    cluster["circuit_breakers"] = circuit_breakers(pool, retry_budget, world.minor)
    options.limit_connections(_common(tcp, http), int(http.get("maxConcurrentStreams") or 0))
    if world.minor >= _PINGS_SINCE:
        pings = http.get("http2KeepAlive") or {}
        options.ping({key: to_proto(pings[key]) for key in ("interval", "timeout") if pings.get(key) is not None})
    if http.get("useClientProtocol"):
        options.follow_downstream()


def keepalive(cluster: dict[str, Any], *written: Mapping[str, Any] | None) -> None:
    """TCP keepalive of the mesh, then of the rule, field by field; an empty block turns it on with the system's values."""
    found = [block for block in written if block is not None]
    if not found:
        return
    fields: dict[str, int] = {}
    for block in found:
        if block.get("probes"):
            fields["keepalive_probes"] = int(block["probes"])
        for key in ("time", "interval"):
            if block.get(key) is not None:
                fields[f"keepalive_{key}"] = int(parse(block[key]).total_seconds())
    cluster["upstream_connection_options"] = {"tcp_keepalive": fields}


def circuit_breakers(pool: Mapping[str, Any], retry_budget: Mapping[str, Any] | None, minor: int) -> dict[str, Any]:
    """The limits of a pool (the empty one has none) as Envoy's circuit_breakers; `minor` is Istio's release."""
    tcp, http = pool.get("tcp") or {}, pool.get("http") or {}
    limits: dict[str, Any] = {
        "max_connections": _limit(tcp.get("maxConnections")),
        "max_pending_requests": _limit(http.get("http1MaxPendingRequests")),
        "max_requests": _limit(http.get("http2MaxRequests")),
        "max_retries": _limit(http.get("maxRetries")),
    }
    if minor < _TRACKS_NO_MORE_SINCE:
        limits["track_remaining"] = True
    if retry_budget is not None and minor >= _BUDGETS_SINCE:
        limits["retry_budget"] = _retry_budget(retry_budget)
    return {"thresholds": [limits]}


def _retry_budget(written: Mapping[str, Any]) -> dict[str, Any]:
    """20 % of the requests, and 3 in any case; an explicit share of 0 is taken, a concurrency of 0 is not."""
    percent = written.get("percent")
    share = _BUDGET_PERCENT if percent is None else float(percent)
    return {
        "budget_percent": {"value": share} if share else {},
        "min_retry_concurrency": int(written.get("minRetryConcurrency") or 0) or _BUDGET_CONCURRENCY,
    }


def _limit(written: object) -> int:
    number = int(str(written or 0))
    return number if number > 0 else UNLIMITED


def _common(tcp: Mapping[str, Any], http: Mapping[str, Any]) -> dict[str, Any]:
    """http.idleTimeout beats tcp.idleTimeout; the latter holds for HTTP too where the former is not said."""
    common: dict[str, Any] = {}
    idle = tcp.get("idleTimeout") if http.get("idleTimeout") is None else http["idleTimeout"]
    if idle is not None:
        common["idle_timeout"] = to_proto(idle)
    if int(http.get("maxRequestsPerConnection") or 0) > 0:
        common["max_requests_per_connection"] = int(http["maxRequestsPerConnection"])
    if tcp.get("maxConnectionDuration") is not None:
        common["max_connection_duration"] = to_proto(tcp["maxConnectionDuration"])
    return common
