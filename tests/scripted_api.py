"""What does our client make of answers? An HTTP server that answers from a list, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """`status` 0 closes the connection without an answer."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Api:
    url: str = ""
    replies: list[Reply] = field(default_factory=list)
    """Given in order, the last one for ever."""
    asked: list[Asked] = field(default_factory=list)


def status(code: int, message: str, **details: str) -> Reply:
    """A refusal as an API server words it."""
    return Reply(status=code, body={"kind": "Status", "status": "Failure", "message": message, "details": details, "code": code})


@contextmanager
def serving(*replies: Reply) -> Iterator[Api]:
    api = Api(replies=list(replies))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            url = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            headers = {key.lower(): value for key, value in self.headers.items()}
            asked = Asked(method=self.command, path=url.path, query=query, headers=headers, body=json.loads(body) if body else None)
            api.asked.append(asked)
            reply = api.replies.pop(0) if len(api.replies) > 1 else api.replies[0]
            if not reply.status:
                self.close_connection = True
                return
            written = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response_only(reply.status)
            for key, value in {**reply.headers, "content-length": str(len(written))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(written)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - names of http.server

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def write_kubeconfig(file: Path, contexts: Mapping[str, str], *, current: str = "", namespaces: Sequence[str] = ()) -> Path:
    """A kubeconfig with these contexts, by the URL of their server; all of them with the token `secret`."""
    spaces = dict(zip(contexts, namespaces, strict=False))
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": current or next(iter(contexts), ""),
        "clusters": [{"name": name, "cluster": {"server": url}} for name, url in contexts.items()],
        "users": [{"name": name, "user": {"token": "secret"}} for name in contexts],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": name, **({"namespace": spaces[name]} if name in spaces else {})}}
            for name in contexts
        ],
    }
    file.write_text(yaml.safe_dump(content))
    return file
