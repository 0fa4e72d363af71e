"""Worlds out of a few lines of YAML, for every test that asks what istiod would make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from chaos.istio.documents import read_text
from chaos.istio.world import World

settings.register_profile(
    "mutation", derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck), print_blob=False
)
"""`--hypothesis-profile=mutation`: the same examples every time, however slow mutmut makes them (`make mutate`)."""


@pytest.fixture
def world_of() -> Callable[..., World]:
    """`world_of(text, text, ..., mesh={...}, profile="1.29")`: the cluster that these manifests make."""

    def build(*texts: str, mesh: Mapping[str, Any] | None = None, profile: str = "1.29") -> World:
        documents = read_text("\n---\n".join(texts), Path("manifests.yaml"))
        return World.of(documents, mesh_config=mesh, profile=profile)

    return build
