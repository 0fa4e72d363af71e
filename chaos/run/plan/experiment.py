"""What would one experiment do? What it asks for is checked and planned as in a run, by the same code, and told instead of done."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from chaos import clock
from chaos.errors import Stopped
from chaos.injection import objects
from chaos.injection.callers import Ends
from chaos.injection.names import PREFIX, key, lease_name
from chaos.injection.private_path import PrivatePath
from chaos.load.port import LoadPlan
from chaos.mesh.port import Lease
from chaos.model import units
from chaos.model.edge import Edge
from chaos.model.events import ClaimPlanned, DoubtForeseen, InjectionPlanned, PathPlanned
from chaos.model.fault import Fault
from chaos.model.injection import InjectionRecord
from chaos.model.verdict import Ledger
from chaos.model.window import Foreseen
from chaos.run.admission import admit, check_clean
from chaos.run.circuits import Circuits
from chaos.run.experiment import Experiment
from chaos.run.injecting import Injection
from chaos.run.journal import Journal
from chaos.run.paths import Paths
from chaos.run.plan.run import PlannedRun
from chaos.run.plan.traffic import PlannedTraffic
from chaos.run.tenure import VALID
from chaos.run.traffic import Traffic
from chaos.run.watch import Watch
from chaos.stats.proof import attempts_needed


class PlannedExperiment(Experiment):
    """One test of a plan."""

    _run: PlannedRun

    def __init__(self, run: PlannedRun, name: str, number: int, ledger: Ledger) -> None:
        super().__init__(run, name, number, ledger)
        self.watcher = _NoWatch(self)
        self.circuits = _NoCircuits(run.mesh, list)
        self.refusals: list[str] = []
        """Why a run could not begin now."""
        self._doubts: list[str] = []
        self.elapsed = 0.0
        """Seconds that its windows have taken so far, if they took any."""

    # -- for its parts
    def on(self, *, own: bool) -> tuple[int, ...]:
        """The injections that would be on, and could hit such requests."""
        return tuple(record.number for record in self._hitting(own) if not record.gone)

    def switched(self, *, own: bool) -> int:
        """How often one of those went on or off so far."""
        return sum(2 if record.gone else 1 for record in self._hitting(own))

    def _hitting(self, own: bool) -> list[InjectionRecord]:
        return [record for record in self.history if own or record.request.traffic == "all"]

    def claimed(self, claim: Foreseen, planned: int | None) -> None:
        """A claim, and the requests that there would be to judge it by."""
        self.emit(
            ClaimPlanned(
                experiment=self.name,
                claim=claim.claim,
                subject=claim.subject,
                needs=claim.requests,
                planned=planned,
                said=claim.said,
            )
        )

    def doubt(self, text: str) -> None:
        """Something because of which a run would come to nothing; said once."""
        if text not in self._doubts:
            self._doubts.append(text)
            self.emit(DoubtForeseen(experiment=self.name, text=text))

    def enters_by(self, entry: bool) -> str:
        """The pod by whose proxy load comes in: where users do, or from the load workload."""
        return self._run.mesh.entry[0].id if entry else f"{PREFIX}-load"

    def unseen(self, edge: Edge) -> bool:
        """Would nobody see the calls on this edge?"""
        return not self._run.mesh.sees_every_call and str(edge) not in map(str, self._edges)

    def planned(self, record: InjectionRecord, found: Ends) -> InjectionPlanned:
        """What is told of an injection."""
        paths, request = self._paths.of(found), record.request
        percents = _percents(request.fault)
        return InjectionPlanned(
            experiment=self.name,
            number=record.number,
            fault=str(request.fault),
            edge=str(request.edge),
            side=record.side,
            reason=record.reason,
            callers=record.callers,
            traffic=request.traffic,
            share=(1 - math.prod(1 - percent for percent in percents)) * _part(request.replicas, paths),
            only=request.only,
            attempts=max(map(attempts_needed, percents)),
            expires=request.expires,
        )

    def observe(self, edge: str | Edge) -> None:
        known = set(self._edges)
        super().observe(edge)
        for new in self._edges.keys() - known:
            self.emit(self._path(self._edges[new]))

    def _path(self, found: Ends) -> PathPlanned:
        paths = self._paths.of(found)
        return PathPlanned(
            experiment=self.name,
            edge=str(found.edge),
            callers=tuple(pod.id for path in paths for pod in path.callers.pods),
            policy=tuple(dict.fromkeys(line for path in paths for line in path.policy.lines)),
            objects=tuple(self._objects(found, paths)),
            deadline=self._run.objects_live,
        )

    def _objects(self, found: Ends, paths: Sequence[PrivatePath]) -> list[str]:
        """Their names are those of one run: `RUN` stands for its id."""
        by = self._run.signature(found.callee)
        written = [made for path in paths for made in (objects.stage(path, by), objects.switch(path, self.mark, [], by))]
        filters = ["/".join(key(an_object)).replace(self.mark.run, "RUN") for an_object in written]
        return [*(f"EnvoyFilter {name}" for name in filters), f"Lease {by.lease}"]

    # -- what is done otherwise than in a run
    def _made_paths(self) -> Paths:
        return _PlannedPaths(
            self._run.mesh,
            self.mark,
            cast("Journal", None),  # without anything to write there is nothing to journal
            self._run.signature,
            self._run.path_numbers,
            may_write=lambda: None,
        )

    def _made_injection(self, found: Ends, record: InjectionRecord) -> Injection:
        return _PlannedInjection(self, self._paths, found, record)

    def _made_traffic(self, plan: LoadPlan, target: str) -> Traffic:
        return PlannedTraffic(self, plan, target, self._loads)

    def _admit(self, found: Ends) -> None:
        """Whatever keeps a run from beginning now is told, and planning goes on. For who has the callee a run waits."""
        mesh, callee = self._run.mesh, found.callee
        self._ask(lambda: admit(mesh, self._run.topology, found))
        wanted = Lease(
            namespace=callee.namespace, name=lease_name(callee.host), holder=self.mark.run, age=0, valid=VALID, about=callee.host
        )
        holder = mesh.leases.find(wanted.namespace, wanted.name)
        if holder is not None and holder.alive:
            self.doubt(f"{found.edge}: run {holder.holder} has {callee.host} now: a run that began now would have to wait for it")
        else:
            self._ask(lambda: check_clean(mesh, wanted))

    def _ask(self, admitted: Callable[[], None]) -> None:
        try:
            admitted()
        except Stopped as stopped:
            if str(stopped) not in self.refusals:
                self.refusals.append(str(stopped))
                self.doubt(f"REFUSED, if it were a run: {stopped}")

    def finish(self) -> None:
        """Tell the loads that were left open."""
        self._ending = True
        for traffic in self._traffics:
            traffic.stop()


class _PlannedPaths(Paths):
    """Paths that stand in nobody's proxy: made as in a run, and neither written nor waited for."""

    def _write(self, filters: Sequence[Mapping[str, Any]]) -> None:
        pass

    def _await(self, lacking: object, *, refused: object = None, late: object = None) -> None:
        pass

    def _check_bystanders(self, paths: object, sample: int = 0) -> None:
        pass


class _PlannedInjection(Injection):
    """An injection that is on from the beginning of its block to the end, as far as anybody is asked."""

    _experiment: PlannedExperiment

    def _proven(self) -> InjectionPlanned:
        return self._experiment.planned(self.record, self._ends)

    def undo(self, *, aborted: str = "", guarded: bool = False) -> None:
        if self.record.written and not self.record.gone:
            self._switch_off()
            self.record = replace(self.record, gone=clock.now())


class _NoWatch(Watch):
    """Nothing is on that could change."""

    def start(self, injection: Injection) -> None:
        pass


class _NoCircuits(Circuits):
    """Nothing is sent that could open a breaker."""

    def start(self) -> None:
        pass


def _percents(fault: Fault) -> list[float]:
    """The probability of each of its parts."""
    parts = [part for part in (fault.delay, fault.abort, fault.throttle) if part is not None]
    return [units.probability(getattr(part, "percent", 100.0)) for part in parts]


def _part(replicas: int | None, paths: Sequence[PrivatePath]) -> float:
    """Of the callee's replicas, those that are faulted."""
    return 1.0 if replicas is None else min(1.0, replicas / max(len(path.replicas) for path in paths))
