"""Which service behaves as it is told? An HTTP/1.1 server for tests of what proxies make of good and bad answers.

The path lists what to do at the first, second ... attempt of a request (`x-envoy-attempt-count`), the last for all further ones:

    /                 200, as everything that means nothing else
    /503              503; any status
    /hang             never answers; over when the caller has gone
    /close            closes the connection without an answer
    /hold             200 once somebody has asked for /release
    /503,200          503 to the first attempt, 200 to the others
    /503?at=v1        what it says at pods whose name begins with v1, 200 at others
    /held             how many requests of this Host have been held so far

Answers are JSON: pod, path and headers as they arrived. What is held is told apart by Host. Standard library only: it has to
start fast.
"""

from __future__ import annotations

import json
import os
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

POD = os.environ.get("POD_NAME", "")
PATIENCE = 20.0
"""Seconds after which a held request is answered by itself: a failing test must not leave threads behind."""


releases: defaultdict[str, threading.Event] = defaultdict(threading.Event)
held: defaultdict[str, int] = defaultdict(int)


class Callee(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        host = self.headers.get("host", "")
        match self._asked():
            case "hang":
                self.rfile.read(1)
                self.close_connection = True
            case "close":
                self.close_connection = True
            case "hold":
                held[host] += 1
                releases[host].wait(PATIENCE)
                self._answer(200)
            case "release":
                releases[host].set()
                self._answer(200)
            case "held":
                self._answer(200, held=held[host])
            case asked:
                self._answer(int(asked) if asked.isdigit() else 200)

    do_POST = do_GET  # noqa: N815 - http.server's name

    def _asked(self) -> str:
        url = urlsplit(self.path)
        at = parse_qs(url.query).get("at", [""])[0]
        attempts = url.path.strip("/").split(",")
        number = int(self.headers.get("x-envoy-attempt-count", 1))
        return attempts[min(number, len(attempts)) - 1] if POD.startswith(at) else ""

    def _answer(self, status: int, **more: object) -> None:
        headers = {name.lower(): ",".join(self.headers.get_all(name, ())) for name in self.headers}
        body = json.dumps({"pod": POD, "path": self.path, "headers": headers, **more}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


if __name__ == "__main__":
    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer.request_queue_size = 128
    ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Callee).serve_forever()
