"""Is the callee ours, and still? The leases of one process of a run: taken at the first mention, renewed by a heartbeat.

A run has each of its callees until it ends, and shares them among its workers, experiments and injections. Who has one already
never waits for another, so that no two runs ever wait for each other. Every write asks first; when a lease was not renewed in time
(the machine slept, the process was stopped, nobody answered), somebody else may have the callee, and this run only undoes from
then on.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Final

from chaos import clock
from chaos.clock import NS, RealTime
from chaos.errors import ChaosError, LeaseLost, Occupied
from chaos.injection import names
from chaos.mesh.port import Lease, Leases
from chaos.model.inventory import Service
from chaos.run.journal import Journal

EVERY: Final = 5.0
"""Seconds between two renewals."""
VALID: Final = 20.0
"""Seconds for which a renewal holds, by the mesh's clock."""
FRESH: Final = 1.0
"""Seconds for which a write believes the last renewal."""


class Tenure:
    """Safe to use from several threads."""

    def __init__(self, leases: Leases, journal: Journal, run: str, *, wait: float = 0.0) -> None:
        self.lost = ""
        """Why nothing may be written any more; empty while everything may."""
        self._leases = leases
        self._journal = journal
        self._run = run
        self._wait = wait
        self._held: dict[str, Lease] = {}
        self._real = RealTime()
        self._renewed = 0
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._heart: threading.Thread | None = None

    def take(self, callee: Service) -> Lease:
        """Have this callee for the run. Raises Occupied that names the holder, at once where another callee is held already."""
        with self._lock:
            self.check()
            if callee.host in self._held:
                return self._held[callee.host]
            name = names.lease_name(callee.host)
            self._journal.leasing(callee.namespace, name)
            lease = self._acquired(callee, name, clock.Deadline.after(0 if self._held else self._wait))
            self._held[callee.host] = lease
            self._renewed = self._real.now()
            if self._heart is None:
                self._heart = threading.Thread(target=self._beats, name="istio-chaos-heartbeat", daemon=True)
                self._heart.start()
            return lease

    def lease_id(self, callee: Service) -> str:
        """Under which lease objects for this callee are written."""
        return f"{callee.namespace}/{names.lease_name(callee.host)}"

    def check(self) -> None:
        """Before every write that is no undo. Raises LeaseLost, or what keeps us from knowing."""
        with self._lock:
            if self._held and self._real.now() - self._renewed > FRESH * NS:
                self._renew()
            if self.lost:
                raise LeaseLost(self.lost)

    def beat(self) -> None:
        """Renew all. Nobody who does not answer is taken for an end: the leases' own clock says when it is one."""
        with self._lock, suppress(ChaosError):
            if not self.lost:
                self._renew()

    def close(self, *, undone: bool) -> None:
        """No more heartbeats. With everything `undone` others may have the callees; else the leases run out, for the reaper."""
        self._stop.set()
        if self._heart is not None:
            self._heart.join()
        with self._lock:
            held, self._held = list(self._held.values()), {}
            if undone:
                for lease in held:
                    self._leases.release(lease)

    # -- in detail
    def _acquired(self, callee: Service, name: str, deadline: clock.Deadline) -> Lease:
        for step in clock.steps(0.2, most=2.0):
            try:
                return self._leases.acquire(callee.namespace, name, self._run, valid=VALID, about=callee.host)
            except Occupied as occupied:
                if deadline.passed:
                    if self._held:
                        mine = ", ".join(sorted(self._held))
                        occupied.add_note(f"this run holds {mine} already, and who holds one callee never waits for another")
                    raise
            clock.pause(min(step, deadline.left))
        raise AssertionError("steps() is endless")  # pragma: no cover

    def _renew(self) -> None:
        try:
            for lease in self._held.values():
                self._leases.renew(lease)
        except LeaseLost as lost:
            self.lost = str(lost)
            return
        self._renewed = self._real.now()

    def _beats(self) -> None:
        while not clock.pause(EVERY, unless=self._stop):
            self.beat()
