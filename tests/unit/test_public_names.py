"""What may experiments import from `chaos`? Exactly what is listed, and nothing is loaded before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import chaos


def test_the_list_is_sorted_and_complete() -> None:
    assert chaos.__all__ == sorted(chaos._HOMES) == sorted(set(dir(chaos)))
    assert all(getattr(chaos, name) is not None for name in chaos.__all__)


def test_every_name_is_what_it_says() -> None:
    renamed = {"Experiment": "ExperimentView", "Mesh": "MeshView"}

    assert {name: getattr(chaos, name).__name__ for name in chaos.__all__} == {
        name: renamed.get(name, name) for name in chaos.__all__
    }


def test_other_names_are_no_names() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'inject'"):
        chaos.inject  # noqa: B018


@pytest.mark.parametrize("needs", ["chaos.run.watchdog", "chaos.model.samples"])
def test_small_processes_stay_small(needs: str) -> None:
    """The watchdog and Locust's child are our children: what they import is paid for in every run."""
    big = ("chaos.envoy", "chaos.istio", "chaos.claims", "yaml")
    script = f"import {needs}, sys; print([m for m in sys.modules if m.startswith({big})])"
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )

    assert found.stdout == "[]\n"
