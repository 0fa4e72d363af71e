"""Are the claims' own tests tests? A few modules of the statistics in every run; all of claims and statistics by `make mutate`."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.mutation.survivors import ROOT, Known, Survivor, make, results

MODULES = ("blocks", "levels", "runs")


def test_no_change_to_these_modules_goes_unnoticed(tmp_path: Path) -> None:
    for name in ("chaos", "plugins", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "golden"))
    for name in ("pyproject.toml", "conftest.py"):
        shutil.copy2(ROOT / name, tmp_path / name)
    settings = (tmp_path / "pyproject.toml").read_text()
    for key, values in {
        "only_mutate": [f"chaos/stats/{module}.py" for module in MODULES],
        "pytest_add_cli_args_test_selection": [f"tests/unit/stats/test_{module}.py" for module in MODULES],
        "also_copy": ["plugins", "tests", "conftest.py"],
    }.items():
        settings = re.sub(rf"(?m)^{key} = .*$", f"{key} = {values}", settings)
    (tmp_path / "pyproject.toml").write_text(settings)

    make(tmp_path)
    counts, found = results(tmp_path)

    assert counts["killed"] > 30
    assert counts["untested"] == 0
    assert [each for each in found if not each.wording and each not in Known.read()] == []


@pytest.mark.parametrize(
    ("was", "becomes", "wording"),
    [
        ('raise InvalidValue("there is none")', 'raise InvalidValue("XXthere is noneXX")', True),
        ('f"{n} of {m} calls"', 'f"XX{n} of {m} callsXX"', True),
        ('f"{n} of {m} calls"', 'f"{n} OF {m} CALLS"', True),
        ('counted(n, "call")', "counted(n, None)", False),
        ("if n >= 59:", "if n > 59:", False),
        ('f"{n + 1} calls"', 'f"{n - 1} calls"', False),
    ],
)
def test_words_are_told_from_decisions(was: str, becomes: str, wording: bool) -> None:
    assert Survivor("chaos.stats.x", was, becomes).wording is wording
