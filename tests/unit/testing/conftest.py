"""A fake shop: a front that calls a back with two replicas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from chaos.run import topology
from chaos.testing.behaviour import Behaviours
from chaos.testing.mesh import FakeMesh
from tests.acceptance.shop import MANIFESTS, TOPOLOGY

Shop = Callable[..., FakeMesh]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """`shop(behaviours, more)`: `more` are further manifests."""
    with ExitStack() as meshes:

        def shop(behaviours: Behaviours | None = None, more: str = "") -> FakeMesh:
            services = [
                MANIFESTS.replace("NAME", name).replace("REPLICAS", count) for name, count in (("front", "1"), ("back", "2"))
            ]
            (tmp_path / "shop.yaml").write_text("---\n".join([*services, *([more] if more else [])]))
            (tmp_path / "chaos.yaml").write_text(TOPOLOGY)
            return meshes.enter_context(closing(FakeMesh(topology.load(tmp_path / "chaos.yaml"), behaviours)))

        yield shop
