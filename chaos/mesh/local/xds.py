"""How does a proxy get its configuration? As three files: written aside, renamed, and confirmed by the proxy before the next.

The order loses no request: clusters come before the listeners and routes that name them and go after them. Several proxies
are taken through each step together, since Envoys work while we wait.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from chaos.clock import Deadline, poll
from chaos.envoy.configuration import Configuration, Resource
from chaos.errors import EnvironmentFailure, MeshFailure
from chaos.mesh.local.admin import Admin
from chaos.mesh.local.bootstrap import routes_file

CONFIRMED_WITHIN = 5.0
"""Seconds. Measured: 0.4 to 1.5 ms, 20 ms for a large LDS; a refusal is seen as soon."""


class Type(Enum):
    """The types of resources, as Envoy names them."""

    CLUSTERS = "envoy.config.cluster.v3.Cluster"
    LISTENERS = "envoy.config.listener.v3.Listener"
    ROUTES = "envoy.config.route.v3.RouteConfiguration"

    @property
    def url(self) -> str:
        return f"type.googleapis.com/{self.value}"


@dataclass(frozen=True, slots=True)
class Source:
    """One file that a proxy watches: all clusters, all listeners, or the one route configuration of that name."""

    kind: Type
    name: str = ""

    @property
    def file(self) -> str:
        return {Type.CLUSTERS: "cds.json", Type.LISTENERS: "lds.json", Type.ROUTES: routes_file(self.name)}[self.kind]

    @property
    def statistics(self) -> str:
        """What they begin with (a regular expression); they tell what became of an update."""
        return {
            Type.CLUSTERS: r"cluster_manager\.cds",
            Type.LISTENERS: r"listener_manager\.lds",
            Type.ROUTES: rf"http\..*\.rds\.{re.escape(self.name)}",
        }[self.kind]


CLUSTERS = Source(Type.CLUSTERS)
LISTENERS = Source(Type.LISTENERS)


def sources(configuration: Configuration) -> dict[Source, tuple[Resource, ...]]:
    """Everything, by the file it is in; route configurations last."""
    routes = {Source(Type.ROUTES, str(routes["name"])): (routes,) for routes in configuration.routes}
    return {CLUSTERS: configuration.clusters, LISTENERS: configuration.listeners, **routes}


@dataclass(frozen=True, slots=True)
class Written:
    """An update that a proxy has not confirmed yet."""

    source: Source
    version: str
    resources: tuple[Resource, ...]
    log_size: int
    """Of Envoy's log, before the update."""
    rejected: int
    """Updates of this file refused before this one."""


class Subscription:
    """One proxy's files."""

    def __init__(self, admin: Admin, folder: Path, log: Path) -> None:
        self.admin = admin
        self._folder = folder
        self._log = log
        self._versions = itertools.count(1)
        self._rejected: dict[Source, int] = {}
        self._taken: dict[Source, tuple[Resource, ...]] = {}

    def path(self, source: Source) -> Path:
        return self._folder / source.file

    def write(self, source: Source, resources: tuple[Resource, ...]) -> Written:
        """The proxy sees it at once, and never half of it: a rename is atomic. Raises MeshFailure."""
        version = str(next(self._versions))
        body = {"version_info": version, "resources": [{"@type": source.kind.url, **resource} for resource in resources]}
        aside = self._folder / f".{source.file}"
        try:
            log_size = self._log.stat().st_size if self._log.exists() else 0
            aside.write_text(json.dumps(body))
            aside.rename(self.path(source))
        except OSError as error:
            raise MeshFailure(
                f"{self.path(source)} cannot be written: {error.strerror}; {self.admin.proxy} keeps what it has"
            ) from error
        return Written(source, version, resources, log_size, self._rejected.get(source, 0))

    def confirm(self, written: Written, deadline: Deadline) -> None:
        """Returns when the proxy has it. Raises MeshFailure with Envoy's reason when it refuses it or does not take it in time."""
        outcome = poll(lambda: self._outcome(written), deadline=deadline, first=0.0002, most=0.005)
        if outcome != "taken":
            raise MeshFailure(self._failure(written, refused=outcome == "refused"))
        self._taken[written.source] = written.resources

    def watches(self, source: Source) -> bool:
        """Does the proxy read this file? A route configuration's only while a listener names it."""
        return bool(self.admin.texts(f"^{source.statistics}\\.version_text$"))

    def _outcome(self, written: Written) -> str | None:
        names = f"^{written.source.statistics}\\.version_text$"
        if written.version in self.admin.texts(names).values():
            return "taken"
        rejections = sum(self.admin.counters(f"^{written.source.statistics}\\.update_rejected$").values())
        if rejections > written.rejected:
            self._rejected[written.source] = rejections
            return "refused"
        return None

    def _failure(self, written: Written, *, refused: bool) -> str:
        source = written.source
        verb = "refused" if refused else f"did not take within {CONFIRMED_WITHIN:g} s"
        before = {resource["name"]: resource for resource in self._taken.get(source, ())}
        changed = ", ".join(str(r["name"]) for r in written.resources if before.get(r["name"]) != r)
        reason = self._reason(written) or f"no reason in {self._log}"
        return f"{self.admin.proxy} {verb} its {source.kind.name.lower()} ({self.path(source)}; new: {changed}): {reason}"

    def _reason(self, written: Written) -> str:
        """What Envoy logged since the file was written."""
        with self._log.open("rb") as log:
            log.seek(written.log_size)
            text = log.read().decode(errors="replace")
        found = re.search(r"update rejected: (.*?)(?=\n\[\d{4}-|\Z)", text, re.DOTALL)
        return (found.group(1) if found else text).strip()


@dataclass(frozen=True, slots=True)
class Change:
    """From what a proxy has to what it is to have. `old` None: nobody knows, since an earlier change was cut short."""

    subscription: Subscription
    old: Configuration | None
    new: Configuration


_Update = tuple[Source, tuple[Resource, ...]]


@dataclass(frozen=True, slots=True)
class _Step:
    """What is written to one proxy before anything else is. `placed`: for listeners to find, and not yet watched."""

    updates: tuple[_Update, ...] = ()
    placed: tuple[_Update, ...] = ()
    only_watched: bool = False
    """Nobody knows which of these files the proxy reads: those it does not read need no confirmation."""


def deliver(changes: Sequence[Change], *, finish: bool = False) -> None:
    """Bring every proxy from old to new. Raises EnvironmentFailure with Envoy's reason, the others' as notes.

    After a failure nobody knows what the proxies have: their next change has no `old`. The others stop where they are, or
    with `finish` go on to the end, as an undo must.
    """
    failed: dict[str, EnvironmentFailure] = {}
    for steps in zip(*map(_steps, changes), strict=True):
        both = zip((change.subscription for change in changes), steps, strict=True)
        failed |= _write([(subscription, step) for subscription, step in both if subscription.admin.proxy not in failed])
        if failed and not finish:
            break
    if failed:
        first, *others = failed.values()
        for other in others:
            first.add_note(str(other))
        raise first


def _write(steps: Sequence[tuple[Subscription, _Step]]) -> dict[str, EnvironmentFailure]:
    """One step for each proxy, all written before the first is confirmed; who failed."""
    failed: dict[str, EnvironmentFailure] = {}
    pending: list[tuple[Subscription, Written]] = []
    for subscription, step in steps:
        try:
            for placed in step.placed:
                subscription.write(*placed)
            for update in step.updates:
                awaited = not step.only_watched or subscription.watches(update[0])
                written = subscription.write(*update)
                if awaited:
                    pending.append((subscription, written))
        except EnvironmentFailure as failure:
            failed[subscription.admin.proxy] = failure
    deadline = Deadline.after(CONFIRMED_WITHIN)
    for subscription, written in pending:
        try:
            subscription.confirm(written, deadline)
        except EnvironmentFailure as failure:
            failed.setdefault(subscription.admin.proxy, failure)
    return failed


def _steps(change: Change) -> Iterator[_Step]:
    """Five for every change; those that change nothing are empty."""
    old, new = change.old, change.new
    if old is None:
        # Routes first: what is to end ends at once, and what routes of before lead to has never been removed.
        yield from (_Step(), _Step(), _Step(_routes(new), only_watched=True))
        yield from (_Step(((LISTENERS, new.listeners),)), _Step(((CLUSTERS, new.clusters),)))
        return
    clusters = new.clusters + _only_in(old.clusters, new.clusters)
    listeners = new.listeners + _only_in(old.listeners, new.listeners)
    routes = _changed(old.routes, new.routes)
    names = {routes["name"] for routes in old.routes}
    yield _Step(((CLUSTERS, clusters),) if _differ(clusters, old.clusters) else ())
    yield _Step(
        ((LISTENERS, listeners),) if _differ(listeners, old.listeners) else (),
        placed=tuple((source, of) for source, of in routes if source.name not in names),
    )
    yield _Step(routes)
    yield _Step(((LISTENERS, new.listeners),) if len(listeners) > len(new.listeners) else ())
    yield _Step(((CLUSTERS, new.clusters),) if len(clusters) > len(new.clusters) else ())


def _routes(configuration: Configuration) -> tuple[_Update, ...]:
    return tuple((source, of) for source, of in sources(configuration).items() if source.kind is Type.ROUTES)


def _changed(old: Sequence[Resource], new: Sequence[Resource]) -> tuple[_Update, ...]:
    before = {routes["name"]: routes for routes in old}
    return tuple((Source(Type.ROUTES, str(r["name"])), (r,)) for r in new if before.get(r["name"]) != r)


def _only_in(old: Sequence[Resource], new: Sequence[Resource]) -> tuple[Resource, ...]:
    names = {resource["name"] for resource in new}
    return tuple(resource for resource in old if resource["name"] not in names)


def _differ(these: Sequence[Resource], those: Sequence[Resource]) -> bool:
    """In any order: Envoy tells resources apart by name. What nobody has changed is the same object, so this is quick."""
    return {r["name"]: r for r in these} != {r["name"]: r for r in those}
