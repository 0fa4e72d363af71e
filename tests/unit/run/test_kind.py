"""What are the tools asked for, in which order? Small programs stand in for them on PATH and write down what they were called with."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from chaos.cli import main
from chaos.errors import ConfigurationError, MeshFailure
from chaos.model.topology import Allow, Choice, Entry, Topology
from chaos.run import kind, meshes
from chaos.run.run import RunOptions
from tests.docs.pages import ROOT

TOOL = """\
#!{python} -S
import json, os, sys
here = os.path.dirname(os.path.abspath(__file__))
name = os.path.basename(sys.argv[0])
with open(os.path.join(here, "calls"), "a") as calls:
    calls.write(json.dumps([name, *sys.argv[1:]]) + "\\n")
answers = json.load(open(os.path.join(here, "answers.json")))
for said, (status, out, err) in answers.items():
    if " ".join([name, *sys.argv[1:]]).startswith(said):
        sys.stdout.write(out); sys.stderr.write(err); sys.exit(status)
"""
CONTEXT = "kind-istio-chaos"
KUBECTL = ["kubectl", "--context", CONTEXT]


class Tools:
    """On PATH, and nothing else is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: dict[str, tuple[int, str, str]] = {"istioctl version": (0, "client version: 1.29.6\n", "")}

    def have(self, *names: str) -> None:
        for name in names:
            file = self.folder / name
            file.write_text(TOOL.format(python=sys.executable))
            file.chmod(0o755)

    def answer(self, start: str, *, status: int = 0, out: str = "", err: str = "") -> None:
        self.answers[start] = (status, out, err)
        (self.folder / "answers.json").write_text(json.dumps(self.answers))

    @property
    def calls(self) -> list[list[str]]:
        file = self.folder / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    found = Tools(folder)
    found.have("docker", "kind", "kubectl", "istioctl")
    found.answer("kind get clusters", out="")
    return found


def quiet(_: str) -> None:
    pass


def test_a_new_cluster_gets_istio_the_demo_and_what_is_ours_in_this_order(tools: Tools) -> None:
    told: list[str] = []
    kind.up(told.append)

    assert tools.calls == [
        ["kind", "get", "clusters"],
        ["kind", "create", "cluster", "--name", "istio-chaos", "--image", kind.NODE_IMAGE, "--wait", "120s"],
        ["istioctl", "version", "--remote=false", "--short"],
        ["istioctl", "--context", CONTEXT, "install", "--skip-confirmation", "--set", "profile=minimal"],
        ["docker", "build", "--file", str(ROOT / "deploy/Dockerfile"), "--tag", "istio-chaos:dev", str(ROOT)],
        ["kind", "load", "docker-image", "istio-chaos:dev", "--name", "istio-chaos"],
        [*KUBECTL, "apply", "--filename", str(ROOT / "examples/bookinfo/manifests")],
        [*KUBECTL, "apply", "--kustomize", str(ROOT / "deploy/overlays/kind")],
        [*KUBECTL, "--namespace", "bookinfo", "wait", "--for=condition=Available", "deployment", "--all", "--timeout=600s"],
        [*KUBECTL, "--namespace", "istio-chaos", "wait", "--for=condition=Available", "deployment", "--all", "--timeout=600s"],
    ]
    assert told[0] == "$ kind get clusters"
    assert told[-1] == f"ready: context {CONTEXT}, namespace bookinfo"


def test_a_cluster_that_is_there_is_taken(tools: Tools) -> None:
    tools.answer("kind get clusters", out="other\nistio-chaos\n")
    kind.up(quiet)

    assert tools.calls[1] == ["kind", "export", "kubeconfig", "--name", "istio-chaos"]
    assert not [call for call in tools.calls if call[:2] == ["kind", "create"]]
    assert len(tools.calls) == 10


def test_helm_installs_istio_where_there_is_no_istioctl(tools: Tools) -> None:
    (tools.folder / "istioctl").unlink()
    tools.have("helm")
    tools.answer("helm repo list", out="- name: istio\n")
    kind.up(quiet)

    releases = [call for call in tools.calls if call[0] == "helm" and "upgrade" in call]
    assert [call[5:7] for call in releases] == [["istio-base", "istio/base"], ["istiod", "istio/istiod"]]
    assert all(call[call.index("--version") + 1] == kind.ISTIO for call in releases)


def test_helm_without_the_charts_says_what_to_do(tools: Tools) -> None:
    (tools.folder / "istioctl").unlink()
    tools.have("helm")
    tools.answer("helm repo list", status=1, err="Error: no repositories to show")

    with pytest.raises(MeshFailure, match="helm has no repository istio: .*helm repo add istio"):
        kind.up(quiet)


def test_an_istio_that_is_not_tested_here_is_refused(tools: Tools) -> None:
    tools.answer("istioctl version", out="client version: 1.20.1\n")

    with pytest.raises(MeshFailure, match=f"istioctl installs Istio 1.20.1, and {kind.ISTIO} is what is tested here"):
        kind.up(quiet)
    assert not [call for call in tools.calls if "install" in call]


def test_every_tool_that_is_missing_is_named_with_a_hint_and_nothing_is_called(tools: Tools) -> None:
    for name in ("docker", "kind", "istioctl"):
        (tools.folder / name).unlink()

    with pytest.raises(MeshFailure) as refused:
        kind.up(quiet)
    assert all(f"{name} ({kind.HINTS[name]})" in str(refused.value) for name in ("docker", "kind", "istioctl"))
    assert "kubectl (" not in str(refused.value)
    assert tools.calls == []


def test_what_a_tool_says_when_it_fails_is_the_message_and_ends_it(tools: Tools) -> None:
    tools.answer("kind create", status=1, err="ERROR: failed to create cluster:\n  no space left on device\n")

    with pytest.raises(MeshFailure, match="kind create cluster --name failed with 1: ERROR: .* no space left on device"):
        kind.up(quiet)
    assert tools.calls[-1][:2] == ["kind", "create"]


def test_outside_of_a_checkout_it_says_so(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.__path__", [str(tmp_path / "site-packages" / "chaos")])
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigurationError, match="call it in the checkout's folder"):
        kind.check()
    monkeypatch.chdir(ROOT)
    assert kind.check().root == ROOT


def test_the_commands(tools: Tools) -> None:
    made = CliRunner().invoke(main, ["up", "--kind"])
    absent = CliRunner().invoke(main, ["down"])
    tools.answer("kind get clusters", out="istio-chaos\n")
    removed = CliRunner().invoke(main, ["down"])
    tools.answer("kind delete", status=1, err="it is in use")
    failed = CliRunner().invoke(main, ["down"])

    assert (made.exit_code, made.stdout) == (0, f"{CONTEXT}\n")
    assert (absent.exit_code, absent.stdout) == (0, "nothing to remove: there is no kind cluster istio-chaos\n")
    assert (removed.exit_code, removed.stdout) == (0, f"removed {CONTEXT}\n")
    assert (failed.exit_code, failed.stderr.splitlines()[-1]) == (
        7,
        "Error: kind delete cluster --name failed with 1: it is in use",
    )
    assert ["kind", "delete", "cluster", "--name", "istio-chaos"] in tools.calls


def test_without_kind_nothing_is_made(tools: Tools) -> None:
    result = CliRunner().invoke(main, ["up"])

    assert result.exit_code == 4
    assert "--kind" in result.stderr
    assert tools.calls == []


def test_without_tools_the_command_fails_by_its_environment(tools: Tools) -> None:
    (tools.folder / "kind").unlink()

    assert CliRunner().invoke(main, ["up", "--kind"]).exit_code == 7
    assert CliRunner().invoke(main, ["down"]).exit_code == 7


@pytest.fixture
def of_bookinfo(tmp_path: Path) -> Topology:
    allow = Allow(contexts=("kind-*",), namespaces=("bookinfo",))
    return Topology(file=tmp_path / "chaos.yaml", entry=Entry(service="productpage", namespace="bookinfo", port=9080), allow=allow)


def test_a_run_brings_the_cluster_up_when_it_is_opened_and_not_before(
    tools: Tools, of_bookinfo: Topology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Callable[..., object]] = []
    monkeypatch.setattr(meshes, "_check_cluster", lambda _, where: lambda options: seen.append(where) or "the run")
    opener = meshes.check("kind", of_bookinfo, Choice(target="staging", context="staging-eu"))
    before = list(tools.calls)

    assert opener(RunOptions(id="0123456789ab", folder=tmp_path)) == "the run"
    assert before == []
    assert tools.calls[1][:3] == ["kind", "create", "cluster"]
    assert [where.context for where in seen] == [CONTEXT]  # type: ignore[attr-defined]


def test_a_plan_makes_no_cluster(tools: Tools, of_bookinfo: Topology, tmp_path: Path) -> None:
    tools.have("kind", "kubectl", "istioctl", "docker")
    (tmp_path / "kubeconfig").write_text("apiVersion: v1\nkind: Config\ncontexts: []\n")

    with pytest.raises(ConfigurationError, match="kind-istio-chaos"):
        meshes.check("kind", of_bookinfo, Choice(plan=True, kubeconfig=tmp_path / "kubeconfig"))

    assert tools.calls == []


def test_a_run_without_tools_is_refused_before_it_begins(tools: Tools, of_bookinfo: Topology) -> None:
    (tools.folder / "docker").unlink()

    with pytest.raises(MeshFailure, match="docker"):
        meshes.check("kind", of_bookinfo)
