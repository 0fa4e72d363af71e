"""Who undoes when we are dead? A small process that waits for its runner's end and then does what the journal says.

Started before the first child process or change, in a session of its own, so that neither Ctrl-C nor the end of the terminal
reaches it. It waits on the runner's pidfd, which it inherits: no pid can be reused and no race is left at the start. Where there
are no pidfds it watches its parent. Once the journal names a cluster it connects there, so that nothing is left to be imported or
agreed upon when it has to act. The same code undoes by hand: `sweep`.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from chaos import clock
from chaos.errors import ChaosError, MeshFailure, UndoFailed
from chaos.mesh.port import Lease, Remains
from chaos.run import state
from chaos.run.cleaning import clear, remove
from chaos.run.ending import end_groups, stragglers
from chaos.run.journal import Left, left, process_start, troubled

PATIENCE = 60.0
"""Seconds for which an API server is asked again by somebody who waits for it."""
INSISTENCE = 900.0
"""The same, by a watchdog: nobody waits for it."""
VISITING = "visiting"
READY_WITHIN = 30.0
"""Seconds until it has imported a client and asked the API server once; usually one."""
CALL = 10.0
"""Seconds for which one call is tried again, at most: there is a journal, and a next try."""
LOOKS = 100
"""Milliseconds between two looks whether the journal names a cluster yet."""
GRACE = 0.5
"""Seconds between SIGTERM and SIGKILL: nobody is left who could want anything of these processes."""


def start(journal: Path, *, visiting: bool = False) -> subprocess.Popen[bytes]:
    """Start the watchdog of this process; `visiting` if a mesh will be written to that outlives it."""
    pidfd = os.pidfd_open(os.getpid()) if hasattr(os, "pidfd_open") else -1
    told = journal, pidfd, os.getpid()
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "chaos.run.watchdog", *map(str, told), *([VISITING] if visiting else [])],
            pass_fds=[pidfd] if pidfd >= 0 else [],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if visiting else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env={**os.environ, "PYTHONPATH": _import_path()},
        )
    finally:
        if pidfd >= 0:
            os.close(pidfd)


def await_ready(watchdog: subprocess.Popen[bytes]) -> None:
    """Until a watchdog that was started `visiting` could act at once: called when the journal names the mesh, before any write.

    Raises MeshFailure: nothing may be written that nobody would take away.
    """
    if watchdog.stdout is None:
        return
    with watchdog.stdout as told:
        readable, _, _ = select.select([told], [], [], READY_WITHIN)
        if not readable or not told.read(1):
            raise MeshFailure(f"the watchdog was not ready after {READY_WITHIN:g} s, or ended; without one nothing is injected")


def undo(journal: Path, *, patience: float = PATIENCE, remains: Remains | None = None) -> Left:
    """End and remove what a journal lists, then the journal itself. Returns what was found left.

    Processes and objects at the same time: a load must not go on while an API server does not answer, nor a fault while a process
    does not end. Raises UndoFailed; the journal stays then, for the next run and for `sweep`.
    """
    found = left(journal)
    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(_end, found)
        try:
            if found.reach and (found.objects or found.leases or found.silenced):
                _remove(found, remains, patience)
        except ChaosError as error:
            troubled(journal, str(error))
            on = f"run {found.run} on {found.mesh.get('name', 'its mesh')}"
            raise UndoFailed(f"{on} could not be undone, and its journal {journal} stays: {error}") from error
        finally:
            ending.result()
    journal.unlink(missing_ok=True)
    return found


def _remove(found: Left, remains: Remains | None, patience: float) -> None:
    """Objects first, by journal and by label; then the leases, so that others may have the callees at once."""
    if remains is None:
        from chaos.run import meshes

        remains = meshes.remains(found.reach, patience=min(patience, CALL))
    remove(remains, found.objects, run=found.run, patience=patience)
    clear(remains, found.silenced, patience=patience)
    for namespace, name in found.leases:
        remains.leases.release(Lease(namespace=namespace, name=name, holder=found.run, age=0.0, valid=0.0))


def _end(found: Left) -> None:
    """The process groups; afterwards `found` has those that were alive."""
    alive: list[int] = []
    # A child may have been started and not yet journalled, and one that is dying may have started another.
    groups = {**stragglers(found.runner), **found.groups}
    while ended := end_groups(groups, grace=GRACE):
        alive += ended
        groups = stragglers(found.runner)
    found.groups = {group: found.groups.get(group, 0) for group in alive}


def journals() -> Iterator[tuple[Path, Left, bool]]:
    """Every journal of this machine, what it says, and whether its owner is alive."""
    for journal in sorted(state.folder().glob("*.journal")):
        with suppress(FileNotFoundError):  # its watchdog was faster
            found = left(journal)
            yield journal, found, bool(found.pid) and _alive(found.pid, found.started)


def orphans() -> Iterator[Path]:
    """Journals whose owner is no longer alive."""
    for journal, _, alive in journals():
        if not alive:
            yield journal


def _alive(pid: int, started: int) -> bool:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, 0)
        return not started or process_start(pid) in (0, started)
    return False


def _wait_for_end(pidfd: int, pid: int, ready: Callable[[], bool]) -> None:
    """`ready` is called now and then until it says that it has nothing left to do."""
    if pidfd >= 0:
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        while not poller.poll(LOOKS):
            if ready():
                poller.poll()
                return
        return
    for step in clock.steps(0.05, most=0.2):
        if os.getppid() != pid:
            return
        ready()
        clock.pause(step)


class _Ready:
    """Connects to the cluster that the journal names, when it does."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._looked = False
        self.remains: Remains | None = None

    def __call__(self) -> bool:
        """True when there is nothing more to get ready."""
        if self._looked:
            return True
        with suppress(OSError):
            found = left(self._journal)
            self._looked = bool(found.mesh)
            if found.reach:
                self._connect(found.reach)
                os.write(sys.stdout.fileno(), b"1")
        return self._looked

    def _connect(self, reach: Mapping[str, str]) -> None:
        from chaos.run import meshes

        with suppress(ChaosError):  # it is tried again when it matters
            self.remains = meshes.remains(reach)
            self.remains.now()


def _import_path() -> str:
    """This package, found by a child wherever it was imported from."""
    return os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])


def main(arguments: list[str]) -> None:
    journal, pidfd, pid = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    # Only the runner's end, or a SIGTERM after it has undone everything itself, ends a watchdog: one that is meant for
    # everybody (a service manager, a cancelled CI job) comes while there is still something to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: None if journal.exists() else sys.exit(0))
    if VISITING in arguments:
        from chaos.run import meshes

        meshes.prepare()  # takes longer than a fault may be left on
    ready = _Ready(journal)
    _wait_for_end(pidfd, pid, ready)
    if journal.exists():
        with suppress(UndoFailed):  # it stands in the journal
            undo(journal, patience=INSISTENCE, remains=ready.remains)


if __name__ == "__main__":
    main(sys.argv[1:])
