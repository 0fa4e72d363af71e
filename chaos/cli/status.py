"""`istio-chaos status`: who runs, who died, and what of theirs is there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from chaos.cli import clusters
from chaos.run import survey


@click.command()
@clusters.options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(context: str | None, namespace: tuple[str, ...], everywhere: bool, kubeconfig: Path | None, output: str) -> None:
    """Show the runs of this machine that live or left something; with --context what is on that cluster, of any run."""
    remains = clusters.remains(context, namespace, everywhere, kubeconfig) if context else None
    processes, of_cluster = survey.machine(), survey.cluster(remains) if remains else None
    if output == "json":
        click.echo(json.dumps(survey.as_json(processes, of_cluster), indent=2))
        return
    _table(("RUN", "PID", "STATE", "MESH", "PROCESSES", "OBJECTS", "LEASES"), _rows(processes), "no run on this machine")
    for process in processes:
        if process.silenced:
            click.echo(f"run {process.run}: its faults are switched off by the runtime of {', '.join(process.silenced)}")
        if process.trouble:
            click.echo(f"run {process.run}: {process.trouble}")
    if of_cluster is None:
        return
    click.echo()
    held = ((x.namespace, x.about or x.name, x.holder, f"{x.age:.0f}s", _living(x.alive)) for x in of_cluster.leases)
    _table(("NAMESPACE", "CALLEE", "RUN", "RENEWED", "STATE"), held, f"no lease of a run on {context}")
    click.echo()
    objects = ((x.namespace, x.name, x.run, x.deadline, x.dead or "in use") for x in of_cluster.objects)
    _table(("NAMESPACE", "OBJECT", "RUN", "DEADLINE", "STATE"), objects, f"no object of ours on {context}")
    click.echo()
    for lease in of_cluster.reapers:
        click.echo(f"reaper of {lease.namespace}: {lease.holder}, seen {lease.age:.0f} s ago, {_living(lease.alive)}")
    if not of_cluster.reapers:
        click.echo(f"no reaper on {context}")
    click.echo(of_cluster.stopped or "the stop switch is not set")


def _rows(processes: Sequence[survey.Journalled]) -> Iterable[tuple[str, ...]]:
    for each in processes:
        counts = (str(each.groups), str(len(each.objects)), str(len(each.leases)))
        yield (each.run, str(each.pid), _living(each.alive), each.mesh or "-", *counts)


def _living(alive: bool) -> str:
    return "alive" if alive else "dead"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], otherwise: str) -> None:
    """As kubectl does: columns as wide as they need to be."""
    lines = [head, *rows]
    if len(lines) == 1:
        click.echo(otherwise)
        return
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
    for line in lines:
        click.echo("   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
