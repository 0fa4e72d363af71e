"""Where does Locust live? In a process of its own, started here, spoken to over a socket pair, and ended without a trace.

Importing locust patches sockets and threads of the importing process; after httpx or kubernetes this ends in a
RecursionError inside ssl (locust#2250). Hence the child; the test process must not even have locust imported.

The child is the leader of a session of its own, so that a Ctrl-C in the terminal does not reach it, and it ends by itself
when the other end of its socket closes, that is when this process dies in whatever way.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from chaos.clock import Deadline, poll
from chaos.errors import ConfigurationError, LoadFailure
from chaos.load.locust.wire import FAILED, READY, Message

START_UP: Final = 30.0
"""Seconds a child may take to import Locust (0.4 s on an idle machine)."""
FAREWELL: Final = 2.0
"""Seconds between closing the socket and killing what is left of the child's process group."""
LAST_LINES: Final = 20

_PROXIES: Final = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})


def refuse_locust_in_process() -> None:
    """Raises ConfigurationError when this process has imported locust, which breaks ssl, httpx and kubernetes in it."""
    if "locust" in sys.modules:
        raise ConfigurationError(
            "locust is imported in the process that runs pytest, where its monkey patching breaks other libraries; "
            'import it only in a locustfile, name that file in the test (locustfile("shop.py", user="Shopper")), and '
            "run pytest with -p no:locust if Locust's own pytest plugin is what imports it"
        )


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The child's environment: no proxies, no settings of Locust, and our two packages importable from a checkout too."""
    kept = {
        name: value for name, value in inherited.items() if name.lower() not in _PROXIES and not name.upper().startswith("LOCUST_")
    }
    path = [*_import_path(), *filter(None, [kept.get("PYTHONPATH")])]
    if path:
        kept["PYTHONPATH"] = os.pathsep.join(path)
    return kept


def _import_path() -> list[str]:
    """Folders of `chaos` and `locust_chaos`, but for site-packages, which must not come before the standard library."""
    root = Path(__file__).resolve().parents[3]
    found = importlib.util.find_spec("locust_chaos")
    plugin = Path(found.origin).resolve().parent.parent if found and found.origin else root / "plugins"
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    return [str(folder) for folder in dict.fromkeys([root, plugin]) if folder not in installed]


class Child:
    """One process running `python -m locust_chaos`. Spawning does not wait; `wait_ready` does. Safe from several threads."""

    def __init__(self, folder: Path, *, spawned: Callable[[int], None] | None, env: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="locust-", dir=folder))
        self.log = self.folder / "log"
        self._lock = threading.RLock()
        self._said: dict[tuple[int, str], Message] = {}
        self._torn = b""
        self._closed = False
        self._control, theirs = socket.socketpair()
        with theirs, self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-u", "-P", "-m", "locust_chaos", str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                env=environment(env),
                start_new_session=True,
            )
        if spawned is not None:
            try:
                spawned(self._process.pid)
            except BaseException:
                self.close()  # nobody would end a process that is in no journal
                raise

    def wait_ready(self) -> None:
        """Raises LoadFailure when Locust is not up within START_UP seconds."""
        self.answer(0, READY, deadline=Deadline.after(START_UP))

    def tell(self, message: Message) -> None:
        """Raises LoadFailure when there is nobody to tell."""
        with self._lock:
            try:
                self._control.sendall(json.dumps(message).encode() + b"\n")
            except OSError as error:
                raise LoadFailure(self.obituary()) from error

    def answer(self, flow: int, *kinds: str, deadline: Deadline) -> Message:
        """The child's word on this flow, once it is one of `kinds`. Raises LoadFailure if it dies or keeps silent."""

        def heard() -> Message | None:
            # Asked first: what a dying child said last is read afterwards.
            alive = self.alive
            for kind in kinds:
                if message := self.said(flow, kind):
                    return message
            if not alive:
                raise LoadFailure(self.obituary())
            return None

        message = poll(heard, deadline=deadline, most=0.01)
        if message is None:
            raise LoadFailure(f"Locust's process ({self.pid}) did not say {' or '.join(kinds)} in time{self.last_lines()}")
        return message

    def said(self, flow: int, kind: str) -> Message | None:
        """The latest message of this kind about this flow, if there was one."""
        with self._lock:
            self._listen()
            return self._said.get((flow, kind))

    def check(self, flow: int) -> None:
        """Raises LoadFailure when the process is dead or has said that this flow failed."""
        alive = self.alive
        if failed := self.said(flow, FAILED):
            raise LoadFailure(f"the load failed: {failed['why']}{self.last_lines()}")
        if not alive:
            raise LoadFailure(self.obituary())

    @property
    def pid(self) -> int:
        """Also the id of its process group and session."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        if self._closed or self._process.returncode is not None:
            return False
        # Without reaping: as long as the dead leader is not waited for, nobody else can get its group id.
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def obituary(self) -> str:
        return f"Locust's process ({self.pid}) has ended{self.last_lines()}"

    def last_lines(self) -> str:
        """The tail of an error message: where the log is, and its end."""
        lines = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return f"; its log {self.log} ends with:\n" + "\n".join(f"    {line}" for line in lines or ["(nothing)"])

    def close(self) -> None:
        """End the process and all of its group. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._control.close()
            poll(lambda: not self.alive, deadline=Deadline.after(FAREWELL), most=0.01)
            self._closed = True
            # A locustfile may have started processes of its own.
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()

    def _listen(self) -> None:
        while not self._closed:
            try:
                data = self._control.recv(65536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                return  # the child's end is gone; `alive` says so
            if not data:
                return
            *lines, self._torn = (self._torn + data).split(b"\n")
            for line in lines:
                message = json.loads(line)
                self._said[message.get("flow", 0), message["did"]] = message
