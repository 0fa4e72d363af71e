"""What runs in the pod `istio-chaos-load`? Connects to whom it is asked to, from behind the pod's sidecar.

`python -m chaos.mesh.cluster.relay`, in an image that has this package. A port-forward ends on the pod's loopback, where no sidecar
is in the way; what this process connects to goes out through the sidecar, as the calls of any application do. It listens on the
loopback only: nobody but a port-forward reaches it.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import closing, suppress
from typing import Final

PORT: Final = 15888
CONNECTED_WITHIN: Final = 5.0


async def serve(port: int = PORT) -> asyncio.Server:
    """Take CONNECT requests on this port of the loopback interface; 0: any free one."""
    return await asyncio.start_server(_serve, "127.0.0.1", port)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with closing(writer), suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, *_ = head.split(b"\r\n", 1)[0].decode().split(" ")
        host, _, port = target.rpartition(":")
        if method != "CONNECT" or not host or not port.isdigit():
            writer.write(b"HTTP/1.1 405 only CONNECT host:port\r\n\r\n")
            return
        try:
            there = await asyncio.wait_for(asyncio.open_connection(host.strip("[]"), int(port)), CONNECTED_WITHIN)
        except (OSError, TimeoutError) as error:
            writer.write(f"HTTP/1.1 502 {' '.join(str(error).split()) or type(error).__name__}\r\n\r\n".encode())
            return
        with closing(there[1]):
            writer.write(b"HTTP/1.1 200 connected\r\n\r\n")
            await _either(_pump(reader, there[1]), _pump(there[0], writer))


async def _either(*ways: object) -> None:
    """Until one of them ends: a connection of which one half is closed carries no more requests."""
    tasks = [asyncio.ensure_future(way) for way in ways]  # type: ignore[call-overload]
    _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(64 * 1024):
            sink.write(data)
            await sink.drain()


async def _main(port: int) -> None:
    async with await serve(port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main(int(sys.argv[1]) if len(sys.argv) > 1 else PORT))
