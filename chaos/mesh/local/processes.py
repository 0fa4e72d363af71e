"""How are children started and ended? Each in a session of its own, so that a Ctrl-C in the terminal reaches pytest alone.

Their process group is what ends them: an application may have started children too. What a child writes goes to a file of
its instance; when it dies, the end of that file is the message.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chaos.clock import Deadline, poll
from chaos.errors import MeshFailure

Spawned = Callable[[int, str], None]
"""(process group, what it is): called right after each start, so that a watchdog knows of it."""
GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL."""
_LINES = 20
_TAIL = 64 * 1024


@dataclass(slots=True, kw_only=True, eq=False)
class Child:
    """One process of ours with its session."""

    what: str
    """As messages call it: `sidecar of reviews-v2.bookinfo`."""
    log: Path
    """Where it explains itself."""
    _process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def pid(self) -> int:
        """Of the process, its session and its process group."""
        return self._process.pid

    def exited(self) -> int | None:
        """Exit status (negative: the signal) once it is gone, None while it runs."""
        if self._process.returncode is None and self._process.poll() is not None:
            # At once, while the group's id cannot have been given to anybody else.
            self._signal(signal.SIGKILL)
        return self._process.returncode

    def check(self) -> None:
        """Raises MeshFailure with its last lines if it is gone."""
        status = self.exited()
        if status is not None:
            raise MeshFailure(f"{self.what} {_ended(status)}; its last lines ({self.log}):\n{last_lines(self.log)}")

    def terminate(self) -> None:
        if self.exited() is None:
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        if self.exited() is None:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
            os.killpg(self._process.pid, number)


def start(
    command: Sequence[str],
    *,
    what: str,
    cwd: Path,
    env: Mapping[str, str],
    output: Path,
    errors: Path | None = None,
    inherit: Iterable[int] = (),
    spawned: Spawned,
) -> Child:
    """Standard output goes to `output`, standard error to `errors` or there too. Raises MeshFailure if it cannot be started."""
    try:
        with output.open("ab") as out, (errors or output).open("ab") as err:
            process = subprocess.Popen(
                command, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                start_new_session=True, pass_fds=tuple(inherit),
            )  # fmt: skip
    except OSError as error:
        reason = f"cannot start {command[0]!r} in {cwd}: {error.strerror}"
        raise MeshFailure(f"{what}: {reason}; check its command and cwd under local.workloads") from error
    child = Child(what=what, log=errors or output, _process=process)
    try:
        spawned(process.pid, what)
    except BaseException:
        child.kill()
        raise
    return child


def end(children: Sequence[Child], grace: float = GRACE) -> None:
    """SIGTERM to all, SIGKILL to what is left after `grace` seconds. Idempotent."""
    for child in children:
        child.terminate()
    poll(lambda: all(child.exited() is not None for child in children), deadline=Deadline.after(grace), first=0.002, most=0.02)
    for child in children:
        child.kill()


def last_lines(log: Path, count: int = _LINES) -> str:
    """The end of a log, indented; says so if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL))
            lines = file.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        lines = []
    return "\n".join(f"    {line}" for line in lines) or "    (it wrote nothing)"


def _ended(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
