"""What changed between releases of Istio: each switch of the version profile, on the last release without it and the first with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaos.envoy.configuration import Configuration
from chaos.envoy.protocols import KEY
from chaos.envoy.translation import translate
from chaos.istio.documents import read_text
from chaos.istio.validate import refusals
from chaos.istio.world import World

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {containers: [{name: app, ports: [{name: main, containerPort: 8080, protocol: TCP}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {selector: {app: api}, ports: [{name: grpc, port: 90}, {name: http, port: 80}]}
"""
HOST = "api.default.svc.cluster.local"
Release = Callable[..., Configuration]


def rule(policy: dict[str, Any]) -> str:
    spec = {"host": "api", "trafficPolicy": policy}
    return json.dumps(
        {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "api"}, "spec": spec}
    )


@pytest.fixture
def release(world_of: Callable[..., World]) -> Release:
    def build(minor: int, *texts: str, mesh: dict[str, Any] | None = None) -> Configuration:
        return translate(world_of(PODS, *texts, mesh=mesh, profile=f"1.{minor}"), "web.default")

    return build


def cluster(configuration: Configuration, port: int = 80) -> dict[str, Any]:
    found = configuration.cluster(f"outbound|{port}||{HOST}")
    assert found is not None
    return found


def limits(found: dict[str, Any] | None) -> dict[str, Any]:
    assert found is not None
    thresholds: dict[str, Any] = found["circuit_breakers"]["thresholds"][0]
    return thresholds


def http_options(configuration: Configuration, port: int) -> dict[str, Any]:
    options: dict[str, Any] = cluster(configuration, port).get("typed_extension_protocol_options", {}).get(KEY, {})
    return options


def inbound_retries(configuration: Configuration) -> dict[str, Any] | None:
    listener = configuration.listener("virtualInbound")
    assert listener is not None
    chain = next(chain for chain in listener["filter_chains"] if chain["name"] == "0.0.0.0_8080")
    (virtual_host,) = chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    found: dict[str, Any] | None = virtual_host["routes"][0]["route"].get("retry_policy")
    return found


@pytest.mark.parametrize("minor", [26, 27])
def test_retry_budgets_came_with_1_27(release: Release, minor: int) -> None:
    found = limits(cluster(release(minor, rule({"retryBudget": {"percent": 10}}))))
    assert ("retry_budget" in found) is (minor >= 27)


@pytest.mark.parametrize("minor", [30, 31])
def test_pings_came_with_1_31_on_http2_alone(release: Release, minor: int) -> None:
    found = release(minor, rule({"connectionPool": {"http": {"http2KeepAlive": {"interval": "10s", "timeout": "1500ms"}}}}))
    pings = {"connection_keepalive": {"interval": "10s", "timeout": "1.5s"}} if minor >= 31 else {}
    assert http_options(found, 90)["explicit_http_config"] == {"http2_protocol_options": pings}
    assert http_options(found, 80) == {}


@pytest.mark.parametrize("minor", [30, 31])
def test_other_errors_than_5xx_came_with_1_31(release: Release, minor: int) -> None:
    found = release(minor, rule({"outlierDetection": {"outlierDetectionHttpErrorCodes": [429, 503]}}))
    matcher = http_options(found, 80).get("outlier_detection", {}).get("error_matcher")
    if minor < 31:
        assert matcher is None
    else:
        codes = [r["http_response_headers_match"]["headers"][0]["string_match"]["exact"] for r in matcher["or_match"]["rules"]]
        assert codes == ["429", "503"]


def test_one_error_code_needs_no_alternatives(release: Release) -> None:
    found = release(31, rule({"outlierDetection": {"outlierDetectionHttpErrorCodes": [429]}}))
    assert http_options(found, 80)["outlier_detection"]["error_matcher"].keys() == {"http_response_headers_match"}


MESH_DEFAULTS = {"defaultTrafficPolicy": {"connectionPool": {"tcp": {"maxConnections": 7}}, "outlierDetection": {}}}


@pytest.mark.parametrize("minor", [30, 31])
def test_defaults_of_the_mesh_came_with_1_31(release: Release, minor: int) -> None:
    found = release(minor, mesh=MESH_DEFAULTS)
    everywhere = [cluster(found), found.cluster("inbound|8080||"), found.cluster("PassthroughCluster")]
    assert {limits(one)["max_connections"] for one in everywhere} == ({7} if minor >= 31 else {4294967295})
    assert ("outlier_detection" in cluster(found)) is (minor >= 31)


def test_a_rule_replaces_the_mesh_s_default_block_by_block(release: Release) -> None:
    found = cluster(release(31, rule({"connectionPool": {"http": {"maxRetries": 1}}}), mesh=MESH_DEFAULTS))
    assert (limits(found)["max_connections"], limits(found)["max_retries"]) == (4294967295, 1)
    assert "outlier_detection" in found


@pytest.mark.parametrize(
    ("minor", "written", "retries"),
    [
        (31, {"attempts": 0}, {"retry_on": "reset-before-request", "num_retries": 2}),
        (32, None, {"retry_on": "reset-before-request", "num_retries": 2}),
        (32, {"attempts": 0}, None),
        (
            32,
            {"attempts": 1, "retryOn": "reset,503", "perTryTimeout": "1s", "backoff": "20ms"},
            {
                "retry_on": "reset,retriable-status-codes",
                "num_retries": 1,
                "retriable_status_codes": [503],
                "per_try_timeout": "1s",
                "retry_back_off": {"base_interval": "0.02s"},
            },
        ),
    ],
)
def test_retries_at_the_callee_may_be_set_since_1_32(release: Release, minor: int, written: Any, retries: Any) -> None:
    assert inbound_retries(release(minor, mesh={"defaultInboundHttpRetryPolicy": written})) == retries


REPLACING = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: ef, namespace: default}
spec:
  configPatches:
  - applyTo: VIRTUAL_HOST
    match: {routeConfiguration: {vhost: {name: "api.default.svc.cluster.local:80"}}}
    patch: {operation: MERGE_AND_REPLACE_LIST, value: {domains: [only.this]}}
"""


def test_replacing_lists_came_with_1_31(release: Release) -> None:
    (document,) = read_text(REPLACING, Path("ef.yaml"))
    assert "MERGE_AND_REPLACE_LIST" in refusals(document, minor=30)[0].message
    assert refusals(document, minor=31) == []
    routes = release(31, REPLACING).route("80")
    assert routes is not None
    assert [v["domains"] for v in routes["virtual_hosts"] if v["name"] == f"{HOST}:80"] == [["only.this"]]
