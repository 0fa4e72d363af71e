"""What did a proxy of the cluster write down? Our lines out of a container's log, followed from the moment a path of ours is made.

Kubelet keeps the log, and cuts it anew when it has grown (10 MiB by default, which own traffic fills in a minute): so it is
followed and not read again and again, as a follower is carried over such a cut. When the connection drops, reading goes on at the
second of the last line and skips what is known. Lines that were lost are a reason to believe nothing: then reading raises.

Is everything there that was written? A proxy counts what took a route of ours; as many streams must have begun in its log.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from chaos import clock
from chaos.errors import Forbidden, MeshFailure, NotFound
from chaos.mesh.cluster.client import CONNECT_WITHIN, Client
from chaos.mesh.cluster.inventory import PROXY
from chaos.mesh.cluster.kinds import POD
from chaos.model.inventory import Pod

QUIET: Final = 20.0
"""Seconds after which a connection without a line is made anew: it may be dead."""
EARLIER: Final = timedelta(seconds=60)
KEPT: Final = 8 * 1024 * 1024
"""Bytes that were read and may be asked for again."""
_MARK: Final = b'"istio_chaos"'
_STARTED: Final = re.compile(rb'"event":\s*"DownstreamStart"')
_PATH: Final = re.compile(rb'"private_path":\s*"([^"]+)"')
_CALL: Final = re.compile(rb'"istio_chaos":\s*"call"')


class Follower:
    """The log of one pod's proxy, from now on. `close` ends it."""

    def __init__(self, client: Client, pod: Pod) -> None:
        self._client = client
        self._pod = pod
        self._written = bytearray()
        self._dropped = 0
        """Bytes at the head that were read long ago."""
        self._calls: Counter[str] = Counter()
        """Calls seen to begin, by private path."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._response: Any = None
        self._trouble = ""
        # A node's clock may be behind the API server's; older lines are of no path that we know.
        self._last = _Last((client.now() - EARLIER).strftime("%Y-%m-%dT%H:%M:%SZ"))
        self._thread = threading.Thread(target=self._run, name=f"istio-chaos-log-{pod.id}", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raises MeshFailure once lines were lost."""
        with self._lock:
            if self._trouble:
                raise MeshFailure(self._trouble)

    @property
    def end(self) -> int:
        with self._lock:
            return self._dropped + len(self._written)

    def read(self, offset: int) -> tuple[bytes, int]:
        """(what was appended since, the next offset). Raises MeshFailure once lines were lost."""
        self.check()
        with self._lock:
            found = bytes(self._written[max(0, offset - self._dropped) :])
            end = self._dropped + len(self._written)
            if offset - self._dropped > KEPT:
                del self._written[: offset - self._dropped]
                self._dropped = offset
            return found, end

    def calls(self, path: str) -> int:
        """How many calls on this private path were read to have begun."""
        with self._lock:
            return self._calls[path]

    def close(self) -> None:
        self._stop.set()
        response = self._response
        if response is not None:
            with suppress(Exception):  # it may be over already, in any way
                response.shutdown()
        self._thread.join(timeout=QUIET)

    # -- in its thread
    def _run(self) -> None:
        for step in clock.steps(0.05, most=0.5):
            if self._stop.is_set():
                return
            try:
                self._follow()
            except NotFound:
                return  # the pod is gone, and its log with it
            except (Forbidden, _Lost) as error:
                with self._lock:
                    self._trouble = str(error)
                return
            except Exception:
                pass
            if clock.pause(min(step, 0.2), unless=self._stop):
                return

    def _follow(self) -> None:
        response = self._response = self._opened()
        try:
            for line in _lines(response):
                if self._stop.is_set():
                    return
                self._take(line)
        finally:
            self._response = None
            with suppress(Exception):
                response.close()

    def _opened(self) -> Any:
        query = [("container", PROXY), ("follow", "true"), ("timestamps", "true"), ("sinceTime", self._last.second)]
        self._last.again()
        path = POD.path(self._pod.namespace, self._pod.name, "log")
        return self._client.stream(path, query, timeout=(CONNECT_WITHIN, QUIET))

    def _take(self, line: bytes) -> None:
        stamp, _, text = line.partition(b" ")
        if not self._last.is_new(stamp.decode(errors="replace")):
            return
        if self._last.lost:
            raise _Lost(
                f"lines of the log of {self._pod.id} were lost: it was cut while nobody could read it. "
                "Raise the kubelets' containerLogMaxSize, or send less load"
            )
        if _MARK not in text:
            return
        with self._lock:
            self._written += text + b"\n"
            if _STARTED.search(text) and _CALL.search(text) and (path := _PATH.search(text)):
                self._calls[path[1].decode()] += 1


class _Lost(MeshFailure):
    """What was not read cannot be read any more."""


class _Last:
    """Up to which line was read? Kubelet's stamps are in nanoseconds, and what it can be asked for is in seconds."""

    def __init__(self, second: str) -> None:
        self.second = second
        self.lost = False
        self._stamp = ""
        self._same = 0
        """Lines with this very stamp."""
        self._skipped = 0
        self._catching_up = False

    def again(self) -> None:
        """The log is read again from `second` on."""
        self._catching_up = bool(self._stamp)
        self._skipped = 0

    def is_new(self, stamp: str) -> bool:
        key = _comparable(stamp)
        if self._catching_up:
            known = _comparable(self._stamp)
            if key < known:
                return False
            if key == known and self._skipped < self._same:
                self._skipped += 1
                return False
            # The last line must have been there again: if it was not, others that followed it may be gone as well.
            self.lost = self._skipped < self._same
            self._catching_up = False
        self._same = self._same + 1 if stamp == self._stamp else 1
        self._stamp = stamp
        self.second = f"{stamp[:19]}Z"
        return True


def _comparable(stamp: str) -> tuple[str, str]:
    """RFC 3339 with as many digits of a second as there are; kubelet leaves zeros at the end out."""
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    return whole, fraction.ljust(9, "0")


def _lines(response: Any) -> Iterator[bytes]:
    """Whole lines as they come; what is left at the end without its line feed was cut, and comes again."""
    rest = b""
    for chunk in response.stream(64 * 1024, decode_content=False):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole


def taken(counters: Mapping[str, int]) -> dict[str, int]:
    """How many requests took each route of ours, by its name, from `vhost.<host>.route.<name>.upstream_rq_total`."""
    found: Counter[str] = Counter()
    for name, value in counters.items():
        head, _, route = name.removesuffix(".upstream_rq_total").rpartition(".route.")
        if head:
            found[route] += value
    return dict(found)
