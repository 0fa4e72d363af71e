"""`istio-chaos reap`: what runs in the cluster, so that somebody undoes when a whole machine is lost."""

from __future__ import annotations

import signal
import socket
import threading
from datetime import UTC, datetime
from pathlib import Path

import click

from chaos import clock
from chaos.cli import clusters
from chaos.errors import UndoFailed
from chaos.run.reaper import Reaper


@click.command()
@click.option("-n", "--namespace", multiple=True, required=True, help="A namespace to look after; several times.")
@click.option("--context", default="in-cluster", show_default=True, help="A context of the kubeconfig.")
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="Where contexts are looked up, as kubectl does.")
@click.option("--holder", default=socket.gethostname, help="Who has the heartbeat (default: this host's name, a pod's own).")
@click.option("--once", is_flag=True, help="One pass, for a CronJob; exits with 16 when it did not go through.")
def reap(namespace: tuple[str, ...], context: str, kubeconfig: Path | None, holder: str, once: bool) -> None:
    """Remove what has no living lease, or is overdue, every 5 seconds and when a lease dies; a lease of its own says so."""
    reaper = Reaper(clusters.remains(context, namespace, False, kubeconfig), namespace, holder, _tell)
    if once:
        if not reaper.look():
            raise UndoFailed("the pass did not go through; what it could not remove may still be in force")
        return
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    _tell(f"looking after {', '.join(namespace)} by context {context}, as {holder}")
    while not stop.is_set():
        reaper.look()
        clock.pause(reaper.rest(), unless=stop)
    _tell("ended")


def _tell(line: str) -> None:
    click.echo(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {line}")
