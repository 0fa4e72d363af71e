"""`istio-chaos sweep`: undo by hand what runs left behind that were killed. The next run does the same before it starts."""

from __future__ import annotations

import click

from chaos.run.run import sweep as sweep_dead_runs


@click.command()
def sweep() -> None:
    """Undo what dead runs left behind on this machine. Runs that are alive are left alone."""
    told = sweep_dead_runs()
    for line in told:
        click.echo(line)
    if not told:
        click.echo("nothing to sweep: no run that died has left a journal")
