"""Why did a request fail, in a few stable words? The error texts of the samples.

Locust's clients wrap the cause two to four times, each in its own way, so the whole chain is looked through.
"""

from __future__ import annotations

import errno
import http.client
from collections.abc import Iterator
from typing import Final

import gevent
import requests.exceptions
import urllib3.exceptions
from geventhttpclient.response import HTTPConnectionClosed
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS, LocustBadStatusCode
from locust.exception import (
    CatchResponseError,
    InterruptTaskSet,
    RescheduleTask,
    RescheduleTaskImmediately,
    StopTest,
    StopUser,
)

from chaos.model.samples import STALE_CONNECTION, TIMED_OUT

REFUSED: Final = "connection refused"
RESET: Final = "connection reset"
CLOSED: Final = "connection closed"
UNJUDGED: Final = "catch_response without a with block"
"""A locustfile that asked to judge the response itself, and did not."""
ENDED: Final = "user ended"
"""A user that did not finish its task in time after the load was stopped."""

_TIMEOUTS: Final = (gevent.Timeout, TimeoutError, requests.exceptions.Timeout, urllib3.exceptions.TimeoutError)
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL})
_TURNS: Final = (InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser)
_STATUS: Final = (LocustBadStatusCode, requests.exceptions.HTTPError)
_BROKEN: Final = (
    *FAILURE_EXCEPTIONS,
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
)


def text_of(failure: BaseException | None, *, reused: bool) -> str:
    """The error text; empty for none, for one that says no more than the status, and for a turn in a locustfile's script.

    `reused`: the request went out on a connection that had been idle. If that was closed or reset before a byte of the
    response came, the request never reached a server that was still listening there.
    """
    if failure is None or isinstance(failure, _STATUS + _TURNS):
        return ""
    if isinstance(failure, CatchResponseError):
        return str(failure)
    if isinstance(failure, gevent.GreenletExit):
        return ENDED
    chain = list(_chain(failure))
    if any(isinstance(link, _TIMEOUTS) for link in chain):
        return TIMED_OUT
    if any(isinstance(link, ConnectionRefusedError) for link in chain):
        return REFUSED
    reset = any(isinstance(link, ConnectionResetError | BrokenPipeError) for link in chain)
    closed = any(isinstance(link, HTTPConnectionClosed | http.client.RemoteDisconnected) for link in chain)
    if reused and (closed or any(isinstance(link, BrokenPipeError) for link in chain)):
        return STALE_CONNECTION
    if reset or closed:
        return RESET if reset else CLOSED
    return f"{type(failure).__name__}: {failure}"


def ours(failure: BaseException) -> bool:
    """Did this machine run out of files or ports, so that nothing was sent?"""
    return any(isinstance(link, OSError) and link.errno in _EXHAUSTED for link in _chain(failure))


def broke(failure: BaseException | None) -> bool:
    """Is it the exchange itself that failed, so that there is no whole response?"""
    return isinstance(failure, _BROKEN) and not isinstance(failure, _STATUS)


def _chain(failure: BaseException) -> Iterator[BaseException]:
    """The exception and everything it wraps, wherever the library at hand keeps it."""
    seen: set[int] = set()
    waiting: list[object] = [failure]
    while waiting:
        link = waiting.pop(0)
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        waiting += [link.__cause__, link.__context__, getattr(link, "original", None), getattr(link, "reason", None)]
        waiting += link.args
