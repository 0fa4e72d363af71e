"""Which application has the defects that claims are to find? A service that calls others as its query says, well or badly.

    /                         answers by itself
    /503?asks=back            calls http://back/503 by the method it was asked by, and passes on what comes back
    /503?asks=middle,back     calls http://middle/503?asks=back with the same arguments, which calls back

    patience=0.3              gives an attempt up after so many seconds; without, it waits for ever
    tries=8                   asks so often until it is answered well; without, once
    pause=0.1                 waits so long before it asks again
    writes=again              asks again for POST, too
    fallback=sorry            answers well all the same, with this note and the header x-degraded
    pool=a&room=4             so many requests that name this pool are served at once, others get 503: paths that name one share it
    forgets=never             asks with every later request for what once failed, too
    closes=never              has a breaker of its own that opens after 20 failures, for ever
    spread=0.05               takes a random time up to so many seconds

What it remembers it remembers for each query by itself. Answers are JSON: `stock` is what was answered, null if nothing was,
and `note`. Tracing headers are passed on, as Istio asks applications to. Standard library only: it has to start fast.
"""

from __future__ import annotations

import json
import os
import random
import threading
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

OLD = 2
"""Requests of old that are asked for again with a new one."""
OPENS = 20
TRACING = ("traceparent", "baggage", "b3", "x-b3-")

failed: defaultdict[str, int] = defaultdict(int)
"""Query -> how many of its requests were answered badly."""
pools: dict[str, threading.Semaphore] = {}
founding = threading.Lock()


class Flawed(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.arguments = dict(parse_qsl(url.query))
        status, stock = self._in_its_pool(url.path, url.query)
        self._pause(random.uniform(0, self._seconds("spread")))
        degraded = status >= 400 and "fallback" in self.arguments
        self._answer(200 if degraded else status, stock, degraded=degraded)

    do_POST = do_GET  # noqa: N815 - http.server's name

    def _in_its_pool(self, path: str, query: str) -> tuple[int, Any]:
        if "pool" not in self.arguments:
            return self._served(path, query)
        with founding:
            pool = pools.setdefault(self.arguments["pool"], threading.Semaphore(int(self.arguments["room"])))
        if not pool.acquire(blocking=False):
            return 503, None
        try:
            return self._served(path, query)
        finally:
            pool.release()

    def _served(self, path: str, query: str) -> tuple[int, Any]:
        if "asks" not in self.arguments:
            return 200, path
        if self.arguments.get("closes") == "never" and failed[query] >= OPENS:
            return 503, None
        if self.arguments.get("forgets") == "never":
            for _ in range(min(failed[query], OLD)):
                self._ask(path)
        status, stock = self._asked_until_answered(path)
        if status >= 500:
            failed[query] += 1
        return status, stock

    def _asked_until_answered(self, path: str) -> tuple[int, Any]:
        tries = int(self.arguments.get("tries", 1))
        if self.command == "POST" and self.arguments.get("writes") != "again":
            tries = 1
        status, stock = self._ask(path)
        for _ in range(tries - 1):
            if status < 500:
                break
            self._pause(self._seconds("pause"))
            status, stock = self._ask(path)
        return status, stock

    def _ask(self, path: str) -> tuple[int, Any]:
        """Once. 504 when patience is over, 502 when the connection was lost."""
        service, _, others = self.arguments["asks"].partition(",")
        query = f"?{urlencode({**self.arguments, 'asks': others})}" if others else ""
        headers = {name: value for name, value in self.headers.items() if name.lower().startswith(TRACING)}
        proxy = urlsplit(os.environ["HTTP_PROXY"])
        patience = self._seconds("patience") or None
        with closing(HTTPConnection(proxy.hostname or "", proxy.port, timeout=patience)) as connection:
            try:
                connection.request(self.command, f"http://{service}{path}{query}", headers={"host": service, **headers})
                answer = connection.getresponse()
                return answer.status, _read(answer.read())
            except TimeoutError:
                return 504, None
            except (OSError, HTTPException):
                return 502, None

    def _pause(self, seconds: float) -> None:
        threading.Event().wait(seconds)

    def _seconds(self, name: str) -> float:
        return float(self.arguments.get(name, 0))

    def _answer(self, status: int, stock: Any, *, degraded: bool) -> None:
        told: Mapping[str, Any] = {"stock": None if degraded else stock, "note": self.arguments["fallback"] if degraded else ""}
        body = json.dumps(told).encode()
        with suppress(OSError):  # who asked may have gone
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            if degraded:
                self.send_header("x-degraded", "yes")
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def _read(body: bytes) -> Any:
    """None for what is no JSON: a proxy's own words."""
    try:
        return json.loads(body)
    except ValueError:
        return None


if __name__ == "__main__":
    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer.request_queue_size = 128
    ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Flawed).serve_forever()
