"""loadBalancer, field by field."""

from __future__ import annotations

import pytest

from chaos.envoy import loadbalancing

DEFAULT_RING = {"ring_hash_lb_config": {"minimum_ring_size": 1024}}


def balanced(written, kind="EDS"):
    """What `written` adds to a cluster of this type."""
    cluster = {"type": kind, "load_assignment": {}}
    loadbalancing.apply(cluster, written)
    return {key: value for key, value in cluster.items() if (key, value) not in (("type", kind), ("load_assignment", {}))}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({}, {"lb_policy": "LEAST_REQUEST"}),
        ({"simple": "UNSPECIFIED"}, {"lb_policy": "LEAST_REQUEST"}),
        ({"simple": "LEAST_CONN"}, {"lb_policy": "LEAST_REQUEST"}),
        ({"simple": "LEAST_REQUEST"}, {"lb_policy": "LEAST_REQUEST"}),
        ({"simple": "RANDOM"}, {"lb_policy": "RANDOM"}),
        ({"simple": "ROUND_ROBIN"}, {}),
        ({"consistentHash": {"httpHeaderName": "x"}}, {"lb_policy": "RING_HASH"} | DEFAULT_RING),
        ({"simple": "RANDOM", "consistentHash": {"useSourceIp": True}}, {"lb_policy": "RING_HASH"} | DEFAULT_RING),
        ({"consistentHash": {"minimumRingSize": 64}}, {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 64}}),
        ({"consistentHash": {"ringHash": {}}}, {"lb_policy": "RING_HASH"}),
        (
            {"consistentHash": {"ringHash": {"minimumRingSize": 4096}}},
            {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 4096}},
        ),
        ({"consistentHash": {"maglev": {}}}, {"lb_policy": "MAGLEV"}),
        (
            {"consistentHash": {"maglev": {"tableSize": 251}, "ringHash": {"minimumRingSize": 2}}},
            {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 251}},
        ),
    ],
)
def test_policies(written, expected):
    assert balanced(written) == expected


@pytest.mark.parametrize("written", [{}, {"simple": "RANDOM"}, {"consistentHash": {"httpHeaderName": "x"}}])
def test_no_choice_where_the_caller_has_chosen(written):
    assert balanced(written, "ORIGINAL_DST") == {"lb_policy": "CLUSTER_PROVIDED"}


def test_passthrough_takes_the_endpoints_away():
    cluster = {"type": "STRICT_DNS", "load_assignment": {}}
    loadbalancing.apply(cluster, {"simple": "PASSTHROUGH"})

    assert cluster == {"type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"}


SLOW = {"slow_start_window": "20s", "aggression": {"default_value": 1, "runtime_key": "("}, "min_weight_percent": {"value": 10}}


@pytest.mark.parametrize(
    ("written", "config", "expected"),
    [
        ({"simple": "ROUND_ROBIN", "warmup": {"duration": "20s"}}, "round_robin_lb_config", SLOW),
        ({"warmup": {"duration": "20s"}}, "least_request_lb_config", SLOW),
        (
            {"warmup": {"duration": "20s", "aggression": 1.5, "minimumPercent": 0}},
            "least_request_lb_config",
            SLOW | {"aggression": {"default_value": 1.5, "runtime_key": "("}, "min_weight_percent": {}},
        ),
        ({"warmupDurationSecs": "1m"}, "least_request_lb_config", {"slow_start_window": "60s"}),
    ],
)
def test_slow_start(written, config, expected):
    assert balanced(written)[config] == {"slow_start_config": expected}


def test_random_starts_at_once():
    assert balanced({"simple": "RANDOM", "warmup": {"duration": "20s"}}) == {"lb_policy": "RANDOM"}


def test_a_ring_with_a_size_replaces_a_slow_start():
    written = {"warmup": {"duration": "20s"}, "consistentHash": {"httpHeaderName": "x"}}

    assert balanced(written) == {"lb_policy": "RING_HASH"} | DEFAULT_RING
