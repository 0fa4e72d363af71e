"""`istio-chaos lint`: what is wrong with these manifests, before a cluster sees them?

Exit codes follow `istioctl analyze`: findings below `--failure-threshold` (Error, unless said otherwise) leave it at 0, any
other finding makes it 1, with `-o json` as well. A file that is no manifest at all is 4, as everywhere.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from chaos.istio import meshconfig
from chaos.istio.documents import read
from chaos.istio.findings import Finding, Level
from chaos.istio.lint import lint as findings_of

FOUND = 1
_BY_WEIGHT = tuple(Level)
_NEVER = "Never"
_LEVELS = [level.value for level in _BY_WEIGHT]


@click.command()
@click.option(
    "-f", "--file", "files", multiple=True, required=True, type=click.Path(path_type=Path), help="Manifests: file or folder."
)
@click.option("--mesh-config", type=click.Path(path_type=Path), help="MeshConfig, alone or in its ConfigMap.")
@click.option("-o", "--output", default="text", show_default=True, type=click.Choice(["json", "text"]))
@click.option(
    "--output-threshold",
    default=Level.INFO.value,
    show_default=True,
    type=click.Choice(_LEVELS, case_sensitive=False),
    help="Show findings of this level and above.",
)
@click.option(
    "--failure-threshold", default=Level.ERROR.value, show_default=True,
    type=click.Choice([*_LEVELS, _NEVER], case_sensitive=False), help="Exit with 1 for findings of this level and above.",
)  # fmt: skip
def lint(files: Sequence[Path], mesh_config: Path | None, output: str, output_threshold: str, failure_threshold: str) -> None:
    """Check Kubernetes and Istio manifests without a cluster.

    Says what istiod would refuse or warn of, what `istioctl analyze` would find (codes IST...), and which faults, retries,
    timeouts and outlier detections will not do what they seem to (codes CHAOS...).
    """
    findings = findings_of(read(files), mesh_config=meshconfig.read(mesh_config) if mesh_config else None)
    shown = [finding for finding in findings if _reaches(finding, output_threshold)]
    if output == "json":
        click.echo(json.dumps([finding.as_json() for finding in shown], indent=2))
    else:
        for finding in shown:
            click.echo(finding)
        click.echo(_summary(findings), err=True)
    if any(_reaches(finding, failure_threshold) for finding in findings):
        raise click.exceptions.Exit(FOUND)


def _reaches(finding: Finding, threshold: str) -> bool:
    return threshold != _NEVER and _BY_WEIGHT.index(finding.level) <= _LEVELS.index(threshold)


def _summary(findings: Sequence[Finding]) -> str:
    count = Counter(finding.level for finding in findings)
    parts = [f"{count[level]} {level.value.lower()}{'s' if count[level] > 1 else ''}" for level in _BY_WEIGHT if count[level]]
    return ", ".join(parts) or "nothing found"
