from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.envoy.merging import canonical, merged, merged_any

CLUSTER = "envoy.config.cluster.v3.Cluster"
ROUTE = "envoy.config.route.v3.Route"
FAULT = "envoy.extensions.filters.http.fault.v3.HTTPFault"
FAULT_URL = f"type.googleapis.com/{FAULT}"


@pytest.mark.parametrize(
    ("type_", "written", "read"),
    [
        (CLUSTER, {"connectTimeout": "0.500s"}, {"connect_timeout": "0.5s"}),
        (CLUSTER, {"connect_timeout": "1s", "no_such_field": 1}, {"connect_timeout": "1s"}),
        (CLUSTER, {"lb_policy": "ROUND_ROBIN"}, {}),
        (CLUSTER, {"lb_policy": "RANDOM"}, {"lb_policy": "RANDOM"}),
        (CLUSTER, {"lb_policy": 3}, {"lb_policy": "RANDOM"}),
        (CLUSTER, {"respect_dns_ttl": False, "alt_stat_name": ""}, {}),
        (CLUSTER, {"outlier_detection": {"consecutive_5xx": 0}}, {"outlier_detection": {"consecutive_5xx": 0}}),
        (CLUSTER, {"outlier_detection": {}}, {"outlier_detection": {}}),
        (CLUSTER, {"circuit_breakers": {"thresholds": []}}, {"circuit_breakers": {}}),
        (CLUSTER, {"name": None}, {}),
        (
            CLUSTER,
            {"circuit_breakers": {"thresholds": [{"priority": "DEFAULT", "maxConnections": "7"}]}},
            {"circuit_breakers": {"thresholds": [{"max_connections": 7}]}},
        ),
        (ROUTE, {"match": {"prefix": "", "caseSensitive": False}}, {"match": {"prefix": "", "case_sensitive": False}}),
        (ROUTE, {"redirect": {"path_redirect": ""}}, {"redirect": {"path_redirect": ""}}),
        (
            ROUTE,
            {"metadata": {"filter_metadata": {"a": {"camelKey": 0}}}},
            {"metadata": {"filter_metadata": {"a": {"camelKey": 0}}}},
        ),
        (
            ROUTE,
            {"typed_per_filter_config": {"x": {"@type": FAULT_URL, "abort": {"http_code": 5}, "maxActiveFaults": 0}}},
            {"typed_per_filter_config": {"x": {"@type": FAULT_URL, "abort": {}, "max_active_faults": 0}}},
        ),
        (FAULT, {"abort": {"percentage": {"numerator": 0, "denominator": "HUNDRED"}}}, {"abort": {"percentage": {}}}),
        (FAULT, {"abort": {"grpc_status": 0}}, {"abort": {"grpc_status": 0}}),
    ],
)
def test_what_envoy_reads(type_: str, written: dict[str, Any], read: dict[str, Any]) -> None:
    assert canonical(type_, written) == read


@pytest.mark.parametrize(
    ("type_", "below", "above", "result"),
    [
        (CLUSTER, {"connect_timeout": "1s"}, {"connect_timeout": "2s"}, {"connect_timeout": "2s"}),
        (
            CLUSTER,
            {"outlier_detection": {"interval": "1s", "consecutive_5xx": 3}},
            {"outlier_detection": {"interval": "2s"}},
            {"outlier_detection": {"interval": "2s", "consecutive_5xx": 3}},
        ),
        (
            CLUSTER,
            {"circuit_breakers": {"thresholds": [{"max_retries": 1}]}},
            {"circuit_breakers": {"thresholds": [{"max_connections": 2}]}},
            {"circuit_breakers": {"thresholds": [{"max_retries": 1}, {"max_connections": 2}]}},
        ),
        (
            ROUTE,
            {"typed_per_filter_config": {"a": {"@type": "x", "k": 1}, "b": {"@type": "y"}}},
            {"typed_per_filter_config": {"a": {"@type": "z"}}},
            {"typed_per_filter_config": {"a": {"@type": "z"}, "b": {"@type": "y"}}},
        ),
        (ROUTE, {"route": {"cluster": "a"}}, {"direct_response": {"status": 1}}, {"direct_response": {"status": 1}}),
        (
            ROUTE,
            {"route": {"cluster": "a", "timeout": "1s"}},
            {"route": {"weighted_clusters": {"clusters": []}}},
            {"route": {"timeout": "1s", "weighted_clusters": {"clusters": []}}},
        ),
        (ROUTE, {"match": {"prefix": "/"}}, {"match": {"path": "/a"}}, {"match": {"path": "/a"}}),
        # A wrapper around a zero is a message without fields.
        (
            CLUSTER,
            {"outlier_detection": {"consecutive_5xx": 3}},
            {"outlier_detection": {"consecutive_5xx": 0, "consecutive_gateway_failure": 0}},
            {"outlier_detection": {"consecutive_5xx": 3, "consecutive_gateway_failure": 0}},
        ),
        (ROUTE, {"match": {"case_sensitive": True}}, {"match": {"case_sensitive": False}}, {"match": {"case_sensitive": True}}),
        (CLUSTER, {"connect_timeout": "1s"}, {"connect_timeout": "0s"}, {"connect_timeout": "0s"}),
        (
            CLUSTER,
            {"transport_socket": {"name": "a", "typed_config": {"@type": "x", "k": 1}}},
            {"transport_socket": {"name": "b", "typed_config": {"@type": "x"}}},
            {"transport_socket": {"name": "b", "typed_config": {"@type": "x", "k": 1}}},
        ),
    ],
)
def test_merging(type_: str, below: dict[str, Any], above: dict[str, Any], result: dict[str, Any]) -> None:
    before = copy.deepcopy((below, above))
    assert merged(type_, below, above) == result
    assert (below, above) == before


def test_lists_may_be_replaced_instead() -> None:
    below, above = {"request_headers_to_remove": ["a"]}, {"request_headers_to_remove": ["b"]}
    assert merged(ROUTE, below, above, replace_lists=True) == above


def test_a_typed_configuration_keeps_its_type() -> None:
    below = {"@type": FAULT_URL, "max_active_faults": 1}
    assert merged_any(below, {"@type": FAULT_URL, "abort": {"http_status": 5}}) == {**below, "abort": {"http_status": 5}}
    struct = {"@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": "x", "value": {"abort": {}}}
    assert merged_any(below, struct) == below


def test_of_an_unknown_type_everything_is_taken() -> None:
    below = {"@type": "type.googleapis.com/istio.unknown", "a": 1}
    assert merged_any(below, {"@type": "other", "b": 2}) == {"@type": "type.googleapis.com/istio.unknown", "a": 1, "b": 2}


CLUSTERS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(min_size=1, max_size=3),
        "connect_timeout": st.sampled_from(["1s", "2.5s"]),
        "lb_policy": st.sampled_from(["RANDOM", "MAGLEV"]),
        "outlier_detection": st.fixed_dictionaries({}, optional={"consecutive_5xx": st.integers(0, 9), "interval": st.just("3s")}),
        "circuit_breakers": st.fixed_dictionaries(
            {}, optional={"thresholds": st.lists(st.fixed_dictionaries({"max_retries": st.integers(0, 3)}), min_size=1, max_size=2)}
        ),
    },
)


@given(CLUSTERS)
def test_reading_twice_reads_the_same(written: dict[str, Any]) -> None:
    assert canonical(CLUSTER, canonical(CLUSTER, written)) == canonical(CLUSTER, written)


@given(CLUSTERS, CLUSTERS, CLUSTERS)
def test_merging_is_associative(a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]) -> None:
    assert merged(CLUSTER, merged(CLUSTER, a, b), c) == merged(CLUSTER, a, merged(CLUSTER, b, c))


@given(CLUSTERS)
def test_nothing_changes_nothing(a: dict[str, Any]) -> None:
    assert merged(CLUSTER, a, {}) == a
    assert merged(CLUSTER, {}, a) == a
