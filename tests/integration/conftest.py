"""A mesh for a module of tests about real sidecars: its `CALLEES`, and if it has them, the manifests `MORE` and a `PROGRAM`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.calling import Caller

settings.register_profile("soak")
"""`--hypothesis-profile=soak`: tests that know it take minutes (`make soak`)."""


@pytest.fixture(scope="module")
def caller(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """Calls the services of the module's mesh through a sidecar of its own."""
    from tests.calling import PROGRAM, calling

    module = request.module
    more, program = getattr(module, "MORE", ""), getattr(module, "PROGRAM", PROGRAM)
    with calling(tmp_path_factory.mktemp("mesh"), module.CALLEES, more, program) as caller:
        yield caller
