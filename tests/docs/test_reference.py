"""Is the reference complete? Every option, key, event, outcome, error and command of the code has its place there."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from importlib import import_module

import click
import pytest
from pytest_chaos import options, outcomes, session

import chaos
from chaos import errors
from chaos.cli import COMMANDS
from chaos.injection.private_path import FAILURE_FLAGS
from chaos.istio import advice
from chaos.mesh.local.addresses import MOST_INSTANCES, MOST_SERVICES
from chaos.model import topology
from chaos.model.events import Event
from chaos.model.window import EdgeWindow, Window
from chaos.report.json_report import SCHEMA
from chaos.report.story import INTERRUPTED
from chaos.run.view import ExperimentView, Inject, Load, MeshView
from chaos.run.watch import EVERY
from chaos.stats.proof import attempts_needed
from tests.docs.pages import ROOT

REFERENCE = ROOT / "docs" / "reference"
FOR_CLAIMS = {
    "watch",
    "watched",
    "enough",
    "close",
    "closed",
    "evidence",
    "ledger",
    "name",
    "side",
    "when_closed",
    "within",
    "window",
    "edge",
}
"""What windows have for claims and for the run; tests read the rest."""


def page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def code(text: str) -> set[str]:
    """Every word that stands in code, `like this`, outside of blocks."""
    inline = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    return {word for part in inline for word in re.findall(r"[\w.-]+", part)}


def public(*classes: type) -> set[str]:
    return {name for cls in classes for name in vars(cls) if not name.startswith("_")}


class Options:
    """What `options.add` registers."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def getgroup(self, *_: str) -> Options:
        return self

    def addoption(self, name: str, **_: object) -> None:
        self.names.add(name)

    def addini(self, name: str, *_: str) -> None:
        self.names.add(name)


def test_options() -> None:
    registered = Options()
    options.add(registered)

    assert len(registered.names) > 4
    assert {n for n in registered.names if f"`{n}`" not in page("options.md") and f"`{n}=" not in page("options.md")} == set()


def test_keys_of_the_topology() -> None:
    kinds = (topology.Topology, topology.Entry, topology.Local, topology.LocalWorkload, topology.Target, topology.Allow)
    keys = {field.name for kind in kinds for field in dataclasses.fields(kind)} - {"file"}

    assert keys - code(page("chaos-yaml.md")) == set()


def test_public_names_and_arguments() -> None:
    arguments = {name for kind in (Inject, Load) for name in inspect.signature(kind.__call__).parameters} - {"self"}
    numbers = public(Window, EdgeWindow) - FOR_CLAIMS
    described = code(page("api.md"))

    assert set(chaos.__all__) - described == set()
    assert arguments - described == set()
    assert numbers - described == set()
    assert public(MeshView, ExperimentView) - described == set()


def test_events() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .*? \| ([^|]+) \|$", page("events.md"), re.MULTILINE)
    told = {name: set(re.findall(r"`(\w+)`", fields)) for name, fields in rows}

    assert told == {cls.__name__: {f.name for f in dataclasses.fields(cls)} - {"at"} for cls in Event.__subclasses__()}


def test_keys_of_the_report() -> None:
    schema = json.loads(SCHEMA.read_text())
    keys = {key for part in (schema, schema["properties"]["run"], *schema["$defs"].values()) for key in part["properties"]}

    assert keys - code(page("report-json.md")) == set()


def test_outcomes_errors_and_exit_codes() -> None:
    text = page("outcomes.md")
    constants = {value for name, value in vars(outcomes).items() if re.fullmatch("[A-Z][A-Z_]+", name)}
    names = {value for value in constants if isinstance(value, str) and not value.startswith("_")}
    kinds = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}

    assert {name for name in {*names, INTERRUPTED} if f"| `{name}` |" not in text} == set()
    assert kinds - code(text) == set()
    assert f"| {session.UNDO_FAILED} |" in text
    assert f"| {session.TERMINATED} |" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_and_their_options(name: str) -> None:
    found = re.search(rf"^## `istio-chaos {name}`\n(.*?)(?=^## |\Z)", page("command-line.md"), re.MULTILINE | re.DOTALL)
    command: click.Command = getattr(import_module(COMMANDS[name]), name)

    assert found
    section = code(found[1])
    assert {option for parameter in command.params for option in parameter.opts if option.startswith("--")} - section == set()


def test_findings() -> None:
    assert set(re.findall(r"CHAOS\d{4}", page("command-line.md"))) == set(re.findall(r"CHAOS\d{4}", advice.__doc__ or ""))


def test_figures_are_those_of_the_code() -> None:
    limits = (ROOT / "docs" / "known-limits.md").read_text(encoding="utf-8")
    decision = (ROOT / "docs" / "decisions" / "003-connection-failures-as-a-header.md").read_text(encoding="utf-8")

    assert f"{MOST_INSTANCES} instances and {MOST_SERVICES} services" in limits
    assert f"{attempts_needed(0.5)} at 50 %, {attempts_needed(0.1)} at 10 %, {attempts_needed(0.01)} at 1 %" in limits
    assert EVERY == 1, "looks every second, say api.md and decision 001"
    assert all(f"({', '.join(flags)})" in decision for flags in FAILURE_FLAGS.values())


def test_the_excerpt_of_the_readme_shows_experiments_there_are() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- excerpt: make experiments -->\n```text\n(.*?)```\n<!-- /excerpt -->", text, re.DOTALL)
    defined = set(re.findall(r"def (test_\w+)", "".join(file.read_text() for file in (ROOT / "experiments").glob("test_*.py"))))

    assert found
    shown = set(re.findall(r"\btest_\w+\b(?!…)", found[1]))
    assert shown
    assert shown <= defined
