"""Who undoes when we are dead? A small process that waits for its runner's end and then does what the journal says.

Started before the first child process or change, in a session of its own, so that neither Ctrl-C nor the end of the terminal
reaches it. It waits on the runner's pidfd, which it inherits: no pid can be reused and no race is left at the start. Where there
are no pidfds it watches its parent. The same code undoes by hand: `sweep`.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from chaos import clock
from chaos.run import state
from chaos.run.ending import end_groups, stragglers
from chaos.run.journal import Left, left, process_start

GRACE = 0.5
"""Seconds between SIGTERM and SIGKILL: nobody is left who could want anything of these processes."""


def start(journal: Path) -> subprocess.Popen[bytes]:
    """Start the watchdog of this process."""
    pidfd = os.pidfd_open(os.getpid()) if hasattr(os, "pidfd_open") else -1
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "chaos.run.watchdog", str(journal), str(pidfd), str(os.getpid())],
            pass_fds=[pidfd] if pidfd >= 0 else [],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env={**os.environ, "PYTHONPATH": _import_path()},
        )
    finally:
        if pidfd >= 0:
            os.close(pidfd)


def undo(journal: Path) -> Left:
    """End and remove what a journal lists, then the journal itself. Returns what was found left."""
    found = left(journal)
    alive: list[int] = []
    # A child may have been started and not yet journalled, and one that is dying may have started another.
    groups = {**stragglers(found.runner), **found.groups}
    while ended := end_groups(groups, grace=GRACE):
        alive += ended
        groups = stragglers(found.runner)
    found.groups = {group: found.groups.get(group, 0) for group in alive}
    journal.unlink(missing_ok=True)
    return found


def orphans() -> Iterator[Path]:
    """Journals whose owner is no longer alive."""
    for journal in sorted(state.folder().glob("*.journal")):
        try:
            found = left(journal)
        except FileNotFoundError:
            continue  # its watchdog was faster
        if not found.pid or not _alive(found.pid, found.started):
            yield journal


def _alive(pid: int, started: int) -> bool:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, 0)
        return not started or process_start(pid) in (0, started)
    return False


def _wait_for_end(pidfd: int, pid: int) -> None:
    if pidfd >= 0:
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        poller.poll()
        return
    for step in clock.steps(0.05, most=0.2):
        if os.getppid() != pid:
            return
        clock.pause(step)


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
    _wait_for_end(pidfd, pid)
    if journal.exists():
        undo(journal)


if __name__ == "__main__":
    main(sys.argv[1:])
