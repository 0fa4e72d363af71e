"""Does Envoy take everything we may make, and mean the rules as they are written? Generated manifests, and those of `tests/golden`.

A hundred worlds in a run of seconds, always the same ones; `--hypothesis-profile=soak` draws new ones for minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaos.envoy.configuration import Configuration, Resource
from chaos.envoy.translation import translate
from chaos.istio.documents import read
from chaos.istio.validate import refusals
from chaos.istio.world import World
from tests.envoy_validation import refusal
from tests.generated import CLIENT, Manifest, Routing, documents, manifest, optional, routed, routings, service, workload, worlds

GOLDEN = Path(__file__).parents[1] / "golden"
SOAKING = settings.get_current_profile_name() == "soak"


def drawn(batches: int) -> settings:
    return settings(
        max_examples=batches * 50 if SOAKING else batches,
        derandomize=not SOAKING,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )


# ---------------------------------------------------------------------------------------------------------- Envoy takes it
@drawn(8)
@given(st.lists(worlds(), min_size=1, max_size=16))
def test_envoy_takes_whatever_istiod_would_take(tmp_path_factory: pytest.TempPathFactory, batch: list[list[Manifest]]) -> None:
    found = [World.of(documents(manifests)) for manifests in batch]

    assert [finding for world in found for document in world.documents for finding in refusals(document)] == []
    configurations = [translate(world, proxy) for world in found for proxy in (CLIENT, "alpha-v1.shop")]
    assert refusal(configurations, _folder(tmp_path_factory)) == ""


# What Envoy has against configurations that istiod pushes all the same.
REFUSED = {
    "accept-abort-status-600": "HttpStatus: value must be inside range [200, 600)",
    "fault-abort-600": "HttpStatus: value must be inside range [200, 600)",
    "ef-http-filter-positions": "router must be the last filter",
    "warn-envoyfilter-unknown-field": 'field: "error_type", reason: is required',
}


def test_envoy_takes_every_golden_configuration(tmp_path: Path) -> None:
    configurations = [c for case in _cases() if case not in REFUSED for c in _golden(case)]

    assert len(configurations) > 100
    assert refusal(configurations, tmp_path) == ""


@pytest.mark.parametrize(("case", "reason"), REFUSED.items())
def test_envoy_refuses_some_of_what_istiod_pushes(tmp_path: Path, case: str, reason: str) -> None:
    assert reason in refusal(list(_golden(case)), tmp_path)


def _cases() -> list[str]:
    return sorted(path.name for path in (GOLDEN / "cases").iterdir())


def _golden(name: str) -> Iterator[Configuration]:
    """For every proxy of a case (a case without any is about validation alone)."""
    folder = GOLDEN / "cases" / name
    case: dict[str, Any] = yaml.safe_load((folder / "case.yaml").read_text())
    if case.get("proxies"):
        files = [*(GOLDEN / "base" / f"{base}.yaml" for base in case.get("base", ["bookinfo"])), folder / "manifests.yaml"]
        accepted = [document for file in files for document in _documents(file) if not refusals(document)]
        world = World.of(accepted, mesh_config=case.get("mesh"), api_defaults=False)
        for proxy in case["proxies"]:
            yield translate(world, next(pod.id for pod in world.pods if proxy in (pod.id, pod.workload)))


@cache
def _documents(file: Path) -> Sequence[Any]:
    return tuple(read([file]))


# -------------------------------------------------------------------------------------------------- and means it so
