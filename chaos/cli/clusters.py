"""Which cluster does a command mean? The options of all that look after what runs left on one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from chaos.mesh.port import Remains

Command = TypeVar("Command", bound=Callable[..., Any])


def options(command: Command) -> Command:
    """`context`, `namespace`, `everywhere` and `kubeconfig`."""
    for option in (
        click.option("--kubeconfig", type=click.Path(path_type=Path), help="Where contexts are looked up, as kubectl does."),
        click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="All namespaces of that cluster."),
        click.option("-n", "--namespace", multiple=True, help="A namespace there; several times."),
        click.option("--context", help="A context of the kubeconfig; in-cluster: the account of this pod."),
    ):
        command = option(command)
    return command


def remains(context: str, namespaces: Sequence[str], everywhere: bool, kubeconfig: Path | None) -> Remains:
    """What of ours is there. Raises UsageError, ConfigurationError."""
    from chaos.run import meshes

    if bool(namespaces) == everywhere:
        raise click.UsageError(f"--context={context}: which namespaces? Say -n NAMESPACE (several times), or -A for all")
    reach = {"context": context, "namespaces": ",".join(namespaces)}
    if kubeconfig:
        reach["kubeconfig"] = str(kubeconfig)
    return meshes.remains(reach)
