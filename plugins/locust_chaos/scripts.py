"""How does a user's own locustfile become our load? Imported here, checked, its sessions wrapped, its requests recorded.

Only in a process started for it, with Locust's default options: no configuration files of Locust, no LOCUST_* variables.
Every request of an HttpUser's or a FastHttpUser's session carries the mark and becomes one record, redirects included, with
the name Locust would give it. Other events that a locustfile fires (timings of its own) are no requests and are left out.
"""

from __future__ import annotations

import functools
import inspect
import traceback
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import gevent
import locust
import requests.exceptions
from geventhttpclient.header import Headers
from locust import FastHttpUser, HttpUser, User, clients
from locust.argument_parser import get_parser
from locust.clients import HttpSession
from locust.contrib import fasthttp
from locust.contrib.fasthttp import FastHttpSession
from locust.util.load_locustfile import is_user_class, load_locustfile

from chaos.clock import now
from chaos.errors import InvalidValue, nearest
from chaos.load.port import LoadPlan, Script
from locust_chaos import connections, failures
from locust_chaos.exchanges import grpc_status
from locust_chaos.recorder import Recorder

KEY: Final = "istio-chaos"
"""Where a request's context carries our entry; it is taken out before listeners of the locustfile see the context."""


def record_sessions(plan: LoadPlan, recorder: Recorder) -> None:
    """From now on every request of Locust's two HTTP sessions carries the mark and is recorded."""
    # First of all listeners, since the locustfile is imported later.
    locust.events.request.add_listener(_on_request)  # type: ignore[no-untyped-call]
    HttpSession.request = _recorded(HttpSession.request, plan, recorder, requests.exceptions.Timeout)  # type: ignore[method-assign]
    FastHttpSession.request = _recorded(FastHttpSession.request, plan, recorder, None)  # type: ignore[method-assign]
    for block in (clients.ResponseContextManager, fasthttp.ResponseContextManager):
        block.__exit__ = _judged(block.__exit__)  # type: ignore[method-assign]


def load(script: Script) -> tuple[type[User], Namespace]:
    """The user class to run and Locust's options. Raises InvalidValue that names file, line or class, and the remedy."""
    found = _imported(script.file)
    user = _chosen(script, {name: item for name, item in found.items() if is_user_class(item)})
    if not issubclass(user, HttpUser | FastHttpUser):
        raise InvalidValue(
            f"{script.file.name}: {user.__name__} is neither an HttpUser nor a FastHttpUser, so its requests could not "
            "carry the mark of this run; derive it from one of them"
        )
    if not user.tasks:
        raise InvalidValue(f"{script.file.name}: {user.__name__} has no tasks; mark at least one method with @task")
    return user, _options(script)


def _imported(file: Path) -> dict[str, Any]:
    """What the locustfile defines. It may fail in any way, also by leaving the process."""
    try:
        users, shapes = load_locustfile(str(file))
    except SyntaxError as error:
        raise InvalidValue(f"{error.filename}:{error.lineno}: {error.msg}; the locustfile cannot be imported") from error
    except (Exception, SystemExit) as error:
        raise InvalidValue(f"{_place(error, file)}: {type(error).__name__}: {error}; the locustfile cannot be imported") from error
    if shapes:
        raise InvalidValue(
            f"{file.name}: {type(shapes[0]).__name__} is a LoadTestShape, which decides itself how many users there are and "
            "when the load ends; here the test does (users=...), so move the shape to another file"
        )
    return users


def _place(error: BaseException, file: Path) -> str:
    """Where in the locustfile the error arose; the file alone if it did not get there."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
    return f"{file}:{lines[-1]}" if lines else str(file)


def _chosen(script: Script, users: dict[str, type[User]]) -> type[User]:
    if not users:
        raise InvalidValue(f"{script.file.name} defines no user class; add one that derives from HttpUser or FastHttpUser")
    if script.user is not None:
        if script.user not in users:
            raise InvalidValue(f'{script.file.name} defines no user class "{script.user}"{nearest(script.user, users)}')
        return users[script.user]
    if len(users) > 1:
        names = ", ".join(sorted(users))
        raise InvalidValue(f"{script.file.name} defines several user classes ({names}); choose one with user=...")
    return next(iter(users.values()))


def _options(script: Script) -> Namespace:
    """Locust's defaults and those of arguments the locustfile adds."""
    try:
        options: Namespace = get_parser(default_config_files=[]).parse_args([])
    except SystemExit as error:
        raise InvalidValue(
            f"{script.file.name} adds a command-line argument that is required; give it a default, since there is no command line"
        ) from error
    options.host = script.host
    return options


class _Exchange:
    """One request of a session, from its begin to its one record."""

    __slots__ = ("_recorder", "_start", "ended", "open", "sequence", "streamed")

    def __init__(self, recorder: Recorder, *, streamed: bool) -> None:
        self._recorder = recorder
        self.sequence, self._start = recorder.begin()
        self.streamed = streamed
        self.ended: int | None = None
        self.open = True

    def end(self, name: str, *, error: str, status: int = 0, size: int = 0, response: Any = None) -> None:
        """Record it, unless that was done; `response` is given when it shall be kept."""
        if not self.open:
            return
        self.open = False
        headers = [] if response is None else _lines(response)
        self._recorder.add(
            self.sequence,
            self._start,
            self._start,
            self.ended or now(),
            name=name,
            status=status,
            grpc=grpc_status(dict(headers).get("grpc-status")),
            error=error,
            response=0 if response is None else self._recorder.keep(headers, response.content or b""),
            size=size,
        )


def _recorded(
    original: Callable[..., Any], plan: LoadPlan, recorder: Recorder, gives_up: type[Exception] | None
) -> Callable[..., Any]:
    """A session's `request` with mark, timeout and record. `gives_up` is what its client takes for a time-out."""
    names = list(inspect.signature(original).parameters)[3:]  # what may follow self, method and url by position

    @functools.wraps(original)
    def request(self: Any, method: Any, url: Any, *positional: Any, **given: Any) -> Any:
        given.update(zip(names, positional, strict=False))
        exchange = _Exchange(recorder, streamed=bool(given.get("stream")))
        mark = plan.mark.headers(exchange.sequence)
        own = {field: value for field, value in (given.get("headers") or {}).items() if field.lower() not in mark}
        given["headers"] = {**own, **mark}
        given["context"] = {**(given.get("context") or {}), KEY: exchange}
        try:
            with gevent.Timeout(plan.timeout, gives_up):
                response = original(self, method, url, **given)
        except BaseException as failure:
            # What Locust does not count as a failed request: a URL that is none, or the end of the user.
            connections.abandon()
            exchange.end(str(url), error=failures.text_of(failure, reused=connections.reused()))
            raise
        exchange.ended = exchange.ended or now()
        if exchange.open:
            # A `with` enters before anything else can run. Without one Locust would never say how the request ended.
            gevent.get_hub().loop.run_callback(_judge_unless_entered, exchange, response, str(url))
        return response

    return request


def _judge_unless_entered(exchange: _Exchange, response: Any, name: str) -> None:
    if not response._entered:
        exchange.end(name, error=failures.UNJUDGED, status=response.status_code or 0)


def _judged(original: Callable[..., Any]) -> Callable[..., Any]:
    """The end of a catch_response block; Locust forgets the request when the block raised something of its own."""

    @functools.wraps(original)
    def leave(self: Any, kind: Any, value: BaseException | None, trace: Any) -> Any:
        handled = original(self, kind, value, trace)
        _on_request(
            name=self.request_meta["name"],
            response=self,
            exception=value,
            response_length=self.request_meta["response_length"],
            context=self.request_meta["context"],
        )
        return handled

    return leave


def _on_request(
    name: str,
    response: Any,
    exception: BaseException | None,
    response_length: int | None,
    context: dict[str, Any] | None,
    **_: object,
) -> None:
    exchange = context.pop(KEY, None) if context else None
    if exchange is None:
        return
    error = failures.text_of(exception, reused=connections.reused())
    if failures.broke(exception):
        connections.abandon()
        exchange.end(name, error=error)
    else:
        kept = None if exchange.streamed else response
        exchange.end(name, error=error, status=response.status_code, size=response_length or 0, response=kept)


def _lines(response: Any) -> list[tuple[str, str]]:
    """The header lines of either client's response, with lower-case names."""
    if isinstance(response.headers, Headers):
        return list(response.headers.iterlower())
    return [(field.lower(), value) for field, value in response.headers.items()]
