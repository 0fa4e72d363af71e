"""What is one test to us? Its mark, its private paths, its injections and loads, its verdicts; and the end of all of them.

The end undoes every injection (newest first), proves them gone, stops the loads and takes the private paths away, whatever the
order of the test's arguments and whatever has failed: one failing undo never stops the others.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from chaos import clock
from chaos.claims import breaking
from chaos.envoy.policy import together
from chaos.errors import ChaosError, ExperimentError, Inconclusive, InvalidValue, Refused, UndoFailed, Unreachable
from chaos.injection import side as sides
from chaos.injection.callers import Ends, check_fault, ends
from chaos.injection.private_path import PrivatePath
from chaos.injection.switch import Live
from chaos.load.port import Generator, LoadPlan
from chaos.model import units
from chaos.model.breakers import Breaker, Tally
from chaos.model.bystanders import Bystanders
from chaos.model.edge import Edge, Party
from chaos.model.events import Event, Noted, UndoFailure, VerdictGiven
from chaos.model.fault import Fault
from chaos.model.injection import InjectionRecord, InjectionRequest, Side
from chaos.model.injection import Traffic as Reach
from chaos.model.marks import Mark
from chaos.model.verdict import Ledger, Verdict
from chaos.observe.windows import ObservedEdge
from chaos.run.admission import admit, check_clean, stopped
from chaos.run.circuits import Circuits
from chaos.run.evidence import LogReader
from chaos.run.guard import check_injection, check_namespaces
from chaos.run.injecting import Injection, undone
from chaos.run.paths import Paths
from chaos.run.shield import shielded
from chaos.run.traffic import Traffic
from chaos.run.waiting import Alarm
from chaos.run.watch import Watch

if TYPE_CHECKING:
    from chaos.run.run import Run

OVERFLOWS = {
    "upstream_cx_overflow": "connections",
    "upstream_rq_pending_overflow": "pending requests",
    "upstream_rq_active_overflow": "requests",
    "upstream_rq_retry_overflow": "retries",
}
"""Envoy's counters of a cluster -> the limit that turned something away (measured on Envoy 1.40)."""


class Experiment:
    """One test of a run. Thread-safe where a test may use threads: injections, loads and windows."""

    def __init__(self, run: Run, name: str, number: int, ledger: Ledger) -> None:
        self.name = name
        self.ledger = ledger
        self.alarm = Alarm()
        self.changing = threading.RLock()
        """Held while injections are written or undone."""
        self.notes: list[str] = []
        self._run = run
        self.mark = Mark(run.id, number)
        self._paths = self._made_paths()
        self._injections: list[Injection] = []
        self._traffics: list[Traffic] = []
        self._loads = 0
        self._edges: dict[Edge, Ends] = {}
        self._since: dict[Edge, int] = {}
        """Since when a private path stands there."""
        self._ending = False
        self.watcher = Watch(self)
        self.circuits = Circuits(run.mesh, self._breakers)
        self._told = 0

    # -- what a test asks for
    def inject(
        self,
        fault: Fault,
        edge: str | Edge,
        *,
        at: str = "auto",
        traffic: Reach = "own",
        match: Mapping[str, str] | None = None,
        replicas: int | None = None,
        expires: str | timedelta | None = None,
    ) -> Injection:
        """Check everything that can be checked and prepare the injection; its block switches it on."""
        self.check_mesh()
        found = self._ends(Edge.of(edge))
        request = InjectionRequest(
            fault=_fault(fault),
            edge=found.edge,
            side=_side(at),
            traffic=_reach(traffic),
            match=_match(match),
            replicas=_replicas(replicas),
            expires=self._expires(expires),
        )
        check_injection(request, found, self._run.topology)
        check_fault(request.fault, found.callee)
        planned = self._paths.plan(found)
        _check_replicas(request, planned)
        side, reason = sides.choose(request, planned)
        record = InjectionRecord(
            number=next(self._run.injection_numbers),
            request=request,
            side=side,
            reason=reason,
            callers=tuple(pod.id for path in planned for pod in path.callers.pods),
        )
        return self._made_injection(found, record)

    def load(self, plan: Callable[[int, Mark], LoadPlan], target: str, observe: str | Edge | Sequence[str | Edge]) -> Traffic:
        """Prepare a load; `plan` gets its number and the experiment's mark. `observe` makes private paths stand first."""
        self.check_mesh()
        self._loads += 1
        traffic = self._made_traffic(plan(self._loads, self.mark), target)
        for edge in [observe] if isinstance(observe, (str, Edge)) else observe:
            self.observe(edge)
        return traffic

    def observe(self, edge: str | Edge) -> None:
        """From now on to the experiment's end the calls and attempts on this edge are counted on a private path."""
        found = self._ends(Edge.of(edge))
        check_namespaces(found, self._run.topology)
        self._admit(found)
        self._paths.stage(found)
        self._edges[found.edge] = found
        self._since.setdefault(found.edge, clock.now())

    def note(self, text: str) -> None:
        """Something for the report that no number says."""
        self.notes.append(text)
        self.emit(Noted(experiment=self.name, text=text))

    # -- what its parts need
    @property
    def generator(self) -> Generator:
        return self._run.generator

    @property
    def reader(self) -> LogReader:
        return self._run.reader

    @property
    def history(self) -> list[InjectionRecord]:
        """Every injection that was written, oldest first."""
        return [injection.record for injection in self._injections if injection.record.written]

    @property
    def tells_progress(self) -> bool:
        return self._run.tells_progress

    @property
    def injected(self) -> bool:
        return bool(self.history)

    def emit(self, event: Event) -> None:
        self._run.emit(event)

    def remember(self, injection: Injection) -> None:
        """Its undo is ours from now on. Raises ExperimentError when the end has begun, so that nothing is written after it."""
        if self._ending:
            raise ExperimentError(f"{injection.record}: the experiment has ended, and nothing would undo it")
        self._injections.append(injection)

    def remember_traffic(self, traffic: Traffic) -> None:
        self._traffics.append(traffic)

    def take_steady(self) -> None:
        if not self.injected:
            for traffic in self._traffics:
                traffic.take_steady()

    def look_for_marks(self, request: InjectionRequest) -> None:
        """Say so before the first injection if own traffic has not come over its edge so far: the fault may hit nothing.

        No refusal: some edges are only called when something else fails.
        """
        if self.injected or request.traffic != "own":
            return
        edge, watched = request.edge, [traffic.steady for traffic in self._traffics if traffic.own]
        since = 0 if self._run.mesh.sees_every_call else self._since[edge]
        steady = [window for window in watched if window is not None and window.start >= since]
        seen = [window.edges[edge] for window in steady]
        if seen and not any(evidence.calls for evidence in seen):
            requests = sum(len(window.samples) for window in steady)
            self.note(f"{edge}: no call came over it for {requests} requests without a fault; {seen[0].lost}")

    def check_mesh(self) -> None:
        self._run.mesh.check()

    def stopped(self) -> str:
        """Why nothing of ours may be on now: a lease that was lost, the stop switch, a control plane that is away."""
        return self._run.tenure.lost or stopped(self._run.mesh)

    def drift(self) -> str:
        """What others changed under the private paths; empty if nothing."""
        return self._paths.drift()

    def disturbed(self, start: int, end: int) -> str:
        """What the way in did to requests between two monotonic moments; empty if nothing."""
        return self._run.mesh.disturbed(start, end)

    def undo_failed(self, failed: UndoFailed) -> None:
        self._run.undo_failed(failed)
        self.emit(UndoFailure(experiment=self.name, message=str(failed)))

    def observed(self) -> list[ObservedEdge]:
        """Every edge that has a private path."""
        return [self._observed(found) for found in self._edges.values()]

    def resolve(self, edge: Edge) -> ObservedEdge | None:
        """An edge nobody named before, as the callers' own logs show it. Raises Inconclusive on a mesh that does not read them."""
        try:
            found = self._ends(edge)
        except (InvalidValue, Refused):
            return None
        if not self._run.mesh.sees_every_call and not self._paths.of(found):
            raise Inconclusive(
                f"{edge}: on this mesh a call is seen on a private path alone, and none stood on this edge; "
                f'name it for the load: load(..., observe=["{edge}"])'
            )
        observed = self._observed(found)
        if observed.paths:
            return observed
        try:
            policy = together([path.policy for path in self._paths.plan(found)])
        except ChaosError:  # no fault could be put here; its calls are seen all the same
            return observed
        return replace(observed, policy=policy.lines, policy_timeout=policy.timeout, declared_retries=policy.attempts)

    def walked(self, pod: str, host: str) -> Edge | None:
        """The edge of a call that a pod's proxy wrote down; None where it leads to no service, or the pod is gone."""
        mesh = self._run.mesh
        services = mesh.services()
        callee = next((each for each in services if each.host == host), None)
        caller = next((each for each in mesh.pods() if each.id == pod), None)
        if callee is None or caller is None:
            return None
        mine = [each.name for each in services if each.namespace == caller.namespace and caller.matches(each.selector)]
        party = Party(min(mine, default=caller.workload), caller.namespace)
        return _short(Edge(party, Party(callee.name, None if callee.external else callee.namespace)), mesh.default_namespace)

    def bystanders(self, edge: Edge, start: int, end: int) -> Bystanders | None:
        """Everybody else's requests on an edge in [start, end) monotonic ns; None where the mesh has no telemetry."""
        telemetry = self._run.mesh.telemetry
        if telemetry is None:
            return None
        found, paired = self._ends(edge), clock.Pairing.taken()
        callers = [pod for each in found.callers for pod in each.pods]
        began, ended = paired.wall_of(start) / clock.NS, paired.wall_of(end) / clock.NS
        try:
            return telemetry.bystanders(found.edge, callers, found.callee.host, began, ended)
        except Unreachable as silent:  # it says nothing of our own requests: they are judged all the same
            return Bystanders(edge=found.edge, doubt=str(silent))

    def foretell(self, found: Ends, live: Live) -> None:
        """Say what a fault behind the router will do to the breakers of its edge, before it is injected."""
        if live.side is Side.CALLEE:
            told = [breaking.foretold(path.breakers, path.policy, live.request.fault, path.grpc) for path in self._paths.of(found)]
            for line in dict.fromkeys(line for lines in told for line in lines):
                self.emit(Noted(experiment=self.name, text=line))

    def tally(self) -> Tally:
        """What the breakers of each private path have done so far."""
        paths = {edge: self._paths.of(found) for edge, found in self._edges.items()}
        ejections = {edge: self._ejections_on(standing) for edge, standing in paths.items()}
        overflows = {edge: self._overflows_on(standing) for edge, standing in paths.items()}
        return Tally(
            ejections={edge: count for edge, count in ejections.items() if count is not None},
            overflows={edge: counts for edge, counts in overflows.items() if counts},
        )

    def tell_verdicts(self) -> None:
        """Emit the verdicts that were settled since last time."""
        new, self._told = self.ledger.verdicts[self._told :], len(self.ledger.verdicts)
        for verdict in new:
            self.emit(_given(self.name, verdict))

    # -- its end
    def finish(self) -> None:
        """Undo, prove, stop, take away. Raises what could not be done, as one group, after everything was tried."""
        self._ending = True
        failures: list[Exception] = []
        with shielded(f"undoing {self.name}"):
            self.watcher.stop()
            self.circuits.stop()
            for injection in reversed(self._injections):
                _try(injection.undo, failures)
            for traffic in self._traffics:
                _try(traffic.stop, failures)
            if not any(isinstance(failure, UndoFailed) for failure in failures):
                _try(self._remove_paths, failures)
            self._run.reader.forget(self.mark)
        self.tell_verdicts()
        if failures:
            raise failures[0] if len(failures) == 1 else ExceptionGroup(f"{self.name}: its end", failures)

    # -- its parts, of which a plan has others
    def _made_paths(self) -> Paths:
        run = self._run
        return Paths(run.mesh, self.mark, run.journal, run.signature, run.path_numbers, may_write=lambda: run.tenure.check())

    def _made_injection(self, found: Ends, record: InjectionRecord) -> Injection:
        return Injection(self, self._paths, found, record)

    def _made_traffic(self, plan: LoadPlan, target: str) -> Traffic:
        return Traffic(self, plan, target)

    # -- in detail
    def _admit(self, found: Ends) -> None:
        """Raises Stopped where nothing may be changed now, Occupied while another run has the callee."""
        admit(self._run.mesh, self._run.topology, found)
        check_clean(self._run.mesh, self._run.tenure.take(found.callee))

    def _breakers(self) -> list[Breaker]:
        """Of every private path that stands."""
        return [breaker for found in self._edges.values() for path in self._paths.of(found) for breaker in path.breakers]

    def _remove_paths(self) -> None:
        """Raises UndoFailed: what stays behind is inert, and still ours."""
        undone(self._paths.remove, lambda: f"the private paths of {self.name} may still stand", self.undo_failed)

    def _ends(self, edge: Edge) -> Ends:
        mesh = self._run.mesh
        return ends(_short(edge, mesh.default_namespace), mesh.services(), mesh.pods(), mesh.default_namespace)

    def _expires(self, expires: str | timedelta | None) -> float:
        if expires is None:
            return self._run.topology.allow.max_duration
        return units.duration(expires, name="expires").total_seconds()

    def _observed(self, found: Ends) -> ObservedEdge:
        paths = self._paths.of(found)
        pods = frozenset(pod.id for callers in found.callers for pod in callers.pods)
        policy = together([path.policy for path in paths])
        return ObservedEdge(
            edge=found.edge,
            paths=frozenset(path.name for path in paths),
            pods=pods,
            callee_host=found.callee.host,
            replicas={path.name: path.replicas for path in paths},
            policy=policy.lines,
            breakers=tuple(breaker for path in paths for breaker in path.breakers),
            policy_timeout=policy.timeout,
            longest_timeout=max((route.timeout or 0.0 for route in policy.routes), default=0.0),
            declared_retries=policy.attempts,
            private_only=not self._run.mesh.sees_every_call,
        )

    def _overflows_on(self, paths: Sequence[PrivatePath]) -> dict[str, int]:
        total: dict[str, int] = {}
        for path in paths:
            if not any(breaker.limits for breaker in path.breakers):
                continue  # nothing is limited
            for pod in path.callers.pods:
                pattern = rf"cluster\.{re.escape(path.name)}\.\d+\.({'|'.join(OVERFLOWS)})"
                for name, count in self._run.mesh.counters(pod, pattern).items():
                    limit = OVERFLOWS[name.rpartition(".")[2]]
                    total[limit] = total.get(limit, 0) + count
        return total

    def _ejections_on(self, paths: Sequence[PrivatePath]) -> int | None:
        total = 0
        for path in paths:
            if not any(cluster.outlier for cluster in path.policy.clusters):
                continue  # nothing can be ejected
            pattern = rf"cluster\.{re.escape(path.name)}\.\d+\.outlier_detection\.ejections_enforced_total"
            for pod in path.callers.pods:
                counted = self._run.mesh.counters(pod, pattern)
                if not counted:
                    return None  # pruned: the mesh does not tell
                total += sum(counted.values())
        return total


def _given(experiment: str, verdict: Verdict) -> VerdictGiven:
    return VerdictGiven(
        experiment=experiment,
        claim=verdict.claim,
        subject=verdict.subject,
        outcome=str(verdict.outcome),
        summary=verdict.summary,
        reason=verdict.reason,
        details=verdict.details,
        measured=verdict.measured,
        threshold=verdict.threshold,
        unit=verdict.unit,
        requests=verdict.requests,
        figures=dict(verdict.figures),
    )


def _short(edge: Edge, namespace: str) -> Edge:
    """One spelling: the default namespace is not written."""

    def short(party: Party) -> Party:
        return Party(party.name, None if party.namespace == namespace else party.namespace, party.version)

    return Edge(short(edge.caller) if edge.caller else None, short(edge.callee))


def _fault(fault: object) -> Fault:
    if not isinstance(fault, Fault):
        raise InvalidValue(f'{fault!r} is no fault: build one with delay("2s"), abort(503) or throttle("64KiB/s")')
    return fault


def _side(at: str) -> Side | None:
    if at == "auto":
        return None
    try:
        return Side(at)
    except ValueError:
        raise InvalidValue(f'at is {at!r}: write "auto", "caller" or "callee"') from None


def _reach(traffic: str) -> Reach:
    if traffic not in ("own", "all"):
        raise InvalidValue(f'traffic is {traffic!r}: write "own" or "all"')
    return "own" if traffic == "own" else "all"


def _match(match: Mapping[str, str] | None) -> dict[str, str]:
    if match is not None and not isinstance(match, Mapping):
        raise InvalidValue(f'match is {match!r}: it maps header names to exact values, match={{"end-user": "jason"}}')
    found = dict(match or {})
    for name, value in found.items():
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or not isinstance(value, str):
            raise InvalidValue(
                f'match has {name!r}: {value!r}: it maps header names to exact values, match={{"end-user": "jason"}}'
            )
    return {name.lower(): value for name, value in found.items()}


def _replicas(replicas: int | None) -> int | None:
    if replicas is not None and (isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 1):
        raise InvalidValue(f"replicas is {replicas!r}: how many of the callee's replicas are to fail, at least 1")
    return replicas


def _check_replicas(request: InjectionRequest, planned: Sequence[PrivatePath]) -> None:
    for path in planned:
        if request.replicas is not None and request.replicas > len(path.replicas):
            raise InvalidValue(
                f"replicas={request.replicas} on {request.edge}: {path.virtual_host} has {len(path.replicas)}; "
                "leave replicas out to fault all"
            )


def _try(step: Callable[[], None], failures: list[Exception]) -> None:
    try:
        step()
    except (ChaosError, OSError) as failure:
        failures.append(failure)
