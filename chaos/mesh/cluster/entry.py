"""How does load get in? A listener of this machine whose connections go on through port-forwards, each in one of its own.

Port-forwards lead to a gateway or to `istio-chaos-load`, and never to an application's pod: there a connection would come from the
pod's loopback and pass by its sidecar. Every connection looks for a pod anew, so that one that goes takes only its own connections
with it; those are remembered, as requests that were cut by the way and not by the system under test.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from chaos import clock
from chaos.errors import ChaosError
from chaos.mesh.cluster.client import Client
from chaos.mesh.cluster.tunnels import Tunnel
from chaos.model.inventory import Pod

OPENED_WITHIN: Final = 10.0
"""Seconds in which a connection has to find its way in."""
_LOOK: Final = 0.5
"""Seconds between two looks whether the listener was closed."""
_AT_ONCE: Final = 64 * 1024


class Way:
    """A listener on the loopback interface. `close` ends it and every connection."""

    def __init__(self, client: Client, choose: Callable[[], Pod], port: int, *, connect_to: str = "") -> None:
        """`connect_to` is asked of the pod by HTTP CONNECT, `host:port`; without it the port itself is meant."""
        self._client = client
        self._choose = choose
        self._port = port
        self._connect_to = connect_to
        self._stop = threading.Event()
        self._lost: list[tuple[int, str]] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._listener.settimeout(_LOOK)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, name="istio-chaos-way-in", daemon=True)
        self._thread.start()

    def lost(self, start: int, end: int) -> str:
        """Why connections were lost between two monotonic moments (ns), if any were."""
        with self._lock:
            found = [reason for at, reason in self._lost if start <= at <= end]
        return f"{len(found)} connections of the port-forward to the entry were lost: {found[0]}" if found else ""

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), name="istio-chaos-way-in", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                tunnel = self._opened()
                try:
                    self._carry(connection, tunnel)
                finally:
                    tunnel.close()
            except (OSError, ChaosError) as error:
                with self._lock:
                    self._lost.append((clock.now(), str(error) or type(error).__name__))

    def _opened(self) -> Tunnel:
        deadline = clock.Deadline.after(OPENED_WITHIN)
        for step in clock.steps(0.05):
            try:
                return self._once()
            except (OSError, ChaosError):
                if deadline.passed or clock.pause(min(step, deadline.left), unless=self._stop):
                    raise
        raise AssertionError("steps() is endless")  # pragma: no cover

    def _once(self) -> Tunnel:
        pod = self._choose()
        tunnel = Tunnel(self._client, pod.namespace, pod.name, self._port)
        if self._connect_to:
            try:
                tunnel.sendall(f"CONNECT {self._connect_to} HTTP/1.1\r\nHost: {self._connect_to}\r\n\r\n".encode())
                with tunnel.makefile() as answer:
                    status = answer.readline(256)
                    while answer.readline(1024).strip():
                        pass
                if status.split()[1:2] != [b"200"]:
                    raise ConnectionError(
                        f"{pod.id} does not connect to {self._connect_to}: {status.decode(errors='replace').strip()}"
                    )
            except BaseException:
                tunnel.close()
                raise
        return tunnel

    def _carry(self, connection: socket.socket, tunnel: Tunnel) -> None:
        """Bytes both ways until one side ends. What the application breaks off is its own business."""
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            selector.register(tunnel, selectors.EVENT_READ)
            while not self._stop.is_set():
                ready = [] if tunnel.pending() else [key.fileobj for key, _ in selector.select(_LOOK)]
                if tunnel in ready or tunnel.pending():
                    answer = tunnel.message()
                    if answer == b"":
                        return
                    with suppress(BrokenPipeError, ConnectionResetError):  # who asked is gone
                        connection.sendall(answer or b"")
                if connection in ready:
                    try:
                        data = connection.recv(_AT_ONCE)
                    except ConnectionResetError:
                        return
                    if not data:
                        return
                    tunnel.sendall(data)
