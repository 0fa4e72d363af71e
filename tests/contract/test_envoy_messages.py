"""Does what we think Envoy's messages are made of agree with the Envoy that is installed?"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from chaos.errors import MeshFailure
from chaos.mesh.local import binary
from tests.contract.envoy_messages import messages, written


@pytest.fixture
def envoy() -> Path:
    try:
        return binary.find({})
    except MeshFailure as missing:
        pytest.skip(str(missing))


def test_the_table_is_that_of_the_binary(envoy: Path) -> None:
    table = files("chaos.istio.validate").joinpath("envoy-messages.json").read_text(encoding="utf-8")
    assert table == written(messages(envoy)), (
        "run: python -m tests.contract.envoy_messages > chaos/istio/validate/envoy-messages.json"
    )
