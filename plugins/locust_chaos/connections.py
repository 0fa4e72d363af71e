"""What must Locust's HTTP clients do differently here? Send once, and know whether a connection was fresh.

- geventhttpclient (FastHttpUser) resends on a closed connection, up to pool size + 2 times whatever `max_retries` says: 12
  requests on the wire for one call, measured on 2.6. Retries of the load would be taken for retries of the mesh.
- Whether a connection was reused tells a server that closed an idle connection from one that broke a request.
- Its look at idle connections uses select(), which takes every file descriptor from 1024 on for dead.
- It loses the connection, and its place in the pool, when a request is given up while it is still being sent.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any

import gevent.socket
import geventhttpclient.client
import urllib3.connectionpool
from gevent.local import local
from gevent.monkey import get_original
from geventhttpclient.connectionpool import ConnectionPool, SSLConnectionPool

_original_poll: Callable[[], Any] = get_original("select", "poll")


class _Latest(local):  # type: ignore[misc]  # gevent is not typed
    """The connection that this greenlet took last."""

    reused = False
    pool: Tracked | None = None
    socket: gevent.socket.socket | None = None


_latest = _Latest()


class Tracked(ConnectionPool):
    """A pool that knows where its connections are."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # HTTPClient.request allows itself size + 1 further attempts and reads this attribute for nothing else.
        self.size = -1
        self._taken: set[gevent.socket.socket] = set()

    def get_socket(self) -> gevent.socket.socket:
        _latest.reused = True
        sock = super().get_socket()
        self._taken.add(sock)
        _latest.pool, _latest.socket = self, sock
        return sock

    def return_socket(self, sock: gevent.socket.socket) -> None:
        self._taken.discard(sock)
        super().return_socket(sock)

    def release_socket(self, sock: gevent.socket.socket) -> None:
        self._taken.discard(sock)
        super().release_socket(sock)

    def abandon(self, sock: gevent.socket.socket) -> None:
        """Give up a connection that is still taken; nothing if it was returned or released."""
        if sock in self._taken:
            self.release_socket(sock)

    def _create_socket(self) -> gevent.socket.socket:
        _latest.reused = False
        return super()._create_socket()

    def _is_socket_alive(self, sock: gevent.socket.socket | None) -> bool:
        if sock is None or sock.fileno() < 0:
            return False
        idle = _original_poll()
        idle.register(sock.fileno(), select.POLLIN)
        return not idle.poll(0)  # readable while idle: closed by the server, or out of step


class TrackedTLS(Tracked, SSLConnectionPool):
    """The same over TLS."""


def install() -> None:
    """Make every HTTP client of this process behave so. Once, before the first client exists."""
    geventhttpclient.client.ConnectionPool = Tracked  # type: ignore[attr-defined]
    geventhttpclient.client.SSLConnectionPool = TrackedTLS  # type: ignore[attr-defined]
    take = urllib3.connectionpool.HTTPConnectionPool._get_conn

    def tracked(self: urllib3.connectionpool.HTTPConnectionPool, timeout: float | None = None) -> Any:
        connection = take(self, timeout)
        _latest.reused = not connection.is_closed
        return connection

    urllib3.connectionpool.HTTPConnectionPool._get_conn = tracked  # type: ignore[method-assign]


def reused() -> bool:
    """Was the connection that this greenlet took last an idle one?"""
    return _latest.reused


def abandon() -> None:
    """After a failed request of this greenlet: give up its connection, if the client did not."""
    if _latest.pool is not None and _latest.socket is not None:
        _latest.pool.abandon(_latest.socket)
