"""How is one request of ours sent? Through the HTTP client of Locust's FastHttpUser, without its statistics.

A redirect is not followed: what the service answered is the result, and the request after it would be a second one with
the same number. Nothing asks for compression, so that claims read the body as the service wrote it. Certificates are not
verified, as everywhere in Locust. No proxy is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from http.cookiejar import CookieJar
from typing import Final
from urllib.parse import urlsplit

import gevent
from geventhttpclient import HTTPClient
from geventhttpclient.header import Headers
from geventhttpclient.response import HTTPSocketPoolResponse
from geventhttpclient.url import URL
from locust.contrib.fasthttp import FastRequest, insecure_ssl_context_factory

from chaos.clock import now
from chaos.errors import InvalidValue
from chaos.load.port import LoadPlan, Requests
from locust_chaos import connections, failures
from locust_chaos.recorder import Recorder

BLOCK: Final = 16 * 1024
"""Bytes read at once."""


class Sender:
    """Sends one kind of request and records it. One per flow (open model) or per user (closed model)."""

    def __init__(self, plan: LoadPlan, recorder: Recorder, *, concurrency: int, cookies: CookieJar | None = None) -> None:
        assert isinstance(plan.what, Requests)
        self.name = urlsplit(plan.what.url).path or "/"
        self._what = plan.what
        self._mark = plan.mark
        self._timeout = plan.timeout
        self._recorder = recorder
        self._cookies = cookies
        self._has_cookies = False
        url = URL(plan.what.url)
        self._target = url.quoted_uri or "/"
        host = {"Host": plan.what.host} if plan.what.host else {}
        self._client = HTTPClient.from_url(
            url,
            headers={"User-Agent": "istio-chaos", **host, **plan.what.headers},
            concurrency=concurrency,
            connection_timeout=plan.timeout,
            network_timeout=plan.timeout,
            block_size=BLOCK,
            ssl_context_factory=insecure_ssl_context_factory,
            insecure=True,
        )

    def check(self) -> None:
        """Raises InvalidValue for a method, a header or a path that HTTP cannot carry."""
        try:
            head = self._client._build_request(self._what.method, self._target, self._what.body or b"")
            head.encode("latin-1")
        except ValueError as error:
            raise InvalidValue(f"a request to {self._what.url} cannot be sent: {error}") from error

    def send(self, sequence: int, scheduled: int, sent: int) -> None:
        """Request number `sequence`, now; returns when it has ended and is recorded."""
        headers: Mapping[str, str] = self._mark.headers(sequence)
        if self._has_cookies:
            headers = {**headers, **self._cookie_header()}
        try:
            with gevent.Timeout(self._timeout):
                response = self._client.request(self._what.method, self._target, self._what.body, headers)
                body = response.read()
            ended = now()
        except (Exception, gevent.Timeout) as failure:
            # Whatever it is, it belongs to this request; one that left no record would never be resolved.
            ended = now()
            connections.abandon()
            if failures.ours(failure):
                self._recorder.unsent(sequence, scheduled, name=self.name)
            else:
                error = failures.text_of(failure, reused=connections.reused())
                self._recorder.add(sequence, scheduled, sent, ended, name=self.name, error=error)
            return
        self._record(sequence, scheduled, sent, ended, response, body)

    def _record(self, sequence: int, scheduled: int, sent: int, ended: int, response: HTTPSocketPoolResponse, body: bytes) -> None:
        headers = response.info()
        if self._cookies is not None and "set-cookie" in headers:
            self._cookies.extract_cookies(response, self._request(Headers()))  # type: ignore[arg-type]
            self._has_cookies = True
        self._recorder.add(
            sequence,
            scheduled,
            sent,
            ended,
            name=self.name,
            status=response.get_code(),
            grpc=grpc_status(headers.get("grpc-status")),
            response=self._recorder.keep(headers.iterlower(), body),
            size=len(body),
        )

    def _cookie_header(self) -> dict[str, str]:
        assert self._cookies is not None
        request = self._request(Headers())
        self._cookies.add_cookie_header(request)
        cookie = request.headers.get("cookie")
        return {"Cookie": cookie} if isinstance(cookie, str) else {}

    def _request(self, headers: Headers) -> FastRequest:
        """The request as the cookie jar wants to see it."""
        return FastRequest(self._what.url, method=self._what.method, headers=headers)


def grpc_status(value: object) -> int:
    """The number in a grpc-status header, -1 without one."""
    return int(value) if isinstance(value, str) and value.isdigit() else -1
