"""What of ours may nobody need any more, and how is it taken away? For whoever comes after a run, without its memory.

An object is dead when its lease is not alive or is another run's, or when its deadline has passed. The switch goes before the
staged part, with time between for the proxies to hear of it: a route to a cluster that is not there answers 503.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from chaos import clock
from chaos.errors import ChaosError, UndoFailed
from chaos.injection import names
from chaos.injection.names import ANNOTATION_DEADLINE, ANNOTATION_LEASE, LABEL_RUN, REAPER
from chaos.mesh.port import Lease, Remains

SETTLES: Final = 2.0
"""Seconds for a control plane to tell the proxies of a change; and for a write that was under way when its writer died."""
SLACK: Final = 2.0
"""Seconds by which ages may be wrong, as an API server's clock has whole seconds."""
FORGOTTEN: Final = 10
"""A dead lease is taken away when it has not been renewed for so many times what it holds."""

Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An object of ours, as it is in a mesh."""

    namespace: str
    name: str
    run: str
    lease: str
    deadline: str
    dead: str
    """Why nobody needs it any more; empty while a run that lives does."""

    @property
    def key(self) -> Key:
        return self.namespace, self.name


def standing(remains: Remains) -> list[Standing]:
    """Every object there, and whether it is dead. Leases are read after the objects: what stood has had one by then."""
    found = remains.ours()
    if not found:
        return []
    leases: dict[str, Lease | None] = {lease.id: lease for lease in remains.leases.all()}
    for name in {_annotated(an_object, ANNOTATION_LEASE) for an_object in found} - leases.keys():
        leases[name] = _elsewhere(remains, name)
    now = remains.now()
    return [_standing(an_object, leases, now) for an_object in found]


def sweep(remains: Remains) -> list[str]:
    """Take away what is dead; one line for each object. Raises UndoFailed."""
    dead = [each for each in standing(remains) if each.dead]
    remove(remains, [each.key for each in dead])
    for lease in remains.leases.all():
        if lease.name != REAPER and lease.age > FORGOTTEN * lease.valid:
            remains.leases.release(lease)
    return [f"run {each.run}: removed {each.namespace}/{each.name}: {each.dead}" for each in dead]


def remove(remains: Remains, keys: Collection[Key], *, run: str = "", patience: float = 60.0) -> None:
    """Take these away, and with `run` all of that run; proven by another look. Raises UndoFailed after `patience` seconds."""
    deadline = clock.Deadline.after(patience)
    switches = [key for key in keys if key[1].endswith("-switch")]
    if switches:
        _insist(lambda: _gone(remains, switches), deadline)
    others = [key for key in keys if key not in switches]
    if others or run:
        if switches:
            clock.pause(SETTLES)
        _insist(lambda: _gone(remains, [*others, *_of(remains, run)]), deadline)


def clear(remains: Remains, silenced: Sequence[tuple[str, str, str]], *, patience: float = 60.0) -> None:
    """Take keys (namespace, pod, key) out of the runtime of proxies, once these hold nothing of the path any more.

    Before that they are what keeps its faults off. Raises UndoFailed.
    """
    if silenced:
        deadline = clock.Deadline.after(patience)
        _insist(lambda: [each[:2] for each in silenced if not _cleared(remains, *each)], deadline)


def _cleared(remains: Remains, namespace: str, pod: str, key: str) -> bool:
    if remains.listens(namespace, pod, re.escape(key.rpartition(".")[0]) + r"\..*"):
        return False
    remains.set_runtime(namespace, pod, key, "")
    return True


def _of(remains: Remains, run: str) -> list[Key]:
    """What stands of a run, the switches first."""
    found = [names.key(o) for o in remains.ours() if run and o["metadata"]["labels"].get(LABEL_RUN) == run]
    return sorted(found, key=lambda key: not key[1].endswith("-switch"))


def _gone(remains: Remains, keys: Sequence[Key]) -> list[Key]:
    """Delete; what is still there."""
    remains.delete(keys)
    return [key for o in remains.ours() if (key := names.key(o)) in keys]


def _insist(step: Callable[[], Sequence[Key]], deadline: clock.Deadline) -> None:
    """Until the step leaves nothing. Raises UndoFailed when the deadline has passed."""
    for pause in clock.steps(0.1, most=5.0):
        left: Iterable[str]
        try:
            if not (keys := step()):
                return
            left = [f"{namespace}/{name} is still there" for namespace, name in keys]
        except ChaosError as error:
            left = [str(error)]
        if deadline.passed:
            raise UndoFailed(f"what a run left may still be in force: {'; '.join(left)}")
        clock.pause(min(pause, deadline.left))


def _annotated(an_object: Mapping[str, Any], key: str) -> str:
    return str((an_object["metadata"].get("annotations") or {}).get(key, ""))


def _elsewhere(remains: Remains, name: str) -> Lease | None:
    """A lease in a namespace that is not listed here: a callee's, where only the caller's was asked for."""
    namespace, _, short = name.partition("/")
    return remains.leases.find(namespace, short) if short else None


def _standing(an_object: Mapping[str, Any], leases: Mapping[str, Lease | None], now: datetime) -> Standing:
    metadata = an_object["metadata"]
    run = (metadata.get("labels") or {}).get(LABEL_RUN, "")
    lease, deadline = _annotated(an_object, ANNOTATION_LEASE), _annotated(an_object, ANNOTATION_DEADLINE)
    return Standing(
        namespace=metadata["namespace"],
        name=metadata["name"],
        run=run,
        lease=lease,
        deadline=deadline,
        dead=_overdue(deadline, now) or _unowned(run, lease, leases.get(lease)),
    )


def _overdue(deadline: str, now: datetime) -> str:
    try:
        passed = datetime.fromisoformat(deadline).astimezone(UTC) < now
    except ValueError:
        return ""  # the lease tells
    return f"its deadline {deadline} has passed" if passed else ""


def _unowned(run: str, name: str, lease: Lease | None) -> str:
    if lease is None:
        return f"there is no lease {name}" if name else "it names no lease"
    if lease.holder != run:
        return f"its lease {name} is held by {lease.holder or 'nobody'}"
    if lease.age > lease.valid + SLACK:
        return f"its lease {name} was not renewed for {lease.age:.0f} s"
    return ""
