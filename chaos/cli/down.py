"""`istio-chaos down`: removes the cluster that `istio-chaos up --kind` made."""

from __future__ import annotations

from functools import partial

import click

from chaos.run import kind as kinds


@click.command()
def down() -> None:
    """Remove the kind cluster of istio-chaos up, and everything in it."""
    removed = kinds.down(partial(click.echo, err=True))
    click.echo(f"removed {kinds.CONTEXT}" if removed else f"nothing to remove: there is no kind cluster {kinds.CLUSTER}")
