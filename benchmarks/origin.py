"""What is measured against? A server that answers every request at once, so that only the generator's own cost is seen.

python -m benchmarks.origin        prints its port, serves until its standard input closes
"""

from __future__ import annotations

import asyncio
import sys

_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"


class Answering(asyncio.Protocol):
    """One answer per blank line: requests without bodies, nothing parsed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        *whole, self._received = (self._received + data).split(b"\r\n\r\n")
        if whole:
            self._transport.write(_ANSWER * len(whole))


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
