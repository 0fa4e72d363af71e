"""What does a gRPC client get? One call over a connection of its own, HTTP/2 with prior knowledge, messages of JSON."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived

from tests.grpc_callee import framed


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcAnswer:
    """How a call ended."""

    http_status: int
    headers: Mapping[str, str]
    trailers: Mapping[str, str]
    """Empty where everything came in the headers ("trailers-only")."""
    messages: tuple[Any, ...]

    @property
    def status(self) -> int:
        """grpc-status."""
        return int(self.trailers.get("grpc-status") or self.headers["grpc-status"])


def call(host: str, port: int, method: str, *, authority: str, metadata: Mapping[str, str], timeout: float) -> GrpcAnswer:
    """Send one empty message to `method` (`/package.Service/Method`). Raises OSError when the stream was reset or cut off."""
    http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    with closing(socket.create_connection((host, port), timeout=timeout)) as connection:
        http.initiate_connection()
        stream = http.get_next_available_stream_id()
        pseudo = {":method": "POST", ":scheme": "http", ":path": method, ":authority": authority}
        http.send_headers(stream, [*{**pseudo, "te": "trailers", "content-type": "application/grpc", **metadata}.items()])
        http.send_data(stream, framed(b"{}"), end_stream=True)
        return _answer(http, connection)


def _answer(http: H2Connection, connection: socket.socket) -> GrpcAnswer:
    headers: dict[str, str] = {}
    trailers: dict[str, str] = {}
    body = b""
    while True:
        connection.sendall(http.data_to_send())
        received = connection.recv(65536)
        if not received:
            raise ConnectionResetError("the connection was closed before the call was answered")
        for event in http.receive_data(received):
            match event:
                case ResponseReceived():
                    headers = {str(name): str(value) for name, value in event.headers}
                case TrailersReceived():
                    trailers = {str(name): str(value) for name, value in event.headers}
                case DataReceived():
                    body += event.data
                    http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case StreamReset():
                    raise ConnectionResetError(f"the call was reset: {event.error_code}")
                case StreamEnded():
                    return GrpcAnswer(
                        http_status=int(headers[":status"]), headers=headers, trailers=trailers, messages=_messages(body)
                    )


def _messages(body: bytes) -> tuple[Any, ...]:
    found = []
    while body:
        length = int.from_bytes(body[1:5], "big")
        found.append(json.loads(body[5 : 5 + length]))
        body = body[5 + length :]
    return tuple(found)
