"""A mesh for a module of tests about real sidecars: its `CALLEES`, and the manifests of its `MORE`, if it has any."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.calling import Caller, calling


@pytest.fixture(scope="module")
def caller(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """Calls the services of the module's mesh through a sidecar of its own."""
    with calling(tmp_path_factory.mktemp("mesh"), request.module.CALLEES, getattr(request.module, "MORE", "")) as caller:
        yield caller
