"""The hash policies of routes: which block counts, and what it says."""

from __future__ import annotations

import pytest

from chaos.envoy.hashing import hash_of_destination, hash_of_service, hash_policy
from chaos.istio.destinationrules import DestinationRule


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (None, None),
        ({}, None),
        ({"minimumRingSize": 64}, None),
        ({"httpHeaderName": "x-user"}, {"header": {"header_name": "x-user"}}),
        ({"useSourceIp": True}, {"connection_properties": {"source_ip": True}}),
        ({"useSourceIp": False}, {"connection_properties": {}}),
        ({"httpQueryParameterName": "user"}, {"query_parameter": {"name": "user"}}),
        ({"httpCookie": {"name": "sid"}}, {"cookie": {"name": "sid"}}),
        ({"httpCookie": {"name": "sid", "ttl": "0s"}}, {"cookie": {"name": "sid", "ttl": "0s"}}),
        ({"httpCookie": {"name": "sid", "ttl": "1h", "path": "/"}}, {"cookie": {"name": "sid", "ttl": "3600s", "path": "/"}}),
        (
            {"httpCookie": {"name": "sid", "attributes": [{"name": "SameSite", "value": "Strict"}, {"name": "Secure"}]}},
            {"cookie": {"name": "sid", "attributes": [{"name": "SameSite", "value": "Strict"}, {"name": "Secure"}]}},
        ),
        ({"httpHeaderName": "x-user", "useSourceIp": True}, {"connection_properties": {"source_ip": True}}),
    ],
)
def test_keys(written, expected):
    assert hash_policy(written) == expected


def hashed(name):
    return {"loadBalancer": {"consistentHash": {"httpHeaderName": name}}}


def rule(policy=None, subset=None):
    return DestinationRule(
        host="api.default.svc.cluster.local",
        namespace="default",
        export_to=frozenset(),
        selector=None,
        traffic_policy=policy,
        subsets=({"name": "v1", "trafficPolicy": subset},),
        documents=(),
    )


PORT = {"port": {"number": 80}}
TOP = hashed("top") | {"portLevelSettings": [PORT | hashed("top-port")]}
SUBSET = hashed("subset") | {"portLevelSettings": [PORT | hashed("subset-port")]}
SIMPLE = {"loadBalancer": {"simple": "RANDOM"}}


@pytest.mark.parametrize(
    ("made", "destination", "expected"),
    [
        (None, {}, None),
        (rule(), {}, None),
        (rule(TOP), {}, "top"),
        (rule(TOP), PORT, "top-port"),
        (rule(TOP), {"port": {"number": 81}}, "top"),
        (rule(TOP, SUBSET), {"subset": "v1"}, "subset"),
        (rule(TOP, SUBSET), {"subset": "v1"} | PORT, "subset-port"),
        (rule(TOP, SUBSET), {"subset": "v9"}, "top"),
        (rule(TOP, SIMPLE), {"subset": "v1"}, "top"),
        (rule(TOP, SIMPLE), {"subset": "v1"} | PORT, "top-port"),
        (rule(None, SUBSET), {}, None),
    ],
)
def test_which_block_counts_for_a_destination(made, destination, expected):
    found = hash_of_destination(made, destination)

    assert (found and found["httpHeaderName"]) == expected


@pytest.mark.parametrize(
    ("made", "port", "expected"), [(None, 80, None), (rule(TOP), 80, "top-port"), (rule(TOP), 81, "top"), (rule(SIMPLE), 80, None)]
)
def test_which_block_counts_for_a_default_route(made, port, expected):
    found = hash_of_service(made, port)

    assert (found and found["httpHeaderName"]) == expected
