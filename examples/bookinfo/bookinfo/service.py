"""What do all four services have in common? Where they listen, whom they call, and which headers they pass on.

Everything comes from the environment, as in a pod: HOST and PORT (where to listen), POD_NAME (who we are), HTTP_PROXY
(where outbound calls go), and per called service, here for `reviews`:

    REVIEWS_HOSTNAME      another host than `reviews`
    REVIEWS_SERVICE_PORT  its port; read only together with REVIEWS_HOSTNAME
    REVIEWS_TIMEOUT       seconds, in place of the service's own patience
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

PORT = 9080
POD_NAME = os.environ.get("POD_NAME") or socket.gethostname()
CLIENT = web.AppKey("client", aiohttp.ClientSession)

FORWARDED = frozenset(
    {
        "x-request-id",
        "x-ot-span-context",
        "x-cloud-trace-context",
        "grpc-trace-bin",
        "traceparent",
        "tracestate",
        "baggage",
        "b3",
        "sw8",
        "end-user",
        "user-agent",
        "authorization",
        "cookie",
        "jwt",
    }
)
"""A sidecar cannot know which inbound request an outbound one belongs to: Istio asks applications to pass these on."""
FORWARDED_PREFIXES = ("x-b3-", "x-datadog-")

log = logging.getLogger("bookinfo")


class Unavailable(Exception):
    """The called service gave no usable answer. `status` is what it answered, 500 where nothing came in time."""

    def __init__(self, reason: str, *, status: int) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A service we call."""

    name: str
    url: str
    timeout: float
    """Seconds from the call to the end of its answer."""
    proxy: str | None

    @classmethod
    def named(cls, name: str, *, timeout: float) -> Peer:
        prefix = name.upper()
        host, port = os.environ.get(f"{prefix}_HOSTNAME"), str(PORT)
        if host:
            # Otherwise Kubernetes wrote that variable: the port that belongs to *_SERVICE_HOST, not to the name.
            port = os.environ.get(f"{prefix}_SERVICE_PORT", port)
        return cls(
            name=name,
            url=f"http://{host or name}:{port}/{name}",
            timeout=float(os.environ.get(f"{prefix}_TIMEOUT", timeout)),
            proxy=_proxy_towards(host or name),
        )


def _proxy_towards(host: str) -> str | None:
    # Not aiohttp's `trust_env`: it reads proxies and ~/.netrc anew for each call, in two threads (1.1 ms of CPU each,
    # measured with 3.14.5), and a `default` entry in that file clashes with a forwarded `authorization`.
    return None if proxy_bypass(host) else getproxies().get("http")


def forwarded(request: web.Request) -> CIMultiDict[str]:
    """The headers of an inbound request that go along with every call made on its behalf."""
    return CIMultiDict(
        (name, value)
        for name, value in request.headers.items()
        if name.lower() in FORWARDED or name.lower().startswith(FORWARDED_PREFIXES)
    )


async def fetch(client: aiohttp.ClientSession, peer: Peer, product: int, headers: CIMultiDict[str]) -> dict[str, Any]:
    """What `peer` knows of one product: one request, never repeated. Raises Unavailable."""
    # aiohttp rounds timeouts from `ceil_threshold` (5 s) upwards to whole seconds of its clock: 10 s would be up to 11.
    timeout = aiohttp.ClientTimeout(total=peer.timeout, ceil_threshold=peer.timeout + 1)
    try:
        async with client.get(f"{peer.url}/{product}", headers=headers, timeout=timeout, proxy=peer.proxy) as answer:
            body = await answer.read()  # also of an error: an unread body would cost the connection
            if answer.status != 200:
                raise _unavailable(peer, f"answered {answer.status}", status=answer.status)
            found = json.loads(body)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise _unavailable(peer, str(error) or type(error).__name__) from error
    if not isinstance(found, dict):
        raise _unavailable(peer, "answered 200 without a JSON object")
    return found


def _unavailable(peer: Peer, reason: str, *, status: int = 500) -> Unavailable:
    log.warning("%s: %s", peer.name, reason)
    return Unavailable(reason, status=status)


async def _client(app: web.Application) -> AsyncIterator[None]:
    # No limit on connections: calls would queue here and pass for a slow mesh. No cookie jar: it would mix the users.
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as client:
        # aiohttp silently sends a GET again when a kept connection closes under it, and has no public switch for that.
        # Here a call is one request on the wire: retries belong to the mesh, or are written down where they happen.
        client._retry_connection = False
        app[CLIENT] = client
        yield


def run(routes: Iterable[web.AbstractRouteDef], *, handler_cancellation: bool = False) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way.

    With `handler_cancellation` a client that leaves ends the work for its request.
    """
    logging.basicConfig(format=f"%(asctime)s {POD_NAME} %(message)s", level=logging.WARNING)  # to stderr
    app = web.Application()
    app.add_routes(routes)
    app.cleanup_ctx.append(_client)
    web.run_app(
        app,
        host=os.environ.get("HOST", "0.0.0.0"),
        port=int(os.environ.get("PORT", PORT)),
        handler_cancellation=handler_cancellation,
        keepalive_timeout=3630,  # Envoy keeps an idle connection for an hour: never close one that it is about to use
        shutdown_timeout=10,  # the longest that anyone here waits for an answer
        backlog=1024,
        access_log=None,  # the sidecar writes one
        print=None,
    )
