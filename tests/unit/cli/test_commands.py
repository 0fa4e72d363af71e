from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from chaos import cli, errors


def test_an_unknown_command_is_a_wrong_use() -> None:
    result = CliRunner().invoke(cli.main, ["no-such-command"])
    assert result.exit_code == 4
    assert "No such command" in result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigurationError("x"), 4),
        (errors.InvalidValue("x"), 4),
        (errors.MeshFailure("x"), 7),
        (errors.UndoFailed("x"), 16),
        (errors.Aborted("x"), 6),
        (errors.Violated("x"), 1),
    ],
)
def test_whose_fault_it_is_shows_in_the_exit_code(monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli._Commands, "get_command", lambda *_: click.Command("failing", callback=fail))
    result = CliRunner().invoke(cli.main, ["failing"])
    assert (result.exit_code, result.stderr) == (code, "Error: x\n")


def test_commands_are_imported_when_they_are_called() -> None:
    script = "import sys, chaos.cli; print([m for m in sys.modules if m.startswith('chaos.envoy') or m == 'yaml'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
