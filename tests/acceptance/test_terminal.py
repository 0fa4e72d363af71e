"""How does a session look, on what kind of terminal?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.shop import HEAD, OPTIONS

TEST = """
def test_slow(faulted):
    expect(faulted(delay("2s"))).to_respond_within("500ms", at="p50")
"""
COMMAND = (sys.executable, "-m", "pytest", *OPTIONS)


def shown_on_a_terminal(folder: Path, *options: str) -> str:
    """What pytest writes when somebody sits in front of it."""
    ours, theirs = os.openpty()
    with subprocess.Popen([*COMMAND, *options], cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        written = b""
        try:
            while chunk := os.read(ours, 65536):
                written += chunk
        except OSError:  # the other side is closed
            pass
        process.wait(timeout=60)
    os.close(ours)
    return written.decode()


@pytest.fixture
def folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (project / "test_shop.py").write_text(HEAD + TEST)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "PY_COLORS", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    return project


def test_a_long_window_is_followed_and_leaves_nothing(folder: Path) -> None:
    written = shown_on_a_terminal(folder)
    before, progress, after = written.partition("5/5 s, 80 requests: window 2 of /")

    assert "test_shop.py " in before
    assert progress
    cleared = after.index("\x1b[K")
    assert after[:cleared].strip("\b") == ""
    assert "requests: window" not in after[cleared:]


@pytest.mark.parametrize("options", [["-s"], ["-q"]], ids=" ".join)
def test_it_is_not_followed_where_it_would_disturb(folder: Path, options: list[str]) -> None:
    assert "requests: window" not in shown_on_a_terminal(folder, *options)


def test_it_is_not_followed_into_a_file(folder: Path, pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess(*OPTIONS)

    result.stdout.no_fnmatch_line("*requests: window*")
    assert "\b" not in result.stdout.str()


@pytest.mark.parametrize(("options", "coloured"), [([], True), (["--color=no"], False)], ids=["terminal", "--color=no"])
def test_the_table_has_the_colours_of_everything_else(folder: Path, options: list[str], coloured: bool) -> None:
    written = shown_on_a_terminal(folder, *options)

    assert ("\x1b[31m✗ violated" in written) is coloured
    assert "✗ violated" in written


def test_a_terminal_without_our_signs_gets_ascii(folder: Path) -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    result = subprocess.run(COMMAND, cwd=folder, env=env, capture_output=True, check=False)
    table = result.stdout.partition(b"= resilience =")[2]

    assert b"x violated        test_slow" in table
    assert table.isascii()
    assert b"\\u" not in table


def test_who_wants_no_tracebacks_gets_the_table(folder: Path, pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess(*OPTIONS, "--tb=no", "--no-summary")

    result.stdout.fnmatch_lines(["*1 failed*"])
    result.stdout.no_fnmatch_line("*INCONCLUSIVE*")
