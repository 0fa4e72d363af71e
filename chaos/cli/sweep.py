"""`istio-chaos sweep`: undo by hand what runs left behind that were killed. The next run does the same before it starts."""

from __future__ import annotations

from pathlib import Path

import click

from chaos.cli import clusters
from chaos.errors import UndoFailed
from chaos.run import cleaning
from chaos.run.run import sweep as sweep_dead_runs


@click.command()
@clusters.options
def sweep(context: str | None, namespace: tuple[str, ...], everywhere: bool, kubeconfig: Path | None) -> None:
    """Undo what dead runs left behind, by their journals on this machine. Runs that are alive are left alone.

    With --context also what is on that cluster: every object of ours whose lease is not alive, whoever wrote it.
    """
    remains = clusters.remains(context, namespace, everywhere, kubeconfig) if context else None
    swept = sweep_dead_runs()
    for line in swept.done:
        click.echo(line)
    removed = cleaning.sweep(remains) if remains else []
    for line in removed:
        click.echo(line)
    if swept.failed:
        raise UndoFailed("\n".join(swept.failed))
    if not swept.done and not removed:
        on_it = f", and nothing of ours on {context} is without a living lease" if context else ""
        click.echo(f"nothing to sweep: no run that died has left a journal{on_it}")
