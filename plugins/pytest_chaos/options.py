"""What can be said on the command line and in the ini file? All of it, on one screen.

A value on the command line stands over the ini file's. Paths on the command line are relative to where pytest was called, paths
in the ini file to its folder.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.pathlib import bestrelpath

MESH, TOPOLOGY, REPORT = "chaos_mesh", "chaos_topology", "chaos_report"
DEFAULT_MESH = "local"
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
    parser.addini(MESH, "default of --chaos-mesh")
    parser.addini(TOPOLOGY, "default of --chaos-topology, relative to this file")
    parser.addini(REPORT, "default of --chaos-report, relative to this file")


def mesh(config: pytest.Config) -> str:
    return str(config.getoption(MESH) or config.getini(MESH) or DEFAULT_MESH)


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
