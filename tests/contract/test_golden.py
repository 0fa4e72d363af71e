"""Does our translation mean what Istio means? Every manifest of `tests/golden` against what istiod 1.29.6 pushed for it.

One test per case, in this process: the comparer that reads istiod's answers is the one that comes with them.
"""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from chaos.envoy.translation import translate
from chaos.istio import meshconfig
from chaos.istio.documents import Document, read
from chaos.istio.lint import lint
from chaos.istio.validate import refusals
from chaos.istio.world import World

GOLDEN = Path(__file__).parent.parent / "golden"
CASES = sorted(path.name for path in (GOLDEN / "cases").iterdir())


def _comparer() -> Any:
    spec = importlib.util.spec_from_file_location("golden_compare", GOLDEN / "compare.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


compare = _comparer()


@cache
def _documents(file: Path) -> tuple[Document, ...]:
    return tuple(read([file]))


class Library:
    """The two commands, without starting a process for each."""

    def __init__(self) -> None:
        self._worlds: dict[tuple[Path, ...], World] = {}

    def translate(self, files: list[Path], mesh_config: Path | None, proxy: str) -> dict[str, Any]:
        key = tuple(files)
        if key not in self._worlds:
            accepted = [d for file in files for d in _documents(file) if not refusals(d)]
            mesh = meshconfig.read(mesh_config) if mesh_config else None
            self._worlds[key] = World.of(accepted, mesh_config=mesh, api_defaults=False)
        configuration = translate(self._worlds[key], proxy).as_lists()
        printed: dict[str, Any] = json.loads(json.dumps(configuration))
        return printed

    def lint(self, files: list[Path]) -> list[dict[str, Any]]:
        return [finding.as_json() for finding in lint([d for file in files for d in _documents(file)])]


@pytest.mark.parametrize("case", CASES)
def test_means_what_istiod_means(case: str) -> None:
    results = compare.run_case(GOLDEN, case, Library())
    assert results
    assert [(check, verdict, detail) for check, verdict, detail in results if verdict != "exact"] == []
