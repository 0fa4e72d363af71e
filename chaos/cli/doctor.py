"""`istio-chaos doctor`: could experiments be run and proven here? Looks, and writes nothing.

Exit codes: 0 if nothing keeps experiments from being run (warnings and information may be there), 7 if something does, 4 where the
topology or the options do not fit.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from chaos.errors import TopologyError
from chaos.model.edge import Edge
from chaos.model.readiness import Finding, Severity
from chaos.model.topology import Choice
from chaos.run import doctor as examining
from chaos.run import topology as topologies
from chaos.run.meshes import KINDS
from chaos.run.readiness import summary

NOT_READY = 7


@click.command()
@click.option("--mesh", default="local", show_default=True, type=click.Choice(KINDS), help="Which mesh.")
@click.option(
    "--topology",
    type=click.Path(path_type=Path),
    help="The topology file.  [default: chaos.yaml, experiments/chaos.yaml, or above]",
)
@click.option("--target", help="The cluster, by its name under targets in the topology.")
@click.option("--context", help="The cluster, by its context in the kubeconfig.")
@click.option("-n", "--namespace", help="Where the services under test are.")
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="The kubeconfig.  [default: KUBECONFIG, ~/.kube/config]")
@click.option("--production", is_flag=True, help="Look although the name of the context says production.")
@click.option("--edge", "edges", multiple=True, metavar="EDGE", help='Also this edge, as in "productpage -> reviews".')
@click.option("--probe", "path", default="", metavar="PATH", help="Send a few requests for PATH: who forwards tracing headers?")
@click.option("-o", "--output", default="text", show_default=True, type=click.Choice(["json", "text"]))
def doctor(
    mesh: str,
    topology: Path | None,
    target: str | None,
    context: str | None,
    namespace: str | None,
    kubeconfig: Path | None,
    production: bool,
    edges: Sequence[str],
    path: str,
    output: str,
) -> None:
    """Find what would keep experiments from being run or proven on a mesh.

    Nothing is written, and without --probe nothing is sent. The local mesh is started for it, and ended again.
    """
    choice = Choice(target=target, context=context, namespace=namespace, kubeconfig=kubeconfig, production=production)
    found = examining.examine(mesh, topologies.load(_file(topology)), choice, [Edge.of(edge) for edge in edges], path)
    if output == "json":
        click.echo(json.dumps([finding.as_json() for finding in found], indent=2))
    else:
        for line in _table(found):
            click.echo(line)
        click.echo(summary(found) or "ready", err=True)
    if any(finding.severity is Severity.ERROR for finding in found):
        raise click.exceptions.Exit(NOT_READY)


def _file(given: Path | None) -> Path:
    """The topology that was named, or the one that pytest would find for `experiments/`."""
    if given is not None:
        return given
    here = Path.cwd()
    for start in (here, here / "experiments"):
        if start.is_dir() and (found := topologies.find(start, Path(here.anchor))):
            return found
    raise TopologyError(f"there is no chaos.yaml in {here}, in its folder experiments, or above; name one with --topology")


def _table(found: Sequence[Finding]) -> list[str]:
    """One line for each, as kubectl shows objects, and what it means and what to do below."""
    rows = [("SEVERITY", "CHECK", "WHERE", "FINDING"), *((f.severity.value, f.check, f.where, f.what) for f in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = []
    for row, finding in zip(rows, (None, *found), strict=True):
        lines.append("   ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]))
        if finding is not None:
            lines += [f"    means: {finding.means}", f"    to do: {finding.remedy}"]
    return lines if found else []
