from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from chaos.cli import main

WORLD = """
apiVersion: v1
kind: Pod
metadata: {name: a, labels: {app: a}}
spec: {containers: [{name: app}]}
---
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {selector: {app: a}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec: {host: a, trafficPolicy: {tls: {mode: DISABLE}}}
"""
REFUSED = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bad}
spec: {hosts: [a], http: [{timeout: 5, route: [{destination: {host: a}}]}]}
"""


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    file = tmp_path / "world.yaml"
    file.write_text(WORLD)
    return file


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["translate", *map(str, arguments)])


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_prints_the_four_lists(manifests: Path, output: str) -> None:
    result = run("-f", manifests, "--proxy", "a.default", "-o", output)
    assert result.exit_code == 0
    found = json.loads(result.stdout) if output == "json" else yaml.safe_load(result.stdout)
    assert list(found) == ["listeners", "routes", "clusters", "endpoints"]
    assert found["routes"][0]["name"] == "80"
    assert "&id" not in result.stdout


def test_what_istiod_refuses_is_left_out_and_said(manifests: Path) -> None:
    manifests.write_text(WORLD + REFUSED)
    result = run("-f", manifests, "--proxy", "a.default")
    assert result.exit_code == 0
    assert "refused: " in result.stderr
    assert "VirtualService default/bad: spec.http[0].timeout" in result.stderr
    names = [route["name"] for v in json.loads(result.stdout)["routes"][0]["virtual_hosts"] for route in v["routes"]]
    assert names == ["default", "allow_any"]


def test_what_has_no_effect_is_said(manifests: Path) -> None:
    result = run("-f", manifests, "--proxy", "a.default")
    assert "no effect here: " in result.stderr
    assert f"{manifests}:15: DestinationRule default/a: spec.trafficPolicy.tls" in result.stderr


def test_a_port_that_only_an_api_server_would_serve_is_said(manifests: Path) -> None:
    named = "ports: [{name: http, port: 80, targetPort: api}]"
    text = WORLD.replace("{name: app}", "{name: app, ports: [{name: api, containerPort: 8080}]}")
    manifests.write_text(text.replace("ports: [{name: http, port: 80}]", named))
    result = run("-f", manifests, "--proxy", "a.default")
    assert "no inbound port: " in result.stderr
    assert 'names container port "api", which says no protocol' in result.stderr


def test_mesh_config_and_profile_count(manifests: Path, tmp_path: Path) -> None:
    mesh = tmp_path / "mesh.yaml"
    mesh.write_text("outboundTrafficPolicy: {mode: REGISTRY_ONLY}")
    result = run("-f", manifests, "--proxy", "a.default", "--mesh-config", mesh, "--profile", "1.26")
    service, catch_all = json.loads(result.stdout)["routes"][0]["virtual_hosts"]
    assert catch_all["name"] == "block_all"
    assert not any(domain.endswith(".") for domain in service["domains"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--proxy", "z.default"], 'no pod "z.default"'),
        ([], "Missing option '--proxy'"),
        (["--proxy", "a.default", "-f", "/no/such/file"], "no such file or folder"),
        (["--proxy", "a.default", "--profile", "1.5"], "'1.5' is not one of"),
        (["--proxy", "a.default", "--mesh-config", "/no/such/file"], "cannot be read as MeshConfig"),
        (["--proxy", "a.default", "-o", "xml"], "'xml' is not one of"),
    ],
)
def test_wrong_use_is_4_with_a_message(manifests: Path, arguments: list[str], message: str) -> None:
    result = run("-f", manifests, *arguments)
    assert result.exit_code == 4
    assert message in result.stderr
    assert result.stdout == ""


def test_broken_manifests_are_4_with_file_and_line(manifests: Path) -> None:
    manifests.write_text("kind: [")
    result = run("-f", manifests, "--proxy", "a.default")
    assert result.exit_code == 4
    assert f"{manifests}:2: not valid YAML" in result.stderr
