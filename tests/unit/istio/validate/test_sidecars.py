from __future__ import annotations

from typing import Any

import pytest

from chaos.istio.validate import refusals, warnings
from tests.manifests import istio

PROXY = "spec.outboundTrafficPolicy.egressProxy"
INGRESS = {"port": {"number": 9080, "name": "http", "protocol": "HTTP"}, "defaultEndpoint": "127.0.0.1:8080"}


@pytest.mark.parametrize(
    ("spec", "at", "why"),
    [
        ({}, "spec", "empty configuration provided"),
        ({"workloadSelector": {"labels": {"a": "b"}}}, "spec", "empty configuration provided"),
        ({"outboundTrafficPolicy": {}}, "", ""),
        ({"egress": [{"hosts": ["./*", "istio-system/*"]}]}, "", ""),
        ({"egress": [{"hosts": []}]}, "spec.egress[0]", "at least one host"),
        ({"egress": [{"hosts": ["reviews"]}]}, "spec.egress[0].hosts[0]", "namespace/dnsName"),
        ({"egress": [{"hosts": ["./reviews"]}]}, "spec.egress[0].hosts[0]", "short names"),
        ({"egress": [{"hosts": ["a.b/*"]}]}, "spec.egress[0].hosts[0]", "invalid namespace value"),
        ({"egress": [{"hosts": ["./*"]}, {"hosts": ["./*"]}]}, "spec.egress[0]", "should be the last listener"),
        ({"egress": [{"port": {"number": 80, "protocol": "HTTP"}, "hosts": ["./*"]}]}, "", ""),
        ({"egress": [{"port": {"number": 80, "protocol": "X"}, "hosts": ["./*"]}]}, "spec.egress[0].port.protocol", "unsupported"),
        ({"egress": [{"port": {"number": 80}, "bind": "localhost", "hosts": ["./*"]}]}, "spec.egress[0].bind", "not a valid IP"),
        ({"egress": [{"port": {"name": "x"}, "hosts": ["./*"]}]}, "spec.egress[0]", "unix domain socket bind address"),
        ({"egress": [{"port": {"name": "x"}, "bind": "unix:///a", "hosts": ["./*"]}]}, "", ""),
        (
            {"egress": [{"port": {"name": "x"}, "bind": "unix:///a", "captureMode": "IPTABLES", "hosts": ["./*"]}]},
            "spec.egress[0].captureMode",
            "DEFAULT/NONE",
        ),
        (
            {"egress": [{"port": {"number": 80}, "hosts": ["./*"]}, {"port": {"number": 80}, "hosts": ["./*"]}]},
            "spec.egress[1].port.number",
            "must be unique",
        ),
        ({"ingress": [INGRESS]}, "", ""),
        ({"ingress": [{}]}, "spec.ingress[0]", "port is required"),
        ({"ingress": [{**INGRESS, "port": {"number": 0, "protocol": "HTTP"}}]}, "spec.ingress[0].port.number", "port number 0"),
        ({"ingress": [{**INGRESS, "defaultEndpoint": "10.0.0.1:80"}]}, "spec.ingress[0].defaultEndpoint", "must be of form"),
        ({"ingress": [{**INGRESS, "defaultEndpoint": "127.0.0.1:http"}]}, "spec.ingress[0].defaultEndpoint", "is not a number"),
        ({"ingress": [{**INGRESS, "defaultEndpoint": "unix:///a"}]}, "", ""),
        ({"ingress": [{**INGRESS, "defaultEndpoint": "[::1]:80"}]}, "", ""),
        ({"ingress": [{**INGRESS, "defaultEndpoint": ""}]}, "", ""),
        ({"ingress": [{**INGRESS, "tls": {"mode": "ISTIO_MUTUAL"}}]}, "spec.ingress[0].tls.mode", "cannot set mode to"),
        ({"ingress": [{**INGRESS, "connectionPool": {}}]}, "spec.ingress[0].connectionPool", "at least one field"),
        ({"inboundConnectionPool": {"tcp": {"maxConnections": -1}}}, "spec.inboundConnectionPool.tcp.maxConnections", "non-neg"),
        ({"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY", "egressProxy": {"host": "a"}}}, PROXY, "only with ALLOW_ANY"),
        ({"outboundTrafficPolicy": {"mode": "ALLOW_ANY", "egressProxy": {"host": "a"}}}, PROXY, "port must be non-nil"),
        ({"workloadSelector": {"labels": {"*": "b"}}, "egress": [{"hosts": ["./*"]}]}, "spec.workloadSelector.labels", "wildcard"),
    ],
)  # fmt: skip
def test_what_istiod_refuses(spec: Any, at: str, why: str) -> None:
    found = refusals(istio("Sidecar", spec))
    if not why:
        assert found == []
    else:
        assert found[0].path == at
        assert why in found[0].message


@pytest.mark.parametrize(
    ("hosts", "why"),
    [
        (["./a.b", "./a.b"], "duplicated egress host: ./a.b"),
        (["./*", "./a.b"], "duplicated egress host: ./a.b"),
        (["./a.b", "./*"], "duplicated egress host: ./*"),
        (["./a.b", "default/a.b"], "duplicated egress host: default/a.b"),
        (["*/*", "./a.b"], "no other hosts can be added"),
        (["*/*"], ""),
        (["./a.b", "shop/a.b"], ""),
    ],
)
def test_hosts_named_twice(hosts: list[str], why: str) -> None:
    found = [finding.message for finding in warnings(istio("Sidecar", {"egress": [{"hosts": hosts}]}))]
    assert len(found) == bool(why)
    assert all(why in message for message in found)


def test_a_selector_without_labels() -> None:
    found = warnings(istio("Sidecar", {"workloadSelector": {}, "egress": [{"hosts": ["./*"]}]}))
    assert ["will be applied to all services in namespace" in finding.message for finding in found] == [True]


def test_http_limits_for_tcp() -> None:
    listener = {"port": {"number": 1, "name": "tcp", "protocol": "TCP"}, "connectionPool": {"http": {"maxRetries": 1}}}
    found = warnings(istio("Sidecar", {"ingress": [listener]}))
    assert ["only TCP settings will apply" in finding.message for finding in found] == [True]
