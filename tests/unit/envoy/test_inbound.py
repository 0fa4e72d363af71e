from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chaos.envoy.translation import translate
from chaos.istio.world import World

WORLD = """
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: shop, labels: {app: cart}}
spec: {containers: [{name: app}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  selector: {app: cart}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: grpc, port: 90, targetPort: 9090}
  - {name: tcp, port: 91, targetPort: 9091}
  - {port: 92, targetPort: 9092}
"""
Chains = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def chains(world_of: Callable[..., World]) -> Chains:
    """`chains(text...)`: the chains of virtualInbound that are not catch-alls."""

    def build(*texts: str, profile: str = "1.29") -> list[dict[str, Any]]:
        listener = translate(world_of(WORLD, *texts, profile=profile), "cart.shop").listener("virtualInbound")
        assert listener is not None
        return [chain for chain in listener["filter_chains"] if not chain["name"].startswith("virtualInbound")]

    return build


def route(chain: dict[str, Any]) -> dict[str, Any]:
    (virtual_host,) = chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    found: dict[str, Any] = virtual_host["routes"][0]["route"]
    return found


def test_one_chain_per_port_and_two_for_a_sniffed_one(chains: Chains) -> None:
    found = chains()
    assert [chain["name"] for chain in found] == [
        "0.0.0.0_8080", "0.0.0.0_9090", "0.0.0.0_9091", "0.0.0.0_9092", "0.0.0.0_9092",
    ]  # fmt: skip
    http, grpc, tcp, sniffed_http, sniffed_tcp = (chain["filters"][0]["typed_config"] for chain in found)
    assert http["stat_prefix"] == "inbound_0.0.0.0_8080;"
    assert http["route_config"]["name"] == "inbound|8080||"
    assert http["route_config"]["virtual_hosts"][0]["name"] == "inbound|http|80"
    assert http["server_name"] == "istio-envoy"
    assert tcp["cluster"] == sniffed_tcp["cluster"].replace("9092", "9091") == "inbound|9091||"
    assert "route_config" in grpc and "route_config" in sniffed_http


def test_calls_have_no_timeout_and_only_http_is_retried(chains: Chains) -> None:
    http, grpc, *_ = chains()
    assert route(http)["timeout"] == "0s"
    assert route(http)["retry_policy"] == {"retry_on": "reset-before-request", "num_retries": 2}
    assert "retry_policy" not in route(grpc)
    assert "retry_policy" not in route(chains(profile="1.23")[0])


def sidecar(ingress: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: default, namespace: shop}}
spec: {{ingress: [{ingress}]}}
"""


def test_ingress_listeners_replace_those_of_the_services(chains: Chains, world_of: Callable[..., World]) -> None:
    ip = world_of(WORLD).proxy("cart.shop").ip
    found = chains(
        sidecar("{port: {number: 7000, protocol: HTTP, name: a}}, {port: {number: 6000, protocol: GRPC, name: b}, bind: 0.0.0.0}")
    )
    assert [chain["name"] for chain in found] == ["0.0.0.0_6000", f"{ip}_7000"]
    assert found[1]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"][0]["name"] == "inbound|http|7000"


def test_without_capture_the_proxy_listens_itself(world_of: Callable[..., World]) -> None:
    text = sidecar("{port: {number: 7000, protocol: HTTP, name: a}, bind: 127.0.0.9, captureMode: NONE}")
    configuration = translate(world_of(WORLD, text), "cart.shop")
    listener = configuration.listener("127.0.0.9_7000")
    assert listener is not None
    assert listener["address"]["socket_address"] == {"address": "127.0.0.9", "port_value": 7000}


def test_a_port_of_no_service_goes_through_but_never_to_the_proxy(world_of: Callable[..., World]) -> None:
    listener = translate(world_of(WORLD), "cart.shop").listener("virtualInbound")
    assert listener is not None
    blackhole, http, tcp = listener["filter_chains"][:3]
    assert (blackhole["name"], http["name"], tcp["name"]) == (
        "virtualInbound-blackhole", "virtualInbound-catchall-http", "virtualInbound",
    )  # fmt: skip
    assert blackhole["filter_chain_match"]["destination_port"] == 15006
    assert route(http)["cluster"] == "InboundPassthroughCluster"
