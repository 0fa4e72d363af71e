"""A mesh for a module of tests about real sidecars: its `CALLEES`, and if it has them, the manifests `MORE` and a `PROGRAM`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.calling import PROGRAM, Caller, calling


@pytest.fixture(scope="module")
def caller(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """Calls the services of the module's mesh through a sidecar of its own."""
    module = request.module
    more, program = getattr(module, "MORE", ""), getattr(module, "PROGRAM", PROGRAM)
    with calling(tmp_path_factory.mktemp("mesh"), module.CALLEES, more, program) as caller:
        yield caller
