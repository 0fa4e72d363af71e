"""Each row changes one thing in a DestinationRule that istiod takes."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.istio.validate import refusals, warnings
from tests.manifests import changed, istio, place

GOOD: dict[str, Any] = {"host": "reviews", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]}
POLICY = "trafficPolicy."
OUTLIER = POLICY + "outlierDetection"
POOL = POLICY + "connectionPool"
LB = POLICY + "loadBalancer"
HASH = LB + ".consistentHash"
LOCALITY = LB + ".localityLbSetting"
TLS = POLICY + "tls"


@pytest.mark.parametrize(
    ("path", "value", "at", "why"),
    [
        ("host", "", "", "empty domain name"),
        ("host", "*", "", ""),
        ("host", "*.local", "", ""),
        ("host", "a_b", "", "invalid"),
        ("subsets.0.name", "v1.4", "", "subset name is invalid"),
        ("subsets.0.name", "", "", "subset name cannot be empty"),
        ("subsets.1", {"name": "v1"}, ".name", "duplicate subset names: v1"),
        ("subsets.0.labels", {"a b": "c"}, "", "invalid tag key"),
        ("subsets.0.trafficPolicy", {}, "", "at least one field"),
        ("exportTo", [".", "*"], "", "cannot have both public"),
        ("workloadSelector", {"matchLabels": {"a": "*"}}, ".matchLabels", "wildcard is not supported"),
        ("trafficPolicy", {}, "", "at least one field"),
        ("trafficPolicy", {"tunnel": {"targetHost": "a", "targetPort": 1}, "proxyProtocol": {}}, "", "must not be set together"),
        ("trafficPolicy", {"retryBudget": {"percent": 20}}, "", ""),
        (POLICY + "portLevelSettings", [{"tls": {}}], "[0]", "must have valid port"),
        (POLICY + "portLevelSettings", [{"port": {"number": 80}}], "[0]", "at least one field"),
        (POLICY + "tunnel", {"targetHost": "a b", "targetPort": 1}, ".targetHost", "valid FQDN or IP"),
        (POLICY + "tunnel", {"targetHost": "a"}, ".targetPort", "target port is invalid"),
        (POLICY + "tunnel", {"targetHost": "a", "targetPort": 1, "protocol": "GET"}, ".protocol", "CONNECT"),
        (OUTLIER, {}, "", ""),
        (OUTLIER, {"interval": "0s"}, ".interval", "1ms"),
        (OUTLIER, {"baseEjectionTime": "1.5ms"}, ".baseEjectionTime", "ms precision"),
        (OUTLIER, {"maxEjectionPercent": 101}, ".maxEjectionPercent", "0..100"),
        (OUTLIER, {"minHealthPercent": -1}, ".minHealthPercent", "0..100"),
        (OUTLIER, {"consecutiveLocalOriginFailures": 3}, ".consecutiveLocalOriginFailures", "split"),
        (OUTLIER, {"consecutiveLocalOriginFailures": 3, "splitExternalLocalOriginErrors": True}, "", ""),
        (POOL, {}, "", "at least one field"),
        (POOL, {"tcp": {"maxConnections": -1}}, ".tcp.maxConnections", "non-negative"),
        (POOL, {"tcp": {"connectTimeout": "0s"}}, ".tcp.connectTimeout", "1ms"),
        (POOL, {"tcp": {"idleTimeout": "0s"}}, "", ""),
        (POOL, {"tcp": {"idleTimeout": "1.5ms"}}, ".tcp.idleTimeout", "precision"),
        (POOL, {"tcp": {"tcpKeepalive": {"time": "0s"}}}, ".tcp.tcpKeepalive.time", "1ms"),
        (POOL, {"http": {"http1MaxPendingRequests": -1}}, ".http.http1MaxPendingRequests", "non-negative"),
        (POOL, {"http": {"idleTimeout": "0s"}}, ".http.idleTimeout", "1ms"),
        (POOL, {"http": {"h2UpgradePolicy": "UPGRADE", "useClientProtocol": True}}, ".http", "must not be true"),
        (HASH, {"httpCookie": {"ttl": "0s"}}, ".httpCookie", "name required"),
        (HASH, {"useSourceIp": True, "maglev": {"tableSize": 100}}, ".maglev.tableSize", "prime"),
        (HASH, {"useSourceIp": True, "maglev": {"tableSize": 5000011}}, ".maglev.tableSize", "less than"),
        (HASH, {"useSourceIp": True, "maglev": {"tableSize": 65537}}, "", ""),
        (LB, {"warmup": {}}, ".warmup", "duration is required"),
        (LB, {"warmup": {"duration": "1s", "aggression": 0.5}}, ".warmup.aggression", "greater than"),
        (LB, {"warmup": {"duration": "1s", "minimumPercent": 101}}, ".warmup.minimumPercent", "less than"),
        (LOCALITY, {"distribute": [{"from": "a", "to": {"a": 60}}]}, ".distribute[0].to", "60 != 100"),
        (LOCALITY, {"distribute": [{"from": "a", "to": {"a": 100, "b": 0}}]}, ".distribute[0].to", "[1, 100]"),
        (LOCALITY, {"distribute": [{"from": "a", "to": {"a": 50, "a/b": 50}}]}, ".distribute[0].to", "overlap"),
        (LOCALITY, {"distribute": [{"from": "a/*", "to": {"a/b": 50, "a/c": 50}}]}, "", ""),
        (LOCALITY, {"distribute": [{"from": "a/*/b", "to": {"a": 100}}]}, ".distribute", "must be in the end"),
        (LOCALITY, {"distribute": [{"from": "a", "to": {"a": 100}}], "failover": [{"from": "a", "to": "b"}]}, "", "simultaneously"),
        (LOCALITY, {"failover": [{"from": "a", "to": "a"}]}, ".failover[0]", "different regions"),
        (LOCALITY, {"failover": [{"from": "a/b", "to": "c"}]}, ".failover[0]", "only specify region"),
        (LOCALITY, {"failover": [{"from": "*", "to": "c"}]}, ".failover[0]", "wildcard"),
        (TLS, {"mode": "MUTUAL", "clientCertificate": "/a"}, "", "private key required for mutual tls"),
        (TLS, {"mode": "MUTUAL", "credentialName": "c"}, "", ""),
        (TLS, {"mode": "SIMPLE"}, "", ""),
        (TLS, {"mode": "SIMPLE", "credentialName": "c", "caCertificates": "/a"}, "", "If credentialName is set"),
        (TLS, {"mode": "SIMPLE", "insecureSkipVerify": True, "caCertificates": "/a"}, "", "InsecureSkipVerify"),
        (TLS, {"mode": "simple"}, ".mode", "unknown value"),
        (TLS, {"mode": "SIMPLE", "credentialName": "configmap://default/ca"}, "", ""),
        (TLS, {"mode": "SIMPLE", "credentialName": "configmap://other/ca"}, ".credentialName", "must match"),
        (TLS, {"mode": "SIMPLE", "credentialName": "configmap://ca"}, ".credentialName", "Expected namespace and name"),
    ],
)  # fmt: skip
def test_one_change(path: str, value: Any, at: str, why: str) -> None:
    found = refusals(istio("DestinationRule", changed(GOOD, path, value)))
    if not why:
        assert found == []
    else:
        assert [finding.path for finding in found] == [place(path, at)]
        assert why in found[0].message


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (OUTLIER, {"consecutiveErrors": 3}, "consecutive errors is deprecated"),
        (HASH, {"useSourceIp": True, "minimumRingSize": 10}, "MinimumRingSize is deprecated"),
        (LOCALITY, {"failover": [{"from": "a", "to": "b"}]}, "outlier detection policy must be provided for failover"),
        (LOCALITY, {"failoverPriority": ["a"]}, "outlier detection policy must be provided for failover"),
        ("workloadSelector", {"matchLabels": {}}, "workload selector specified without labels"),
        ("subsets.0.trafficPolicy", {"outlierDetection": {"consecutiveErrors": 3}}, ""),
        (POLICY + "portLevelSettings", [{"port": {"number": 80}, "outlierDetection": {"consecutiveErrors": 3}}], ""),
    ],
)
def test_warnings(path: str, value: Any, why: str) -> None:
    found = [finding.message for finding in warnings(istio("DestinationRule", changed(GOOD, path, value)))]
    assert len(found) == bool(why)
    assert all(why in message for message in found)
