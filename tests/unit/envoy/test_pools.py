"""Connection pools and retry budgets, field by field."""

from __future__ import annotations

import pytest

from chaos.envoy import pools
from chaos.envoy.protocols import KEY, HttpProtocolOptions

NO_LIMITS = {
    "max_connections": 4294967295,
    "max_pending_requests": 4294967295,
    "max_requests": 4294967295,
    "max_retries": 4294967295,
}


@pytest.mark.parametrize(
    ("pool", "limits"),
    [
        ({}, {}),
        ({"tcp": {"maxConnections": 7}}, {"max_connections": 7}),
        ({"http": {"http1MaxPendingRequests": 7}}, {"max_pending_requests": 7}),
        ({"http": {"http2MaxRequests": 7}}, {"max_requests": 7}),
        ({"http": {"maxRetries": 7}}, {"max_retries": 7}),
        ({"tcp": {"maxConnections": 0}, "http": {"maxRetries": 0}}, {}),
        ({"http": {"maxRetries": "7"}}, {"max_retries": 7}),
    ],
)
def test_limits(pool, limits):
    assert pools.circuit_breakers(pool, None, 29) == {"thresholds": [NO_LIMITS | limits]}


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ({}, {"budget_percent": {"value": 20}, "min_retry_concurrency": 3}),
        ({"percent": 12.5, "minRetryConcurrency": 1}, {"budget_percent": {"value": 12.5}, "min_retry_concurrency": 1}),
        ({"percent": 0, "minRetryConcurrency": 0}, {"budget_percent": {}, "min_retry_concurrency": 3}),
    ],
)
def test_retry_budget(budget, expected):
    assert pools.circuit_breakers({}, budget, 29)["thresholds"][0]["retry_budget"] == expected


@pytest.mark.parametrize(("minor", "tracks"), [(28, True), (29, None)])
def test_what_is_left_is_tracked_up_to_1_28(minor, tracks):
    assert pools.circuit_breakers({}, None, minor)["thresholds"][0].get("track_remaining") is tracks


def built(world, pool, *, http2=False):
    """(cluster, HttpProtocolOptions in proto JSON) of a cluster with this pool."""
    cluster, options = {}, HttpProtocolOptions()
    if http2:
        options.speak_http2()
    pools.apply(cluster, options, pool, None, world)
    made = options.proto()
    return cluster, {} if made is None else {k: v for k, v in made[KEY].items() if k != "@type"}


@pytest.mark.parametrize(
    ("pool", "common"),
    [
        ({"tcp": {"idleTimeout": "1h"}}, {"idle_timeout": "3600s"}),
        ({"tcp": {"idleTimeout": "300s"}, "http": {"idleTimeout": "5s"}}, {"idle_timeout": "5s"}),
        ({"tcp": {"maxConnectionDuration": "10m"}}, {"max_connection_duration": "600s"}),
        ({"http": {"maxRequestsPerConnection": 1}}, {"max_requests_per_connection": 1}),
    ],
)
def test_limits_of_a_connection_make_the_protocol_explicit(world_of, pool, common):
    assert built(world_of(), pool)[1] == {
        "common_http_protocol_options": common,
        "explicit_http_config": {"http_protocol_options": {}},
    }


@pytest.mark.parametrize(
    ("http2", "version"),
    [
        (True, {"http2_protocol_options": {"max_concurrent_streams": 8}}),
        (False, {"http_protocol_options": {}}),
    ],
    ids=["http2", "http1"],
)
def test_streams_count_on_http2_only(world_of, http2, version):
    assert built(world_of(), {"http": {"maxConcurrentStreams": 8}}, http2=http2)[1] == {
        "common_http_protocol_options": {},
        "explicit_http_config": version,
    }


def test_the_client_s_protocol(world_of):
    assert built(world_of(), {"http": {"useClientProtocol": True, "maxConcurrentStreams": 8}}, http2=True)[1] == {
        "common_http_protocol_options": {},
        "use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}},
    }


@pytest.mark.parametrize(
    ("mesh", "tcp", "timeout"),
    [({}, {}, "10s"), ({"connectTimeout": "2.5s"}, {}, "2.5s"), ({"connectTimeout": "2.5s"}, {"connectTimeout": "100ms"}, "0.1s")],
    ids=["default", "mesh", "rule"],
)
def test_connect_timeout(world_of, mesh, tcp, timeout):
    assert built(world_of(mesh=mesh), {"tcp": tcp})[0]["connect_timeout"] == timeout


@pytest.mark.parametrize(
    ("mesh", "rule", "expected"),
    [
        (None, None, None),
        ({"probes": 3, "time": "600s", "interval": "30s"}, None, (3, 600, 30)),
        ({"probes": 3, "time": "600s", "interval": "30s"}, {"probes": 9}, (9, 600, 30)),
        (None, {"time": "2h", "interval": "75s", "probes": 0}, (None, 7200, 75)),
        (None, {}, (None, None, None)),
    ],
)
def test_keepalive_field_by_field(world_of, mesh, rule, expected):
    cluster, _ = built(
        world_of(mesh={"tcpKeepalive": mesh} if mesh else None), {"tcp": {"tcpKeepalive": rule}} if rule is not None else {}
    )

    if expected is None:
        assert "upstream_connection_options" not in cluster
    else:
        fields = zip(("keepalive_probes", "keepalive_time", "keepalive_interval"), expected, strict=True)
        assert cluster["upstream_connection_options"] == {"tcp_keepalive": {k: v for k, v in fields if v is not None}}
