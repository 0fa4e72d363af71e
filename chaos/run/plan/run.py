"""What is a run that only plans? A mesh that is looked at, and events. It owns nothing, so nothing has to come after it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from chaos.injection.names import lease_name
from chaos.injection.objects import Signature
from chaos.mesh.port import Mesh
from chaos.model.events import RunFinished
from chaos.model.inventory import Service
from chaos.model.topology import Topology
from chaos.run.plan.mesh import LookedAt
from chaos.run.run import OUTLASTS, Run, RunOptions

if TYPE_CHECKING:
    from chaos.run.experiment import Experiment


class PlannedRun(Run):
    """`mesh` makes the mesh that is looked at; it is not told of any journal, since there is none."""

    plans = True

    @classmethod
    def looking(cls, options: RunOptions, topology: Topology, *, mesh: Callable[[Run], Mesh]) -> PlannedRun:
        run = cls(options, topology)
        run.mesh = LookedAt(mesh(run))
        run.tell_start()
        return run

    def _protect(self, *, visiting: bool) -> None:
        """There is nothing to protect."""

    def experiment(self, name: str) -> Experiment:
        from chaos.run.plan.experiment import PlannedExperiment

        return PlannedExperiment(self, name, next(self._experiment_numbers), self.ledger())

    @property
    def objects_live(self) -> float:
        """Seconds after which anybody may remove the objects of an injection."""
        return OUTLASTS * self.topology.allow.max_duration

    def signature(self, callee: Service) -> Signature:
        deadline = datetime.now(UTC) + timedelta(seconds=self.objects_live)
        lease = f"{callee.namespace}/{lease_name(callee.host)}"
        return Signature(run=self.id, deadline=deadline.isoformat(timespec="seconds"), lease=lease)

    def close(self) -> None:
        """Idempotent."""
        if not self._closed:
            self._closed = True
            self.mesh.close()
            self.emit(RunFinished(run=self.id, worker=self.worker))
