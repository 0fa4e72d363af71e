"""Which runs are there, alive and dead, and what of theirs? Journals of this machine; of a cluster objects, leases, stop switch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chaos.injection.names import REAPER
from chaos.mesh.port import Lease, Remains
from chaos.run import cleaning, watchdog
from chaos.run.journal import Left


@dataclass(frozen=True, slots=True, kw_only=True)
class Journalled:
    """One process of a run, as its journal says."""

    run: str
    pid: int
    alive: bool
    mesh: str
    """`cluster staging-eu`; empty while it is not up."""
    groups: int
    objects: tuple[str, ...]
    leases: tuple[str, ...]
    silenced: tuple[str, ...]
    """Pods in whose runtime the last resort holds its faults off."""
    journal: str
    trouble: str
    """Why it could not be undone yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """A cluster."""

    stopped: str
    objects: tuple[cleaning.Standing, ...]
    leases: tuple[Lease, ...]
    reapers: tuple[Lease, ...]


def machine() -> list[Journalled]:
    """Every process of a run on this machine that has not ended in order."""
    return [_journalled(journal, found, alive) for journal, found, alive in watchdog.journals()]


def cluster(remains: Remains) -> Surveyed:
    """What is there now."""
    leases = remains.leases.all()
    return Surveyed(
        stopped=remains.stopped(),
        objects=tuple(cleaning.standing(remains)),
        leases=tuple(lease for lease in leases if lease.name != REAPER),
        reapers=tuple(lease for lease in leases if lease.name == REAPER),
    )


def as_json(processes: Sequence[Journalled], of_cluster: Surveyed | None) -> dict[str, Any]:
    """Of both, as it is printed."""
    told: dict[str, Any] = {"runs": [asdict(process) for process in processes]}
    if of_cluster is not None:
        told["cluster"] = {
            "stopped": of_cluster.stopped,
            "objects": [asdict(each) for each in of_cluster.objects],
            "leases": [{**asdict(lease), "alive": lease.alive} for lease in of_cluster.leases],
            "reapers": [{**asdict(lease), "alive": lease.alive} for lease in of_cluster.reapers],
        }
    return told


def _journalled(journal: Path, found: Left, alive: bool) -> Journalled:
    return Journalled(
        run=found.run,
        pid=found.pid,
        alive=alive,
        mesh=" ".join(found.mesh.values()),
        groups=len(found.groups),
        objects=tuple(f"{namespace}/{name}" for namespace, name in found.objects),
        leases=tuple(f"{namespace}/{name}" for namespace, name in found.leases),
        silenced=tuple(dict.fromkeys(f"{namespace}/{pod}" for namespace, pod, _ in found.silenced)),
        journal=str(journal),
        trouble=found.trouble,
    )
