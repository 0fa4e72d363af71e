"""What does the load hit in tests? A real HTTP/1.1 server on loopback that behaves as the path says, and counts.

/ok /page           200, keeps the connection
/status/N           N, without a body
/hang               answers once `release` is set
/trickle            headers and a byte at once, the rest once `release` is set
/closes             reads the request, closes without a word
/resets             the same, with a reset
/fickle             answers the first request of a connection, closes on the second
/half               promises 100 bytes, sends 10, closes
/big                300 KiB
/varying            200 with a date of its own each time, else the same
/cookie             sets a cookie
/redirect           302 to /ok
/echo               the request's body
"""

from __future__ import annotations

import itertools
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from chaos.load.port import Requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


class Origin(ThreadingHTTPServer):
    """Listens from construction on; a context manager."""

    daemon_threads = False
    request_queue_size = 1024

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[Seen] = []
        self.release = threading.Event()
        self.numbers = itertools.count()
        self._connections: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def requests(self, path: str, **more: Any) -> Requests:
        return Requests(url=self.url + path, **more)

    def paths(self) -> list[str]:
        return [seen.path for seen in self.seen]

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news here."""

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self.shutdown()
        self._thread.join()
        for connection in self._connections:
            # Wakes the handlers that wait for another request; those that ended have closed theirs.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Origin

    def setup(self) -> None:
        super().setup()
        self.number = next(self.server.numbers)
        self.served = 0

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = self.path.split("?")[0]
        self.server.seen.append(Seen(method=self.command, path=path, headers=headers, body=body, connection=self.number))
        self.served += 1
        self.body = body
        action = path.split("/")[1]
        behaviour: Callable[[], None] = getattr(self, f"_{action}", self._ok)
        behaviour()

    do_POST = do_PUT = do_HEAD = do_GET  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _ok(self) -> None:
        self._answer(200, b"ok")

    def _status(self) -> None:
        self._answer(int(self.path.split("/")[2]))

    def _hang(self) -> None:
        self.server.release.wait()
        self._ok()

    def _trickle(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"o")
        self.server.release.wait()
        self.wfile.write(b"k")

    def _closes(self) -> None:
        self.close_connection = True

    def _resets(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _fickle(self) -> None:
        if self.served == 1:
            self._ok()
        else:
            self._closes()

    def _half(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "100")
        self.end_headers()
        self.wfile.write(b"0123456789")
        self.close_connection = True

    def _big(self) -> None:
        self._answer(200, b"x" * 300 * 1024)

    def _varying(self) -> None:
        self._answer(200, b"same", date=f"number {len(self.server.seen)}", x_envoy_upstream_service_time=str(self.served))

    def _cookie(self) -> None:
        self._answer(200, b"ok", set_cookie="session=abc; Path=/")

    def _redirect(self) -> None:
        self._answer(302, location="/ok")

    def _echo(self) -> None:
        self._answer(200, self.body)
