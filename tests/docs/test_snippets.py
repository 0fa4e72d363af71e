"""Is everything else in a code block true? YAML is loaded as what it is, commands and their options exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

from chaos.cli import COMMANDS
from chaos.cli import main as istio_chaos
from chaos.istio.documents import read_text
from chaos.istio.findings import Level
from chaos.istio.lint import lint
from chaos.model.topology import Topology
from chaos.run import topology
from tests.docs.pages import ROOT, Snippet, named, prose, snippets, written_in

LANGUAGES = {"python", "yaml", "toml", "console", "text", ""}
"""`text` is output. Without a language: a sketch of code, or the message of a claim, which has a test of its own."""
SKETCHES = {"docs/adding-a-claim.md", "docs/reference/claims.md"}
FEW = 3
OF_OTHERS = {"pip", "jq", "ps", "grep", "kubectl", "docker"}
TOPOLOGY_KEYS = {field.name for field in fields(Topology)} - {"file"}
BASE = {"entry": {"service": "front", "namespace": "shop", "port": 8080}, "local": {"manifests": ["shop.yaml"]}}


def test_every_block_says_what_it_is() -> None:
    assert {s.language for s in snippets()} <= LANGUAGES
    assert {str(s.page.relative_to(ROOT)) for s in snippets() if not s.language} <= SKETCHES


def test_what_is_not_run_is_rare() -> None:
    assert len(named("not run")) <= FEW


# ---------------------------------------------------------------------------------------------------------------- yaml
@pytest.mark.parametrize("snippet", written_in("yaml"), ids=str)
def test_yaml_is_what_it_seems(snippet: Snippet, tmp_path: Path, runs: Callable[[str], None]) -> None:
    documents = list(yaml.safe_load_all(snippet.text))
    if documents[0].keys() <= TOPOLOGY_KEYS:
        _load({**BASE, **documents[0]}, tmp_path / "here")
    elif "apiVersion" in documents[0]:
        findings = lint(list(read_text(snippet.text, tmp_path)), mesh_config=None)
        assert [finding for finding in findings if finding.level is Level.ERROR] == []
    else:
        for command in _steps(documents[0]):
            runs(command)


def _load(raw: dict[str, Any], folder: Path) -> None:
    """As a file, with everything there that it names."""
    local = raw["local"]
    for named_path in [".", *local["manifests"], *(w.get("cwd", ".") for w in local.get("workloads", {}).values())]:
        (folder / named_path).mkdir(parents=True, exist_ok=True)
    (folder / "chaos.yaml").write_text(yaml.safe_dump(raw))
    topology.load(folder / "chaos.yaml")


def _steps(workflow: dict[str, Any]) -> Iterator[str]:
    """The commands of a CI job."""
    found = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert found
    yield from found


# ---------------------------------------------------------------------------------------------------------------- toml
@pytest.mark.parametrize("snippet", written_in("toml"), ids=str)
def test_settings_exist(snippet: Snippet, pytestconfig: pytest.Config) -> None:
    (settings,) = tomllib.loads(snippet.text)["tool"].values()

    for name in settings:
        pytestconfig.getini(name)  # raises for what no plugin knows


# ------------------------------------------------------------------------------------------------------------- console
@pytest.fixture
def runs() -> Callable[[str], None]:
    """Fails for a command that there is not."""

    def check(command: str) -> None:
        for part in _pipeline(command):
            program, *arguments = part
            match program.removeprefix(".venv/bin/"):
                case "make":
                    assert set(arguments) <= _targets()
                case "pytest":
                    assert {a.partition("=")[0] for a in arguments if a.startswith("--")} <= _options_of_pytest()
                case "istio-chaos":
                    _parse(arguments)
                case other:
                    assert other in OF_OTHERS

    return check


@pytest.mark.parametrize("snippet", written_in("console"), ids=str)
def test_commands_exist(snippet: Snippet, runs: Callable[[str], None]) -> None:
    lines = snippet.text.splitlines()
    assert all(line.startswith("$ ") for line in lines), "a console block has commands; output is a text block"

    for line in lines:
        runs(line.removeprefix("$ "))


@pytest.mark.parametrize("snippet", written_in("console"), ids=str)
def test_files_that_commands_name_are_there(snippet: Snippet) -> None:
    in_code = set(re.findall(r"`([^`\n]+)`", prose(snippet.page)))
    to_be_written = in_code | {s.argument for s in named("file") if s.page == snippet.page}
    words = [word for line in snippet.text.splitlines() for part in _pipeline(line[2:]) for word in part[1:]]
    missing = [w for w in words if re.fullmatch(r"[\w./-]+\.py|(experiments|examples)/[\w./-]*", w) and not (ROOT / w).exists()]

    assert set(missing) <= to_be_written


def _pipeline(line: str) -> list[list[str]]:
    words: list[list[str]] = [[]]
    for word in shlex.split(line, comments=True):
        if word == "|":
            words.append([])
        else:
            words[-1].append(word)
    return words


@cache
def _targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@cache
def _options_of_pytest() -> set[str]:
    shown = subprocess.run([sys.executable, "-m", "pytest", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(re.findall(r"--[a-z][a-z-]+", shown.stdout))


def _parse(arguments: list[str]) -> None:
    name, *rest = arguments
    command: click.Command = getattr(import_module(COMMANDS[name]), name)
    command.make_context(name, rest)


def test_commands_on_the_demo_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    commands = [part[1:] for s in written_in("console") for line in s.text.splitlines() for part in _pipeline(line[2:])]
    on_the_demo = [arguments for arguments in commands if "examples/bookinfo/manifests" in arguments]

    assert on_the_demo
    assert [CliRunner().invoke(istio_chaos, arguments).exit_code for arguments in on_the_demo] == [0] * len(on_the_demo)
