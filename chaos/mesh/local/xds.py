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
from chaos.mesh.local.localise import ROUTES

CONFIRMED_WITHIN = 5.0
"""Seconds. Measured: 0.4 to 1.5 ms, 20 ms for a large LDS; a refusal is seen as soon."""


class Type(Enum):
    """The three subscriptions: file, type, and the statistics that tell what became of an update."""

    CLUSTERS = ("cds.json", "envoy.config.cluster.v3.Cluster", r"cluster_manager\.cds")
    LISTENERS = ("lds.json", "envoy.config.listener.v3.Listener", r"listener_manager\.lds")
    ROUTES = ("rds.json", "envoy.config.route.v3.RouteConfiguration", rf"http\..*\.rds\.{ROUTES}")

    @property
    def file(self) -> str:
        return self.value[0]

    @property
    def url(self) -> str:
        return f"type.googleapis.com/{self.value[1]}"

    @property
    def statistics(self) -> str:
        return self.value[2]


def of_type(configuration: Configuration, kind: Type) -> tuple[Resource, ...]:
    return {Type.CLUSTERS: configuration.clusters, Type.LISTENERS: configuration.listeners, Type.ROUTES: configuration.routes}[kind]


@dataclass(frozen=True, slots=True)
class Written:
    """An update that a proxy has not confirmed yet."""

    kind: Type
    version: str
    resources: tuple[Resource, ...]
    log_size: int
    """Of Envoy's log, before the update."""
    rejected: int
    """Updates of this type refused before this one."""


class Subscription:
    """One proxy's three files."""

    def __init__(self, admin: Admin, folder: Path, log: Path) -> None:
        self.admin = admin
        self._folder = folder
        self._log = log
        self._versions = itertools.count(1)
        self._rejected: dict[Type, int] = dict.fromkeys(Type, 0)
        self._taken: dict[Type, tuple[Resource, ...]] = dict.fromkeys(Type, ())

    def path(self, kind: Type) -> Path:
        return self._folder / kind.file

    def write(self, kind: Type, resources: tuple[Resource, ...]) -> Written:
        """The proxy sees it at once, and never half of it: a rename is atomic. Raises MeshFailure."""
        version = str(next(self._versions))
        body = {"version_info": version, "resources": [{"@type": kind.url, **resource} for resource in resources]}
        aside = self._folder / f".{kind.file}"
        try:
            log_size = self._log.stat().st_size if self._log.exists() else 0
            aside.write_text(json.dumps(body))
            aside.rename(self.path(kind))
        except OSError as error:
            raise MeshFailure(
                f"{self.path(kind)} cannot be written: {error.strerror}; {self.admin.proxy} keeps what it has"
            ) from error
        return Written(kind, version, resources, log_size, self._rejected[kind])

    def confirm(self, written: Written, deadline: Deadline) -> None:
        """Returns when the proxy has it. Raises MeshFailure with Envoy's reason when it refuses it or does not take it in time."""
        outcome = poll(lambda: self._outcome(written), deadline=deadline, first=0.0002, most=0.005)
        if outcome != "taken":
            raise MeshFailure(self._failure(written, refused=outcome == "refused"))
        self._taken[written.kind] = written.resources

    def _outcome(self, written: Written) -> str | None:
        names = f"^{written.kind.statistics}\\.version_text$"
        if written.version in self.admin.texts(names).values():
            return "taken"
        rejections = sum(self.admin.counters(f"^{written.kind.statistics}\\.update_rejected$").values())
        if rejections > written.rejected:
            self._rejected[written.kind] = rejections
            return "refused"
        return None

    def _failure(self, written: Written, *, refused: bool) -> str:
        verb = "refused" if refused else f"did not take within {CONFIRMED_WITHIN:g} s"
        before = {resource["name"]: resource for resource in self._taken[written.kind]}
        changed = ", ".join(str(r["name"]) for r in written.resources if before.get(r["name"]) != r)
        reason = self._reason(written) or f"no reason in {self._log}"
        return f"{self.admin.proxy} {verb} its {written.kind.name.lower()} ({self.path(written.kind)}; new: {changed}): {reason}"

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


_Update = tuple[Type, tuple[Resource, ...]]


def deliver(changes: Sequence[Change], *, finish: bool = False) -> None:
    """Bring every proxy from old to new. Raises EnvironmentFailure with Envoy's reason, the others' as notes.

    After a failure nobody knows what the proxies have: their next change has no `old`. The others stop where they are, or
    with `finish` go on to the end, as an undo must.
    """
    failed: dict[str, EnvironmentFailure] = {}
    for step in zip(*map(_updates, changes), strict=True):
        running = [
            (c.subscription, u) for c, u in zip(changes, step, strict=True) if u and c.subscription.admin.proxy not in failed
        ]
        failed |= _write(running)
        if failed and not finish:
            break
    if failed:
        first, *others = failed.values()
        for other in others:
            first.add_note(str(other))
        raise first


def _write(updates: Sequence[tuple[Subscription, _Update]]) -> dict[str, EnvironmentFailure]:
    """One update for each proxy, all written before the first is confirmed; who failed."""
    failed: dict[str, EnvironmentFailure] = {}
    pending: list[tuple[Subscription, Written]] = []
    for subscription, update in updates:
        try:
            pending.append((subscription, subscription.write(*update)))
        except EnvironmentFailure as failure:
            failed[subscription.admin.proxy] = failure
    deadline = Deadline.after(CONFIRMED_WITHIN)
    for subscription, written in pending:
        try:
            subscription.confirm(written, deadline)
        except EnvironmentFailure as failure:
            failed[subscription.admin.proxy] = failure
    return failed


def _updates(change: Change) -> Iterator[_Update | None]:
    """What each of the five steps writes; None where it changes nothing."""
    old, new = change.old, change.new
    if old is None:
        # Routes first: what is to end ends at once, and what routes of before lead to has never been removed.
        yield from (None, None, *((kind, of_type(new, kind)) for kind in (Type.ROUTES, Type.LISTENERS, Type.CLUSTERS)))
        return
    kept = {kind: of_type(new, kind) + _only_in(of_type(old, kind), of_type(new, kind)) for kind in Type}
    for kind in (Type.CLUSTERS, Type.LISTENERS):
        yield (kind, kept[kind]) if _differ(kept[kind], of_type(old, kind)) else None
    yield (Type.ROUTES, new.routes) if _differ(new.routes, old.routes) else None
    for kind in (Type.LISTENERS, Type.CLUSTERS):
        yield (kind, of_type(new, kind)) if len(kept[kind]) > len(of_type(new, kind)) else None


def _only_in(old: Sequence[Resource], new: Sequence[Resource]) -> tuple[Resource, ...]:
    names = {resource["name"] for resource in new}
    return tuple(resource for resource in old if resource["name"] not in names)


def _differ(these: Sequence[Resource], those: Sequence[Resource]) -> bool:
    """In any order: Envoy tells resources apart by name. What nobody has changed is the same object, so this is quick."""
    return {r["name"]: r for r in these} != {r["name"]: r for r in those}
