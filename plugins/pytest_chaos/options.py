"""What can be said on the command line and in the ini file? All of it, on one screen.

A value on the command line stands over the ini file's. Paths on the command line are relative to where pytest was called, paths
in the ini file to its folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest.pathlib import bestrelpath

if TYPE_CHECKING:
    from chaos.model.standards import Standards
    from chaos.model.topology import Choice

MESH, TOPOLOGY, REPORT = "chaos_mesh", "chaos_topology", "chaos_report"
TARGET, CONTEXT, NAMESPACE, KUBECONFIG = "chaos_target", "chaos_context", "chaos_namespace", "chaos_kubeconfig"
PRODUCTION = "chaos_production"
PLAN = "chaos_plan"
LEASE_TIMEOUT = "chaos_lease_timeout"
PREFIX = "chaos_"
STANDARDS = (
    "false_held",
    "false_violated",
    "at_least",
    "success_margin",
    "latency_margin",
    "never_retried",
    "recovered_for",
)
"""Those of `chaos.model.standards`, which is not imported by a session without experiments."""
DEFAULT_MESH = "local"
DEFAULT_LEASE_TIMEOUT = "30s"
"""More than a lease of a run that died holds."""
DEFAULT_REPORT = "reports/runs"


def add(parser: pytest.Parser) -> None:
    """Register the options and their ini twins."""
    group = parser.getgroup("chaos", "resilience experiments (istio-chaos)")
    group.addoption(
        "--chaos-mesh",
        metavar="KIND",
        help=f"the mesh that experiments run on (default: {DEFAULT_MESH}, real Envoy sidecars on this machine)",
    )
    group.addoption(
        "--chaos-topology",
        metavar="FILE",
        help="the topology file (default: the nearest chaos.yaml in an experiment's folder or above, up to rootdir)",
    )
    group.addoption(
        "--chaos-report",
        metavar="FOLDER",
        help=f"where every run gets a folder with its events and report.json (default: {DEFAULT_REPORT} under rootdir)",
    )
    group.addoption(
        "--chaos-target",
        metavar="NAME",
        help="with --chaos-mesh=cluster: the cluster, by its name under targets in chaos.yaml (default: the only one there)",
    )
    group.addoption(
        "--chaos-context",
        metavar="CONTEXT",
        help="with --chaos-mesh=cluster: the cluster, by its context in the kubeconfig; in-cluster: the account of this pod",
    )
    group.addoption(
        "--chaos-namespace",
        metavar="NAMESPACE",
        help="with --chaos-mesh=cluster: where the services under test are (default: the target's, else the entry's)",
    )
    group.addoption(
        "--chaos-kubeconfig",
        metavar="FILE",
        help="with --chaos-mesh=cluster: the kubeconfig (default: the list in KUBECONFIG, else ~/.kube/config)",
    )
    group.addoption(
        "--chaos-lease-timeout",
        metavar="DURATION",
        help=f"how long to wait for the first callee while another run has it (default: {DEFAULT_LEASE_TIMEOUT})",
    )
    group.addoption(
        "--chaos-production",
        action="store_true",
        default=False,
        help="run on a cluster although the name of its context says production",
    )
    group.addoption(
        "--chaos-plan",
        action="store_true",
        default=False,
        help="change nothing and send nothing: tell what each experiment would do, whom it would hit, and what would be refused",
    )
    parser.addini(MESH, "default of --chaos-mesh")
    parser.addini(TOPOLOGY, "default of --chaos-topology, relative to this file")
    parser.addini(REPORT, "default of --chaos-report, relative to this file")
    parser.addini(TARGET, "default of --chaos-target")
    parser.addini(CONTEXT, "default of --chaos-context")
    parser.addini(NAMESPACE, "default of --chaos-namespace")
    parser.addini(LEASE_TIMEOUT, "default of --chaos-lease-timeout")
    parser.addini(KUBECONFIG, "default of --chaos-kubeconfig, relative to this file")
    for name in STANDARDS:
        parser.addini(f"{PREFIX}{name}", f"by which claims are judged: {name.replace('_', ' ')} (docs/reference/options.md)")


def mesh(config: pytest.Config) -> str:
    return str(config.getoption(MESH) or config.getini(MESH) or DEFAULT_MESH)


def plan(config: pytest.Config) -> bool:
    """Is nothing to be changed and nothing to be sent?"""
    return bool(config.getoption(PLAN))


def choice(config: pytest.Config) -> Choice:
    """Which cluster was chosen, over the topology's targets."""
    from chaos.model.topology import Choice

    def said(name: str) -> str | None:
        return config.getoption(name) or config.getini(name) or None

    # A context on the command line is not meant together with a target of the ini file, and the other way round.
    over = {name: bool(config.getoption(name)) for name in (TARGET, CONTEXT)}
    return Choice(
        target=None if over[CONTEXT] and not over[TARGET] else said(TARGET),
        context=None if over[TARGET] and not over[CONTEXT] else said(CONTEXT),
        namespace=said(NAMESPACE),
        kubeconfig=_path(config, KUBECONFIG),
        production=bool(config.getoption(PRODUCTION)),
        plan=plan(config),
    )


def lease_timeout(config: pytest.Config) -> float:
    """Seconds. Raises InvalidValue."""
    from chaos.model import units

    given = config.getoption(LEASE_TIMEOUT) or config.getini(LEASE_TIMEOUT) or DEFAULT_LEASE_TIMEOUT
    return 0.0 if str(given) == "0" else units.duration(str(given), name="--chaos-lease-timeout").total_seconds()


def standards(config: pytest.Config) -> Standards:
    """By which claims are judged. Raises InvalidValue."""
    from chaos.model.standards import Standards

    return Standards.of({name: str(config.getini(f"{PREFIX}{name}")) for name in STANDARDS}, prefix=PREFIX)


def topology(config: pytest.Config) -> Path | None:
    """The file that was named, if one was."""
    return _path(config, TOPOLOGY)


def report(config: pytest.Config) -> Path:
    """The folder of all runs."""
    return _path(config, REPORT) or config.rootpath / DEFAULT_REPORT


def shown(config: pytest.Config, path: Path) -> str:
    """A path as it can be used where pytest was called."""
    return bestrelpath(config.invocation_params.dir, path)


def _path(config: pytest.Config, name: str) -> Path | None:
    if given := config.getoption(name):
        return config.invocation_params.dir / str(given)
    if given := config.getini(name):
        return (config.inipath.parent if config.inipath else config.rootpath) / str(given)
    return None
