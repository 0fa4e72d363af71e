"""`istio-chaos up --kind`: a cluster of one's own, with Istio and the demo, to try experiments on."""

from __future__ import annotations

from functools import partial

import click

from chaos.run import kind as kinds


@click.command()
@click.option("--kind", is_flag=True, required=True, help="By kind, in containers of this machine.")
def up(kind: bool) -> None:
    """Create or reuse a kind cluster with Istio, bookinfo and deploy/, and wait until it is ready.

    Uses kind, docker, kubectl, and istioctl or helm, as they are on PATH.
    """
    kinds.up(partial(click.echo, err=True))
    click.echo(kinds.CONTEXT)
