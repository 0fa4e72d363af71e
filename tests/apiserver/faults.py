"""What if an API server fails now and then? A proxy in front of a real one that refuses, closes, stalls, and loses answers.

Every connection carries one request, so that WebSockets and followed logs pass as they are. Which call meets which trouble is drawn from
a seeded generator in the order of arrival.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from tests.apiserver.server import ApiServer

CONFLICT, THROTTLED, BROKEN, UNAVAILABLE = 409, 429, 500, 503
CLOSED, LOST, STALLED = "closed", "lost", "stalled"
TROUBLES: Final = (CONFLICT, THROTTLED, BROKEN, UNAVAILABLE, CLOSED, LOST, STALLED)
"""LOST: the server does what it was asked, and its answer never comes. CONFLICT: only who writes can meet one."""
Trouble = int | str


@dataclass(slots=True)
class Faults:
    """What is in front of the server; `share` and the others may be changed at any time."""

    share: float = 0.0
    troubles: Sequence[Trouble] = TROUBLES
    only: str = ""
    """A pattern of "VERB /path": other calls are left alone."""
    stall: float = 2.0
    """Seconds."""
    seen: Callable[[int, str], None] = lambda _number, _call: None
    """Told of each call before it is passed on: its number from 1, and `VERB /path`."""
    url: str = ""
    calls: list[str] = field(default_factory=list)
    met: list[tuple[str, Trouble]] = field(default_factory=list)
    """What met a trouble, and which."""
    draws: random.Random = field(default_factory=random.Random)

    def draw(self, call: str) -> Trouble | None:
        if (self.only and not re.search(self.only, call)) or self.draws.random() >= self.share:
            return None
        reads = call.startswith("GET")
        trouble = self.draws.choice([each for each in self.troubles if each != CONFLICT or not reads])
        self.met.append((call, trouble))
        return trouble


@contextmanager
def in_front_of(server: ApiServer, *, seed: int = 0) -> Iterator[Faults]:
    faults = Faults(draws=random.Random(seed))
    loop = asyncio.new_event_loop()

    async def begin() -> asyncio.Server:
        serving = await asyncio.start_server(lambda reader, writer: _serve(server, faults, reader, writer), "127.0.0.1", 0)
        faults.url = f"http://127.0.0.1:{serving.sockets[0].getsockname()[1]}"
        return serving

    async def end(serving: asyncio.Server) -> None:
        serving.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for _ in range(3):
            await asyncio.sleep(0)  # transports close some turns later

    thread = threading.Thread(target=loop.run_forever, name="api-faults", daemon=True)
    thread.start()
    serving = asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
    try:
        yield faults
    finally:
        asyncio.run_coroutine_threadsafe(end(serving), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _serve(server: ApiServer, faults: Faults, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with closing(writer), suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):  # cancelled: it is the end
        head = await reader.readuntil(b"\r\n\r\n")
        verb, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        call = f"{verb} {urlsplit(target).path}"
        faults.calls.append(call)
        await asyncio.to_thread(faults.seen, len(faults.calls), call)
        trouble = faults.draw(call)
        body = await reader.readexactly(int((re.search(rb"(?i)\ncontent-length: *(\d+)", head) or [b"", b"0"])[1]))
        if isinstance(trouble, int):
            writer.write(_refusal(trouble))
            await writer.drain()
            return
        if trouble == CLOSED:
            return
        if trouble == STALLED:
            await asyncio.sleep(faults.stall)
        address = urlsplit(server.url)
        upstream, downstream = await asyncio.open_connection(address.hostname, address.port, ssl=server.tls())
        with _aborting(downstream):
            downstream.write(_once(head) + body)
            await downstream.drain()
            if trouble == LOST:
                await upstream.readuntil(b"\r\n\r\n")
                return
            ways = [asyncio.ensure_future(_pump(reader, downstream)), asyncio.ensure_future(_pump(upstream, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)


@contextmanager
def _aborting(writer: asyncio.StreamWriter) -> Iterator[None]:
    """At once: TLS would wait for the other side to agree, and the loop does not."""
    try:
        yield
    finally:
        writer.transport.abort()


def _once(head: bytes) -> bytes:
    """A request after which the connection ends, unless it becomes a WebSocket."""
    if re.search(rb"(?i)\nupgrade:", head):
        return head
    lines = [line for line in head[:-4].split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Connection: close", b"", b""])


def _refusal(code: int) -> bytes:
    status = json.dumps({"kind": "Status", "status": "Failure", "message": "trouble on purpose", "code": code}).encode()
    more = "Retry-After: 1\r\n" if code == THROTTLED else ""
    head = f"HTTP/1.1 {code} Trouble\r\nContent-Type: application/json\r\nContent-Length: {len(status)}\r\n{more}Connection: close\r\n\r\n"
    return head.encode() + status


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(64 * 1024):
            sink.write(data)
            await sink.drain()
