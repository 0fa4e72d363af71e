from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from chaos.cli.status import status
from chaos.run.journal import Journal


@pytest.fixture(autouse=True)
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Journal.opened("0123456789ab")


def test_a_run_that_lives_is_shown_with_what_it_has(journal: Journal) -> None:
    journal.mesh("cluster", "staging-eu")
    journal.writing([("shop", "one"), ("shop", "two")])
    journal.leasing("shop", "istio-chaos.store")

    shown = CliRunner().invoke(status)

    assert shown.exit_code == 0
    assert shown.output.splitlines()[1].split()[0] == "0123456789ab"
    assert shown.output.splitlines()[1].split()[2:] == ["alive", "cluster", "staging-eu", "0", "2", "1"]


def test_proxies_that_hold_faults_off_are_named(journal: Journal) -> None:
    journal.silencing(
        [("shop", "web-1", "istio-chaos.x.1.max_active_faults"), ("shop", "web-1", "istio-chaos.x.2.max_active_faults")]
    )

    text, as_json = CliRunner().invoke(status), CliRunner().invoke(status, ["-o", "json"])

    assert "run 0123456789ab: its faults are switched off by the runtime of shop/web-1\n" in text.output
    assert json.loads(as_json.output)["runs"][0]["silenced"] == ["shop/web-1"]


def test_without_a_run_it_says_so(journal: Journal) -> None:
    journal.close(clean=True)

    assert CliRunner().invoke(status).output == "no run on this machine\n"
