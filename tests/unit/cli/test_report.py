"""`istio-chaos report` tells a run again from its events."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from chaos.cli import main
from chaos.model.events import ExperimentFinished, ExperimentStarted
from chaos.report.stream import EventFile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tell = EventFile(tmp_path, "main")
    for name, outcome in (("test_shop.py::test_good", "held"), ("test_shop.py::test_bad", "violated")):
        tell(ExperimentStarted(experiment=name))
        tell(ExperimentFinished(experiment=name, outcome=outcome, seconds=1.5, message="too slow" if outcome == "violated" else ""))
    return tmp_path


@pytest.mark.parametrize("options", [[], ["--plain"]], ids=["signs", "plain"])
def test_the_table_and_the_report_are_made_again(folder: Path, options: list[str]) -> None:
    result = CliRunner().invoke(main, ["report", str(folder), *options])
    lines = [line.split() for line in result.output.splitlines()]

    assert result.exit_code == 0
    assert (["+" if options else "✓", "held", "test_good", "1.5", "s"]) in lines
    assert ["violated:", "test_bad"] in lines
    assert ["too", "slow"] in lines
    assert json.loads((folder / "report.json").read_text())["outcomes"] == {"held": 1, "violated": 1}


def test_a_folder_without_a_run_is_a_wrong_use(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["report", str(tmp_path)])

    assert result.exit_code == 4
    assert "no events of a run" in result.output
