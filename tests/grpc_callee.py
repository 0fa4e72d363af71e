"""Which gRPC service behaves as it is told? HTTP/2 with prior knowledge and gRPC's framing, and nothing generated.

    any method              one message: JSON with pod, method and headers as they arrived; grpc-status 0 in the trailers
    a method .../Count      as many such messages as x-count says
    x-answer: 14,0          trailers only with grpc-status 14 to the first attempt of a call (`x-envoy-attempt-count`), then 0
    x-answer: late-14       one message, then grpc-status 14 in the trailers
    x-answer: hang          never an answer

One thread per connection; the messages are small, so nothing waits for flow control.
"""

from __future__ import annotations

import json
import os
import socketserver
from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, RequestReceived, StreamEnded, StreamReset

POD = os.environ.get("POD_NAME", "")
HEAD: Final = [(":status", "200"), ("content-type", "application/grpc")]


def framed(message: bytes) -> bytes:
    """gRPC's length-prefixed message, not compressed."""
    return b"\0" + len(message).to_bytes(4, "big") + message


class Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.http.initiate_connection()
        self.request.sendall(self.http.data_to_send())
        self.calls: dict[int, dict[str, str]] = {}
        while received := self.request.recv(65536):
            for event in self.http.receive_data(received):
                match event:
                    case RequestReceived():
                        self.calls[event.stream_id] = {str(name): str(value) for name, value in event.headers}
                    case StreamEnded():
                        self._answer(event.stream_id, self.calls.pop(event.stream_id))
                    case StreamReset():
                        self.calls.pop(event.stream_id, None)
                    case ConnectionTerminated():
                        return
            self.request.sendall(self.http.data_to_send())

    def _answer(self, stream: int, headers: dict[str, str]) -> None:
        attempts = headers.get("x-answer", "0").split(",")
        answer = attempts[min(int(headers.get("x-envoy-attempt-count", "1")), len(attempts)) - 1]
        if answer == "hang":
            return
        status = answer.removeprefix("late-")
        trailers = [("grpc-status", status), *([("grpc-message", f"as told: {status}")] if status != "0" else [])]
        if answer not in ("0", f"late-{status}"):
            self.http.send_headers(stream, [*HEAD, *trailers], end_stream=True)
            return
        count = int(headers.get("x-count", "1")) if headers[":path"].endswith("/Count") else 1
        self.http.send_headers(stream, HEAD)
        for number in range(count):
            told = {"pod": POD, "method": headers[":path"], "headers": headers, "number": number}
            self.http.send_data(stream, framed(json.dumps(told).encode()))
        self.http.send_headers(stream, trailers, end_stream=True)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    Server((os.environ["HOST"], int(os.environ["PORT"])), Connection).serve_forever()
