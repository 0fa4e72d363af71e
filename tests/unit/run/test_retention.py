import os
from pathlib import Path

import pytest

from chaos.run import retention, state


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for age, name in enumerate(["newest", "older", "oldest", "unreported"]):
        raw = tmp_path / "runs" / name / "main"
        raw.mkdir(parents=True)
        (raw / "access.log").touch()
        if name != "unreported":
            (raw.parent / "report.json").touch()
        os.utime(raw.parent, (1000 - age, 1000 - age))
    return tmp_path / "runs"


def left(runs: Path) -> set[str]:
    return {folder.parent.name for folder in runs.glob("*/main")}


def test_reports_stay_and_raw_files_of_old_runs_go(runs: Path) -> None:
    gone = retention.prune(runs, keep=1)

    assert {folder.parent.name for folder in gone} == {"older", "oldest"}
    assert left(runs) == {"newest", "unreported"}  # of what has no report the raw files are all there is
    assert len(list(runs.glob("*/report.json"))) == 3


def test_a_run_that_has_something_to_undo_keeps_everything(runs: Path) -> None:
    (state.folder() / "oldest-17.journal").touch()

    retention.prune(runs, keep=1)

    assert left(runs) == {"newest", "oldest", "unreported"}


def test_a_folder_that_is_not_there_has_nothing_to_prune(tmp_path: Path) -> None:
    assert retention.prune(tmp_path / "nowhere") == []


def test_plans_have_nothing_raw_and_take_no_run_s_place(runs: Path) -> None:
    for name in ("plan-1", "plan-2"):
        (runs / name).mkdir()
        (runs / name / "report.json").touch()

    retention.prune(runs, keep=2)

    assert left(runs) == {"newest", "older", "unreported"}
