"""What runs behind the sidecars in tests? A server that tells what it got, and calls others the way applications do.

    /echo                 pod, path and headers as they arrived
    /call?url=U           GET U through HTTP_PROXY, as most clients do, waiting `patience` seconds; what came back
    /direct?service=B     GET /echo at B_SERVICE_HOST:B_SERVICE_PORT, past HTTP_PROXY, as gRPC clients do
    /connect?to=H:P       CONNECT at the HTTP proxy
    /env                  the environment

Tracing headers are passed on by /call, as Istio asks applications to. With ECHO_EXIT it says so and exits before it listens. Standard library only: it has to start fast.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TIMEOUT = 10.0
TRACING = ("x-b3-", "b3", "traceparent", "tracestate", "baggage", "x-request-id", "end-user")


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        asked = dict(urllib.parse.parse_qsl(query))
        passed_on = {name: value for name, value in self.headers.items() if name.lower().startswith(TRACING)}
        answers = {"/call": partial(_call, headers=passed_on), "/direct": _direct, "/connect": _connect, "/env": _environment}
        body = json.dumps(answers.get(path, self._echo)(asked)).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _echo(self, _asked: dict[str, str]) -> dict[str, Any]:
        headers = {name.lower(): value for name, value in self.headers.items()}
        return {"pod": os.environ.get("POD_NAME"), "path": self.path, "headers": headers}

    def log_message(self, *_: object) -> None:
        pass


def _call(asked: dict[str, str], headers: dict[str, str]) -> dict[str, Any]:
    request = urllib.request.Request(asked["url"], headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=float(asked.get("patience", TIMEOUT))) as answer:
            return _answered(answer.status, answer.read())
    except urllib.error.HTTPError as error:
        return _answered(error.code, error.read())
    except OSError as error:
        return _answered(0, str(error).encode())


def _direct(asked: dict[str, str]) -> dict[str, Any]:
    host, port = (os.environ[f"{asked['service']}_SERVICE_{part}"] for part in ("HOST", "PORT"))
    connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT)
    connection.request("GET", "/echo", headers={"host": asked.get("host", f"{host}:{port}")})
    answer = connection.getresponse()
    return _answered(answer.status, answer.read())


def _connect(asked: dict[str, str]) -> dict[str, Any]:
    proxy = urllib.parse.urlsplit(os.environ["HTTP_PROXY"])
    connection = http.client.HTTPConnection(proxy.hostname or "", proxy.port, timeout=TIMEOUT)
    connection.request("CONNECT", asked["to"], headers={"host": asked["to"]})
    answer = connection.getresponse()
    return _answered(answer.status, answer.read())


def _environment(_asked: dict[str, str]) -> dict[str, Any]:
    return dict(os.environ)


def _answered(status: int, body: bytes) -> dict[str, Any]:
    return {"status": status, "body": body.decode()}


if __name__ == "__main__":
    if "ECHO_EXIT" in os.environ:
        sys.exit(f"cannot start: {os.environ['ECHO_EXIT']}")
    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Echo).serve_forever()
