from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chaos.envoy.proxyconfig import disabled, proxy_config, proxy_headers
from chaos.istio.world import World

MESH = {"concurrency": 2, "proxyHeaders": {"attemptCount": {"disabled": True}, "server": {"value": "mesh"}}}


def pod(annotation: str) -> str:
    return (
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  annotations:\n    proxy.istio.io/config: |\n"
        + "\n".join(f"      {line}" for line in annotation.splitlines())
        + "\nspec: {containers: [{name: app}]}"
    )


@pytest.mark.parametrize(
    ("annotation", "merged"),
    [
        ("", MESH),
        ("concurrency: 4", {**MESH, "concurrency": 4}),
        (
            "proxyHeaders:\n  server: {value: pod}",
            {**MESH, "proxyHeaders": {"attemptCount": {"disabled": True}, "server": {"value": "pod"}}},
        ),
        ("[not a mapping]", MESH),
        ("{broken", MESH),
    ],
)
def test_the_pod_s_annotation_is_merged_over_the_mesh(
    world_of: Callable[..., World], annotation: str, merged: dict[str, Any]
) -> None:
    world = world_of(pod(annotation), mesh={"defaultConfig": MESH})
    found = world.proxy("a.default").pod
    assert proxy_config(world, found) == merged
    assert disabled(proxy_headers(world, found), "attemptCount")
    assert not disabled(proxy_headers(world, found), "requestId")
