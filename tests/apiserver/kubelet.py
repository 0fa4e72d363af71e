"""Who answers for logs, exec and port-forward behind a real API server? A kubelet whose pods are the sidecars of a local mesh.

The API server passes these three on to the node of the pod, as it does in a cluster, with WebSockets as they come: so a client's bytes go
through the real thing. What is behind them is `tests.cluster_standin`, which speaks the same protocols in the API server's place.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from tests.apiserver.server import ApiServer
from tests.cluster_standin import Cluster


class Kubelet(Cluster):
    """What a kubelet serves; `port` is known once it does."""

    port = 0

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes([
            web.get("/containerLogs/{namespace}/{pod}/{container}", self._log),
            web.get("/portForward/{namespace}/{pod}", self._forward),
            web.get("/exec/{namespace}/{pod}/{container}", self._exec),
        ])  # fmt: skip
        return app


@contextmanager
def serving(kubelet: Kubelet, server: ApiServer) -> Iterator[Kubelet]:
    """With the API server's own certificate, which it does not look at."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(server.certificate, server.key)
    loop = asyncio.new_event_loop()

    async def begin() -> web.AppRunner:
        runner = web.AppRunner(kubelet.app(), shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        kubelet.port = runner.addresses[0][1]
        kubelet.relaying = await kubelet.relay()
        return runner

    async def end(runner: web.AppRunner) -> None:
        await runner.cleanup()
        kubelet.relaying.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # transports close one turn later

    thread = threading.Thread(target=loop.run_forever, name="kubelet", daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
    try:
        yield kubelet
    finally:
        asyncio.run_coroutine_threadsafe(end(runner), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
