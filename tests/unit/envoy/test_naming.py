from __future__ import annotations

import pytest

from chaos.envoy.naming import ClusterName, inbound_cluster, outbound_cluster, parse_cluster


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("outbound|9080|v1|a.b", ClusterName("outbound", 9080, "v1", "a.b")),
        ("inbound|8080||", ClusterName("inbound", 8080)),
        ("PassthroughCluster", ClusterName()),
        ("istio-chaos.r1.1", ClusterName()),
        ("a|b|c|d", ClusterName()),
    ],
)
def test_names_are_taken_apart(name: str, parts: ClusterName) -> None:
    assert parse_cluster(name) == parts


def test_what_is_written_can_be_read() -> None:
    assert parse_cluster(outbound_cluster(80, "v2", "x.org")) == ClusterName("outbound", 80, "v2", "x.org")
    assert parse_cluster(inbound_cluster(7)) == ClusterName("inbound", 7)
