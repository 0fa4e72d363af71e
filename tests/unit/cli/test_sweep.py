"""`istio-chaos sweep` undoes what dead runs left, and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from chaos.cli import main
from chaos.run.journal import Journal
from chaos.run.run import Swept, sweep
from chaos.run.watchdog import orphans

NOBODY = 2**22 + 1
"""Above any pid of this machine."""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "istio-chaos").mkdir()
    return tmp_path / "istio-chaos"


def dead(state: Path) -> Path:
    journal = state / "0123456789ab-1.journal"
    entries = [{"run": "0123456789ab", "pid": NOBODY, "started": 1}, {"mesh": {"kind": "local", "name": "127.9.0.0/16"}}]
    journal.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return journal


def test_what_a_dead_run_left_is_taken_away(state: Path) -> None:
    journal = dead(state)
    result = CliRunner().invoke(main, ["sweep"])

    assert (result.exit_code, result.output) == (0, "run 0123456789ab on 127.9.0.0/16: ended 0 process groups\n")
    assert not journal.exists()


def test_runs_that_live_are_left_alone(state: Path) -> None:
    journal = Journal.opened(f"{os.getpid():012x}")
    result = CliRunner().invoke(main, ["sweep"])

    assert (result.exit_code, result.output) == (0, "nothing to sweep: no run that died has left a journal\n")
    assert journal.path.exists()
    journal.close(clean=True)


def test_a_watchdog_may_be_faster(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = dead(state)
    found = list(orphans())
    journal.unlink()
    monkeypatch.setattr("chaos.run.watchdog.orphans", lambda: iter(found))

    assert sweep() == Swept((), ())
