"""`istio-chaos doctor`: the table, JSON, the exit code, and where the topology is looked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chaos.cli import main
from chaos.model.readiness import Finding, error, info
from chaos.run import doctor

SLOW = info("service/store.shop:7000", "carries TCP", means="no edge leads there", remedy="Name the port")
STOP = error("mesh/staging", "the stop switch is set", means="nothing is injected", remedy="Ask whoever set it")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    targets = "targets: {staging: {context: staging}}\nallow: {contexts: [staging]}\n"
    (tmp_path / "chaos.yaml").write_text(f"entry: {{service: web, namespace: shop, port: 8080}}\n{targets}")
    return tmp_path


def called(monkeypatch: pytest.MonkeyPatch, found: list[Finding], *arguments: str) -> tuple[Result, list[tuple[object, ...]]]:
    asked: list[tuple[object, ...]] = []

    def examine(*given: object) -> list[Finding]:
        asked.append(given)
        return found

    monkeypatch.setattr(doctor, "examine", examine)
    return CliRunner().invoke(main, ["doctor", *arguments]), asked


def test_a_mesh_that_is_fit_exits_with_0(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = called(monkeypatch, [])

    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "ready\n")


def test_information_is_shown_and_is_no_failure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = called(monkeypatch, [SLOW])

    assert (result.exit_code, result.stderr) == (0, "ready\n")
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["SEVERITY", "CHECK", "WHERE", "FINDING"],
        ["info", "service/store.shop:7000", "carries", "TCP"],
        ["means:", "no", "edge", "leads", "there"],
        ["to", "do:", "Name", "the", "port"],
    ]


def test_an_error_exits_with_7_in_json_as_well(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = called(monkeypatch, [STOP, SLOW], "-o", "json")

    assert result.exit_code == 7
    assert [entry["severity"] for entry in json.loads(result.stdout)] == ["error", "info"]
    assert set(json.loads(result.stdout)[0]) == {"check", "severity", "where", "what", "means", "remedy"}


def test_what_was_chosen_reaches_the_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = (
        "--mesh=cluster",
        "--context=staging",
        "-n",
        "shop",
        "--edge",
        "web -> store",
        "--kubeconfig",
        "k",
        "--probe",
        "/page",
    )
    _, ((kind, topology, choice, edges, path),) = called(monkeypatch, [], *options)

    assert (kind, path) == ("cluster", "/page")
    assert topology.file == folder / "chaos.yaml"  # type: ignore[attr-defined]
    assert (choice.context, choice.namespace, choice.kubeconfig) == ("staging", "shop", Path("k"))  # type: ignore[attr-defined]
    assert [str(edge) for edge in edges] == ["web -> store"]  # type: ignore[attr-defined]


def test_the_topology_of_the_folder_experiments_is_found_from_its_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "experiments").mkdir()
    (folder / "chaos.yaml").rename(folder / "experiments" / "chaos.yaml")
    _, ((_, topology, *_),) = called(monkeypatch, [])

    assert topology.file == folder / "experiments" / "chaos.yaml"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--topology", "no.yaml"], "no.yaml"),
        (["--edge", "web"], "web"),
        (["--mesh=moon"], "moon"),
        (["--mesh=cluster", "--context=elsewhere"], "context elsewhere is not allowed"),
    ],
)
def test_a_wrong_use_is_4(folder: Path, options: list[str], said: str) -> None:
    result = CliRunner().invoke(main, ["doctor", *options])

    assert result.exit_code == 4
    assert said in result.stderr


def test_without_a_topology_it_says_where_it_looked(folder: Path) -> None:
    (folder / "chaos.yaml").unlink()
    result = CliRunner().invoke(main, ["doctor"])

    assert result.exit_code == 4
    assert f"there is no chaos.yaml in {folder}" in result.stderr
