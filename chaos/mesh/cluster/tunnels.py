"""How is something inside a pod reached? By the API server's port-forward, and by exec where that is not allowed.

Both are WebSockets whose messages begin with the number of a channel. The official client's own classes for them have no time-outs,
swap a method of the shared ApiClient for the length of a call, and move bytes in a thread whose errors nobody hears of
(kubernetes 37.0.2, `stream/ws_client.py`); so its configuration is used, and `websocket-client`, which it stands on, directly.
A port-forward is one connection to the port: a tunnel has a socket's methods, as `http.client` wants them.
"""

from __future__ import annotations

import http.client
import io
import json
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from chaos.clock import Deadline
from chaos.errors import ApiFailure, Forbidden, NotFound, Unreachable
from chaos.mesh.cluster.client import Client, Wanted
from chaos.mesh.cluster.kinds import POD

if TYPE_CHECKING:
    from websocket import WebSocket

OPENED_WITHIN: Final = 10.0
_PROTOCOL: Final = "v4.channel.k8s.io"
_DATA, _STDOUT, _STDERR, _STATUS = 0, 1, 2, 3
_AT_ONCE: Final = 256 * 1024
"""Bytes in one message to the server."""


class Tunnel:
    """One connection to one port of a pod, for one thread at a time; `close` may come from another."""

    def __init__(self, client: Client, namespace: str, pod: str, port: int) -> None:
        self._where = f"port {port} of {pod}.{namespace}"
        path = POD.path(namespace, pod, "portforward")
        self._socket = _opened(client, path, [("ports", str(port))], Wanted("connect", POD, namespace, "portforward"), self._where)
        self._begun = {_DATA: False, 1: False}
        self._rest = b""

    # -- as a socket
    def sendall(self, data: Any) -> None:
        whole = bytes(data) if isinstance(data, (bytes, bytearray, memoryview)) else b"".join(bytes(part) for part in data)
        import websocket

        for start in range(0, len(whole), _AT_ONCE):
            try:
                self._socket.send_binary(bytes([_DATA]) + whole[start : start + _AT_ONCE])
            except websocket.WebSocketTimeoutException as error:
                raise TimeoutError(f"{self._where} takes nothing more") from error
            except websocket.WebSocketException as error:
                raise ConnectionError(f"{self._where}: {error}") from error

    def recv(self, most: int) -> bytes:
        """b"" at its end. Raises ConnectionError where the pod refused, TimeoutError."""
        while not self._rest:
            data = self.message()
            if data == b"":
                return b""
            self._rest = data or b""
        data, self._rest = self._rest[:most], self._rest[most:]
        return data

    def message(self) -> bytes | None:
        """What the next message brings, b"" at the end; None for one without data, which is no end."""
        if self._rest:
            data, self._rest = self._rest, b""
            return data
        message = _message(self._socket)
        if message is None:
            return b""
        channel, data = message
        if channel > 1:
            raise ConnectionError(f"{self._where}: a message on channel {channel}, which was never opened")
        if not self._begun[channel]:  # each channel begins with the port's number
            self._begun[channel] = True
            return None
        if channel != _DATA:
            raise ConnectionRefusedError(f"{self._where}: {' '.join(data.decode(errors='replace').split())[:256]}")
        return data or None

    def makefile(self, mode: str = "rb", *_: object, **__: object) -> io.BufferedReader:
        assert "r" in mode
        return io.BufferedReader(_Reader(self))

    def settimeout(self, seconds: float | None) -> None:
        self._socket.settimeout(seconds)

    def fileno(self) -> int:
        return self._socket.sock.fileno() if self._socket.sock else -1

    def pending(self) -> bool:
        """Something can be read although the socket shows nothing: TLS decrypts whole records."""
        return bool(self._rest) or (isinstance(self._socket.sock, ssl.SSLSocket) and self._socket.sock.pending() > 0)

    def close(self) -> None:
        """Wakes up whoever reads. Idempotent."""
        _end(self._socket)


class _Reader(io.RawIOBase):
    """What `http.client` reads an answer from; closing it leaves the tunnel open."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._tunnel.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class TunnelledHTTP(http.client.HTTPConnection):
    """HTTP over a tunnel, which is opened when it is needed."""

    def __init__(self, client: Client, namespace: str, pod: str, port: int, *, timeout: float) -> None:
        super().__init__("localhost", port, timeout=timeout)
        self._to = (client, namespace, pod, port)

    def connect(self) -> None:
        tunnel = Tunnel(*self._to)
        tunnel.settimeout(self.timeout)
        self.sock: Any = tunnel


def execute(client: Client, namespace: str, pod: str, container: str, command: Sequence[str], *, timeout: float) -> bytes:
    """Standard output of a command in a container. Raises Forbidden, NotFound, Unreachable, ApiFailure where it failed."""
    what = f"{' '.join(command[:3])} in {pod}.{namespace}"
    query = [("container", container), ("stdout", "true"), ("stderr", "true"), *(("command", part) for part in command)]
    opened = _opened(client, POD.path(namespace, pod, "exec"), query, Wanted("connect", POD, namespace, "exec"), what)
    said: dict[int, list[bytes]] = {_STDOUT: [], _STDERR: [], _STATUS: []}
    deadline = Deadline.after(timeout)
    try:
        while not said[_STATUS]:
            opened.settimeout(max(0.001, deadline.left))
            message = _message(opened)
            if message is None:
                break
            said.setdefault(message[0], []).append(message[1])
    except OSError as error:
        raise Unreachable(f"{what} did not end: {error or type(error).__name__}") from error
    finally:
        _end(opened)
    _check_status(b"".join(said[_STATUS]), b"".join(said[_STDERR]), what)
    return b"".join(said[_STDOUT])


def _check_status(status: bytes, errors: bytes, what: str) -> None:
    try:
        told = json.loads(status) if status else {"message": "the connection closed before it had ended"}
    except ValueError:
        told = {"message": status.decode(errors="replace")}
    if told.get("status") != "Success":
        text = " ".join((errors.decode(errors="replace") or str(told.get("message"))).split())[:256]
        raise ApiFailure(f"{what} failed: {text}")


def _opened(client: Client, path: str, query: Sequence[tuple[str, str]], about: Wanted, what: str) -> WebSocket:
    """Raises Forbidden with the rule to add, NotFound, Unreachable."""
    import websocket

    url, headers = client.url(path, query)
    opened = websocket.WebSocket(sslopt=_tls(client.access.configuration), enable_multithread=True)
    told = [f"{key}: {value}" for key, value in headers.items() if key.lower() in ("authorization", "user-agent")]
    try:
        opened.connect(
            "ws" + url.removeprefix("http"),
            header=told,
            subprotocols=[_PROTOCOL],
            timeout=OPENED_WITHIN,
            suppress_origin=True,
            **_proxy(client.access.configuration),
        )
    except websocket.WebSocketBadStatusException as refused:
        _end(opened)
        raise _refusal(client, refused, about, what) from refused
    except (OSError, websocket.WebSocketException) as error:
        _end(opened)
        reason = " ".join(str(error or type(error).__name__).split())[:256]
        raise Unreachable(f"{what}: no connection by way of {client.server} (context {client.context}): {reason}") from error
    return opened


def _refusal(client: Client, refused: Any, about: Wanted, what: str) -> Exception:
    body = refused.resp_body or b""
    try:
        told = str(json.loads(body).get("message"))
    except (ValueError, AttributeError):
        told = body.decode(errors="replace")
    told = " ".join(told.split())[:256] or f"status {refused.status_code}"
    match refused.status_code:
        case 401 | 403:
            return Forbidden(f"{what}: {told}. {about.rule(client.context)}")
        case 404:
            return NotFound(f"{what}: {told}")
        case _:
            return Unreachable(f"{what}: {client.server} (context {client.context}) does not open a connection: {told}")


def _end(opened: WebSocket) -> None:
    """At once: `close` would wait for the other side to agree."""
    if opened.sock:
        with suppress(OSError):
            opened.sock.shutdown(socket.SHUT_RDWR)
    opened.shutdown()


def _message(opened: WebSocket) -> tuple[int, bytes] | None:
    """(channel, data); None at the end. Raises TimeoutError, ConnectionError."""
    import websocket

    while True:
        try:
            opcode, data = opened.recv_data()
        except websocket.WebSocketTimeoutException as error:
            raise TimeoutError("no answer in time") from error
        except websocket.WebSocketConnectionClosedException:
            return None
        except websocket.WebSocketException as error:
            raise ConnectionError(str(error)) from error
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            return None
        if data:
            return data[0], data[1:]


def _tls(configuration: Any) -> dict[str, Any]:
    """As the client's own requests are made."""
    options: dict[str, Any] = {"cert_reqs": ssl.CERT_REQUIRED if configuration.verify_ssl else ssl.CERT_NONE}
    if not configuration.verify_ssl or configuration.assert_hostname is False:
        options["check_hostname"] = False
    given = {
        "ca_certs": configuration.ssl_ca_cert if configuration.verify_ssl else None,
        "certfile": configuration.cert_file,
        "keyfile": configuration.key_file,
        "server_hostname": configuration.tls_server_name,
    }
    return options | {key: value for key, value in given.items() if value}


def _proxy(configuration: Any) -> dict[str, Any]:
    from urllib.parse import urlsplit

    if not configuration.proxy:
        # Without this the library would look into the environment by itself.
        return {"http_no_proxy": ["*"]}
    proxy = urlsplit(configuration.proxy)
    options: dict[str, Any] = {"http_proxy_host": proxy.hostname, "http_proxy_port": proxy.port, "proxy_type": proxy.scheme}
    if configuration.no_proxy:
        options["http_no_proxy"] = configuration.no_proxy.split(",")
    return options
