from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chaos.envoy.httpfilters import Side, connection_manager, http_filters, without_istio_extensions
from chaos.istio.services import Protocol
from chaos.istio.world import World

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web, annotations: {proxy.istio.io/config: '%s'}}
spec: {containers: [{name: app}]}
"""


def names(filters: list[dict[str, Any]]) -> list[str]:
    return [each["name"].removeprefix("envoy.filters.http.") for each in filters]


@pytest.mark.parametrize(
    ("side", "protocol", "expected"),
    [
        (
            Side.OUTBOUND,
            Protocol.HTTP,
            ["istio.metadata_exchange", "grpc_stats", "istio.alpn", "fault", "cors", "istio.stats", "router"],
        ),
        (Side.INBOUND, Protocol.HTTP, ["istio.metadata_exchange", "grpc_stats", "fault", "cors", "istio.stats", "router"]),
        (
            Side.INBOUND,
            Protocol.GRPC_WEB,
            ["istio.metadata_exchange", "grpc_web", "grpc_stats", "fault", "cors", "istio.stats", "router"],
        ),
    ],
)
def test_the_order_of_filters(side: Side, protocol: Protocol, expected: list[str]) -> None:
    assert names(http_filters(side, protocol)) == expected


def config(world: World, side: Side) -> dict[str, Any]:
    made = connection_manager(world, world.proxy("web.default"), side, prefix="p", routes="80")
    found: dict[str, Any] = made["typed_config"]
    return found


@pytest.mark.parametrize(
    ("mesh", "annotation", "side", "server"),
    [
        ({}, "", Side.OUTBOUND, None),
        ({}, "", Side.INBOUND, "istio-envoy"),
        ({"server": {"value": "mine"}}, "", Side.OUTBOUND, "mine"),
        ({"server": {"disabled": True}}, "", Side.INBOUND, None),
        ({"server": {"value": "mine"}}, "proxyHeaders: {server: {value: pod}}", Side.GATEWAY, "pod"),
        ({}, "not: [valid", Side.GATEWAY, "istio-envoy"),
    ],
)
def test_how_a_proxy_calls_itself(
    world_of: Callable[..., World], mesh: dict[str, Any], annotation: str, side: Side, server: str | None
) -> None:
    world = world_of(POD % annotation, mesh={"defaultConfig": {"proxyHeaders": mesh}})
    assert config(world, side).get("server_name") == server


def test_debug_headers_and_request_ids_can_be_switched_off(world_of: Callable[..., World]) -> None:
    headers = {"envoyDebugHeaders": {"disabled": True}, "requestId": {"disabled": True}}
    found = config(world_of(POD % "", mesh={"defaultConfig": {"proxyHeaders": headers}}), Side.OUTBOUND)
    assert found["http_filters"][-1]["typed_config"]["suppress_envoy_headers"] is True
    assert found["generate_request_id"] is False


@pytest.mark.parametrize(
    ("normalization", "normalized", "action"),
    [
        ("DEFAULT", True, "KEEP_UNCHANGED"),
        ("NONE", False, "KEEP_UNCHANGED"),
        ("MERGE_SLASHES", True, "KEEP_UNCHANGED"),
        ("DECODE_AND_MERGE_SLASHES", True, "UNESCAPE_AND_FORWARD"),
    ],
)
def test_paths_are_normalized_as_the_mesh_says(
    world_of: Callable[..., World], normalization: str, normalized: bool, action: str
) -> None:
    found = config(world_of(POD % "", mesh={"pathNormalization": {"normalization": normalization}}), Side.OUTBOUND)
    assert (found["normalize_path"], found["path_with_escaped_slashes_action"]) == (normalized, action)
    assert ("merge_slashes" in found) is ("MERGE" in normalization)


def test_a_plain_envoy_gets_no_extensions_of_istio(world_of: Callable[..., World]) -> None:
    world = world_of(POD % "")
    manager = connection_manager(world, world.proxy("web.default"), Side.OUTBOUND, prefix="p", routes="80")
    other = {"name": "istio.stats"}
    listener = {"name": "l", "filter_chains": [{"filters": [other, manager]}], "default_filter_chain": {"filters": [other]}}
    plain = without_istio_extensions(listener)
    (kept,) = plain["filter_chains"][0]["filters"]
    assert names(kept["typed_config"]["http_filters"]) == ["grpc_stats", "fault", "cors", "router"]
    assert plain["default_filter_chain"]["filters"] == []
    assert len(listener["filter_chains"][0]["filters"]) == 2
