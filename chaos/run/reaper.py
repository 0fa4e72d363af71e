"""Who undoes when the whole machine is lost? A loop in the cluster: what has no living lease, or is overdue, goes.

It says that it is there by a lease of its own in each namespace, renewed after each pass that went through; without it no run
injects. Two of them are no harm: both may remove, and one has the lease.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from chaos.errors import ChaosError, Occupied
from chaos.injection.names import REAPER
from chaos.mesh.port import Remains
from chaos.run.cleaning import SLACK, sweep

EVERY: Final = 5.0
"""Seconds between two passes, at most."""
SOONEST: Final = 0.25
"""Seconds to the next pass where a lease is about to die."""
VALID: Final = 20.0
"""Seconds for which a pass counts as a sign of life."""


class Reaper:
    """Of some namespaces."""

    def __init__(self, remains: Remains, namespaces: Sequence[str], holder: str, tell: Callable[[str], None]) -> None:
        self._remains = remains
        self._namespaces = tuple(namespaces)
        self._holder = holder
        self._tell = tell

    def look(self) -> bool:
        """One pass; whatever fails is told, and tried again by the next. True if it went through."""
        try:
            for line in sweep(self._remains):
                self._tell(line)
            for namespace in self._namespaces:
                with suppress(Occupied):  # another one has it, and does the same
                    self._remains.leases.acquire(namespace, REAPER, self._holder, valid=VALID)
        except ChaosError as error:
            self._tell(f"this pass failed: {error}")
            return False
        return True

    def rest(self) -> float:
        """Seconds until the next pass: it comes when the next lease dies, so that a fault does not wait for the round as well.

        Leases of runs that live are renewed long before that, and cost no further pass.
        """
        try:
            leases = self._remains.leases.all()
        except ChaosError:
            return EVERY
        left = [lease.valid + SLACK - lease.age for lease in leases if lease.name != REAPER and lease.holder]
        # An API server tells whole seconds: a lease may be younger than it looks, and is looked at again until it is dead.
        return min([EVERY, *(max(SOONEST, seconds) for seconds in left if seconds > -SLACK)])
