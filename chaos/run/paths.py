"""Which private paths stand, and what is switched on them? Our objects in a mesh, written in order and proven each time.

Staged in force, then switched, then proven; at the end switched off and proven, then the staged part removed: a route to a cluster
that is not there answers 503. Everything written is journalled first. One path stands per caller workload, virtual host and callee,
from the first mention of an edge to the end of the experiment.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaos import clock
from chaos.envoy.configuration import Configuration
from chaos.errors import ChaosError, MeshFailure, Refused
from chaos.injection import in_force, leading, names, objects
from chaos.injection.callers import Callers, Ends
from chaos.injection.private_path import PrivatePath, copy_source, private_path
from chaos.injection.switch import Live, routes
from chaos.mesh.port import Mesh, Resource
from chaos.model.inventory import Pod, Service
from chaos.model.marks import Mark
from chaos.run.journal import Journal

LATE = 5.0
"""Seconds after which an undo that the proxies have not heard of is helped by the last resort."""
IN_FORCE_WITHIN = 30.0
"""Seconds until proxies must hold what was written; usually milliseconds, on a cluster a second or two."""

Key = tuple[str, str, str, str]
"""(callers' namespace, callers' workload, callee's host, virtual host)"""


@dataclass(slots=True)
class _Standing:
    key: Key
    path: PrivatePath
    by: objects.Signature
    """What its two objects say of themselves, always the same."""
    staged: bool = False
    """Proven to stand and to observe."""
    live: list[Live] = field(default_factory=list)
    """What shall be on."""
    maybe: list[Live] = field(default_factory=list)
    """What may be on in some proxy: written and not yet proven gone."""

    @property
    def only_to(self) -> str | None:
        """A gateway's virtual host leads elsewhere too."""
        return self.key[2] if self.path.callers.gateway else None


class Paths:
    """The private paths of one experiment."""

    def __init__(
        self,
        mesh: Mesh,
        mark: Mark,
        journal: Journal,
        signature: Callable[[Service], objects.Signature],
        numbers: Iterator[int],
        *,
        may_write: Callable[[], None],
    ) -> None:
        self._mesh = mesh
        self._mark = mark
        self._journal = journal
        self._signature = signature
        self._numbers = numbers
        self._may_write = may_write
        """Asked before every write that is no undo; raises where it may not be."""
        self._standing: dict[Key, _Standing] = {}
        self._journalled: set[tuple[str, str]] = set()
        self._silenced: list[tuple[str, str, str]] = []
        """What the last resort set: (namespace, pod, key)."""
        self._lock = threading.RLock()

    # -- what stands
    def of(self, ends: Ends) -> list[PrivatePath]:
        """The standing paths of an edge."""
        with self._lock:
            return [standing.path for standing in self._standing_on(ends)]

    def plan(self, ends: Ends) -> list[PrivatePath]:
        """The paths an edge needs, standing or made from the proxies' dumps now; nothing is written. Raises Refused."""
        with self._lock:
            return [path for _, path in self._planned(ends)]

    def stage(self, ends: Ends) -> list[PrivatePath]:
        """Make the paths of an edge stand and observe. Idempotent; returns when every caller proxy was seen to hold them."""
        with self._lock:
            planned = [
                self._standing.setdefault(key, _Standing(key, path, self._signature(ends.callee)))
                for key, path in self._planned(ends)
            ]
            new = [each for each in planned if not each.staged]
            if new:
                self._may_write()
                self._write([objects.stage(each.path, each.by) for each in new])
                self._await(lambda: [lack for each in new for lack in self._unstaged(each.path)], refused=self._mesh.rejected)
                self._may_write()
                self._write([objects.switch(each.path, self._mark, [], each.by) for each in new])
                self._await(lambda: [lack for each in new for lack in self._unswitched(each.path, [])])
                self._check_bystanders([each.path for each in new])
                for each in new:
                    each.staged = True
            return self.of(ends)

    # -- what is on
    def check(self, ends: Ends, live: Live) -> None:
        """Refused if this injection contradicts one that is on."""
        with self._lock:
            for each in self._standing_on(ends):
                routes(each.path.name, self._mark, [*each.live, live])

    def switch_on(self, ends: Ends, live: Live, *, written: Callable[[], None]) -> None:
        """`written` is called right before the first write. Returns when proven in force."""
        with self._lock:
            self.stage(ends)
            standing = self._standing_on(ends)
            self._may_write()
            written()
            for each in standing:
                each.live = [*each.live, live]
            self._switch(standing)
            if gone := [pod.id for each in standing for pod in each.path.callers.pods if pod not in self._here(each.path)]:
                self._mesh.check()
                raise MeshFailure(f"{gone[0]} is gone, and was a caller when its private path was made")

    def switch_off(self, ends: Ends, live: Live, *, written: Callable[[], None], late: Callable[[], None] = lambda: None) -> None:
        """Idempotent. Returns when proven gone; `late` is called when that takes longer than `LATE`."""
        with self._lock:
            standing = [each for each in self._standing_on(ends) if live in [*each.live, *each.maybe]]
            if not standing:
                return
            for each in standing:
                each.maybe = [*each.maybe, live]
                each.live = [other for other in each.live if other != live]
            written()
            self._switch(standing, late)
            if self._silenced and not any(each.maybe for each in self._standing.values()):
                self._give_voice()

    def silence(self, ends: Ends) -> list[str]:
        """The last resort: the proxies' own runtime switches the faults on an edge off, though no configuration reaches them.

        Idempotent. Returns the pods where that could be done.
        """
        with self._lock:
            wanted = [
                (pod.namespace, pod.name, names.faults_key(each.path.name))
                for each in self._standing_on(ends)
                for pod in self._here(each.path)
            ]
            new = [each for each in wanted if each not in self._silenced]
            if new:
                self._journal.silencing(new)
            done = [each for each in new if self._set_runtime(*each, "0")]
            self._silenced += done
            return [f"{pod}.{namespace}" for namespace, pod, _ in self._silenced]

    def _give_voice(self) -> None:
        """What was on is proven gone: faults may act again."""
        silenced = [each for each in self._silenced if not self._set_runtime(*each, "")]
        self._journal.cleared([each for each in self._silenced if each not in silenced])
        self._silenced = silenced

    def _set_runtime(self, namespace: str, pod: str, key: str, value: str) -> bool:
        try:
            self._mesh.set_runtime(namespace, pod, key, value)
        except ChaosError:
            return False
        return True

    def remove(self) -> None:
        """Take every path away: the switch, then the staged part. Idempotent."""
        with self._lock:
            paths = [standing.path for standing in self._standing.values()]
            if not paths:
                return
            self._delete(paths, "switch")
            self._await(lambda: [lack for path in paths for lack in self._unswitched(path, None)])
            self._delete(paths, "stage")
            self._await(lambda: [lack for path in paths for lack in self._still_staged(path)])
            if self._silenced:
                self._give_voice()
            self._journal.removed(
                [(p.callers.namespace, names.object_name(p.name, part)) for p in paths for part in ("switch", "stage")]
            )
            self._standing.clear()

    def drift(self) -> str:
        """What the owners changed of what we copied, or of ours; empty if nothing."""
        with self._lock:
            for standing in self._standing.values():
                changed = self._drift_of(standing)
                if changed:
                    return changed
            return ""

    # -- in detail
    def _standing_on(self, ends: Ends) -> list[_Standing]:
        callers = {(c.namespace, c.workload, ends.callee.host) for c in ends.callers}
        return [each for each in self._standing.values() if each.key[:3] in callers]

    def _planned(self, ends: Ends) -> list[tuple[Key, PrivatePath]]:
        """Of each workload that calls: what stands, or what its virtual hosts for the callee would get."""
        standing = self._standing_on(ends)
        planned = []
        for callers in ends.callers:
            stand = [(each.key, each.path) for each in standing if each.key[:2] == (callers.namespace, callers.workload)]
            planned += stand or [self._plan_one(ends, callers, host) for host in self._virtual_hosts(ends, callers)]
        return planned

    def _virtual_hosts(self, ends: Ends, callers: Callers) -> list[str]:
        if not callers.gateway:
            return [f"{ends.callee.host}:{port.number}" for port in ends.callee.ports if port.http]
        found = leading.hosts_to(self._mesh.configuration(callers.pods[0]), ends.callee.host)
        if not found and ends.edge.caller is not None:
            raise Refused(
                f"{ends.edge}: no route of the gateway {callers.workload} leads to {ends.callee.host}; "
                "bind a VirtualService to its Gateway, or inject on another edge"
            )
        return found

    def _plan_one(self, ends: Ends, callers: Callers, virtual_host: str) -> tuple[Key, PrivatePath]:
        ports = [port for port in ends.callee.ports if port.http]
        path = private_path(
            name=names.path_name(self._mark.run, next(self._numbers)),
            edge=ends.edge,
            callers=callers,
            virtual_host=virtual_host,
            grpc=all(p.grpc for p in ports if callers.gateway or virtual_host == f"{ends.callee.host}:{p.number}"),
            configuration=self._agreed(callers, ends, virtual_host),
            only_to=ends.callee.host if callers.gateway else None,
        )
        return (callers.namespace, callers.workload, ends.callee.host, virtual_host), path

    def _agreed(self, callers: Callers, ends: Ends, virtual_host: str) -> Configuration:
        """One configuration for all pods of the workload. Raises Refused where they differ in what is copied."""
        only_to = ends.callee.host if callers.gateway else None
        seen = [(pod, self._mesh.configuration(pod)) for pod in callers.pods]
        first_pod, first = seen[0]
        wanted = copy_source(first, virtual_host, ends.edge, only_to)
        for pod, other in seen[1:]:
            if copy_source(other, virtual_host, ends.edge, only_to) != wanted:
                raise Refused(
                    f"{ends.edge}: {pod.id} and {first_pod.id} route {virtual_host} differently "
                    "(a rollout under way, or other localities); wait for the rollout, or name one version of the caller"
                )
        return first

    def _switch(self, standing: Sequence[_Standing], late: Callable[[], None] = lambda: None) -> None:
        for each in standing:
            each.maybe = [*each.maybe, *each.live]
        self._write([objects.switch(each.path, self._mark, each.live, each.by) for each in standing])
        self._await(lambda: [lack for each in standing for lack in self._unswitched(each.path, each.live)], late=late)
        for each in standing:
            each.maybe = []

    def _write(self, filters: Sequence[Mapping[str, Any]]) -> None:
        new = [key for f in filters if (key := names.key(f)) not in self._journalled]
        if new:  # so that an undo, which writes what is known already, never needs the disk
            self._journal.writing(new)
            self._journalled.update(new)
        self._mesh.apply(filters)

    def _delete(self, paths: Iterable[PrivatePath], part: str) -> None:
        self._mesh.delete([(path.callers.namespace, names.object_name(path.name, part)) for path in paths])

    def _await(
        self, lacking: Callable[[], list[str]], *, refused: Callable[[], str] = str, late: Callable[[], None] = lambda: None
    ) -> None:
        """Until nothing is lacking. Raises MeshFailure that lists the proxies that lag, and at once what `refused` tells.

        What takes away is never cut short by a refusal: it may be of somebody else's, and the proof is the same.
        """
        why, in_time = "", clock.Deadline.after(LATE)

        def over() -> bool:
            nonlocal why
            if not lacking():
                return True
            if in_time.passed:
                late()
            why = refused()
            return bool(why)

        done = clock.poll(over, deadline=clock.Deadline.after(IN_FORCE_WITHIN))
        if why:
            raise MeshFailure(why)
        if done is None:
            self._mesh.check()
            lags = lacking()
            raise MeshFailure(f"not in force after {IN_FORCE_WITHIN:g} s in {', '.join(lags[:5])}{' ...' if len(lags) > 5 else ''}")

    def _unstaged(self, path: PrivatePath) -> list[str]:
        return [f"{pod.id} ({name})" for pod in path.callers.pods for name in self._missing(pod, path)]

    def _missing(self, pod: Pod, path: PrivatePath) -> list[str]:
        pattern = _all_of(path)
        return [
            *in_force.missing(path.clusters, self._mesh.dump(pod, Resource.CLUSTERS, pattern)),
            *in_force.missing(path.listeners, self._mesh.dump(pod, Resource.LISTENERS, pattern)),
        ]

    def _still_staged(self, path: PrivatePath) -> list[str]:
        return [
            f"{pod.id} ({item['name']})"
            for pod in self._here(path)
            for kind in (Resource.LISTENERS, Resource.CLUSTERS)
            for item in self._mesh.dump(pod, kind, _all_of(path))
        ]

    def _unswitched(self, path: PrivatePath, live: Sequence[Live] | None) -> list[str]:
        """Pods that do not hold exactly the routes of `live` (None: no route of this path at all)."""
        wanted = [] if live is None else routes(path.name, self._mark, live, path.matches)
        pattern = "|".join(map(re.escape, path.route_configurations))
        return [
            pod.id
            for pod in self._here(path)
            if not in_force.switched(path, wanted, self._mesh.dump(pod, Resource.ROUTES, pattern))
        ]

    def _here(self, path: PrivatePath) -> list[Pod]:
        """Who is selected now: the callers that are still there, and those that came since, which hold what is sent from the start.

        What the proxy of a pod held that has gone has gone with it.
        """
        known, labels = {pod.id for pod in path.callers.pods}, dict(path.callers.labels)
        return [
            pod
            for pod in self._mesh.pods()
            if pod.id in known or (pod.proxy and pod.namespace == path.callers.namespace and pod.matches(labels))
        ]

    def _check_bystanders(self, paths: Sequence[PrivatePath], sample: int = 3) -> None:
        """No other workload's proxy may show anything of ours."""
        mine = {pod.id for path in paths for pod in self._here(path)}
        standing = {pod.id for s in self._standing.values() for pod in self._here(s.path)}
        others = [pod for pod in self._mesh.pods() if pod.proxy and pod.id not in mine | standing]
        pattern = re.escape(f"{names.PREFIX}.{self._mark.run}.") + ".*"
        for pod in itertools.islice(others, sample):
            if self._mesh.dump(pod, Resource.LISTENERS, pattern):
                raise MeshFailure(
                    f"{pod.id} holds listeners of ours although no edge under test starts there; its labels match a caller's"
                )

    def _drift_of(self, standing: _Standing) -> str:
        path = standing.path
        here = {pod.id: pod for pod in self._here(path)}
        if gone := [pod.id for pod in path.callers.pods if pod.id not in here]:
            return f"{gone[0]} is gone, and was a caller when its private path was made"
        return next((changed for pod in here.values() if (changed := self._changed_in(pod, standing))), "")

    def _changed_in(self, pod: Pod, standing: _Standing) -> str:
        path = standing.path
        configuration = self._looked_at(pod, standing)
        try:
            now = copy_source(configuration, path.virtual_host, path.edge, standing.only_to)
        except Refused as refused:
            return f"{pod.id}: {refused}"
        if now != path.copied:  # dump against dump: even a default written out is a change
            return f"{pod.id}: the routes, clusters or endpoints of {path.virtual_host} changed while they were under test"
        if not in_force.switched(path, routes(path.name, self._mark, standing.live, path.matches), configuration.routes):
            return f"{pod.id}: our route to {path.virtual_host} is gone or was changed"
        if lacking := self._missing(pod, path):
            return f"{pod.id}: {lacking[0]} of the private path to {path.virtual_host} is gone or was changed"
        return ""

    def _looked_at(self, pod: Pod, standing: _Standing) -> Configuration:
        """What was copied, as the proxy holds it now: little is asked for unless listeners were copied from."""
        path = standing.path
        if path.copied["filters"]:
            return self._mesh.configuration(pod)
        clusters = path.copied["clusters"]
        names_of = {*clusters, *(c.get("eds_cluster_config", {}).get("service_name") or name for name, c in clusters.items())}
        part = self._mesh.part(pod, routes=path.route_configurations, clusters=sorted(names_of))
        try:
            copy_source(part, path.virtual_host, path.edge, standing.only_to)
        except Refused:  # it may lead to what was not asked for: the whole says what is true
            return self._mesh.configuration(pod)
        return part


def _all_of(path: PrivatePath) -> str:
    return re.escape(path.name) + r"(\..*)?"
