from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chaos.cli import main

WARNING = """\
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {ports: [{name: web, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec: {hosts: [reviews], http: [{retries: {}, route: [{destination: {host: reviews}}]}]}
"""
ERROR = WARNING.replace("{host: reviews}", "{host: reveiws}")


def run(folder: Path, text: str, *options: str) -> Result:
    file = folder / "manifests.yaml"
    file.write_text(text)
    return CliRunner().invoke(main, ["lint", "-f", str(file), *options])


@pytest.mark.parametrize(
    ("text", "options", "code"),
    [
        (WARNING, [], 0),
        (ERROR, [], 1),
        (ERROR, ["-o", "json"], 1),
        (ERROR, ["--failure-threshold", "Never"], 0),
        (WARNING, ["--failure-threshold", "warning"], 1),
        (ERROR, ["--output-threshold", "Error", "--failure-threshold", "Error"], 1),
        ("{", [], 4),
        (WARNING, ["--mesh-config", "missing.yaml"], 4),
        (WARNING, ["--failure-threshold", "loud"], 4),
    ],
)
def test_exit_codes(tmp_path: Path, text: str, options: list[str], code: int) -> None:
    assert run(tmp_path, text, *options).exit_code == code


def test_text_is_one_line_per_finding_and_a_count(tmp_path: Path) -> None:
    result = run(tmp_path, ERROR)
    lines = result.stdout.splitlines()
    assert [line.split("[")[1].split("]")[0] for line in lines] == ["IST0118", "CHAOS0008", "IST0101"]
    assert lines[0].startswith(f"{tmp_path}/manifests.yaml:4: Info [IST0118] Service default/reviews: spec.ports[0]: ")
    assert result.stderr == "1 error, 1 warning, 1 info\n"


def test_json_is_a_list(tmp_path: Path) -> None:
    found = json.loads(run(tmp_path, ERROR, "-o", "json", "--output-threshold", "Warning").stdout)
    assert [(entry["code"], entry["level"], entry["line"]) for entry in found] == [
        ("CHAOS0008", "Warning", 9),
        ("IST0101", "Error", 9),
    ]


def test_nothing_found(tmp_path: Path) -> None:
    result = run(tmp_path, WARNING.replace("web", "http").replace("retries: {}, ", ""))
    assert (result.stdout, result.stderr, result.exit_code) == ("", "nothing found\n", 0)


def test_the_mesh_configuration_is_heard(tmp_path: Path) -> None:
    mesh = tmp_path / "mesh.yaml"
    mesh.write_text("defaultProviders: {accessLogging: [envoy]}")
    text = "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: a}\nspec: {accessLogging: [{}]}\n"
    assert "IST0157" in run(tmp_path, text).stdout
    assert "IST0157" not in run(tmp_path, text, "--mesh-config", str(mesh)).stdout
