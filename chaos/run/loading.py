"""What is load sent to? Targets as people write them become a plan for the generator.

A target is a path on the entry, `http://service:port/path` of any service in an allowed namespace, or `locustfile("shop.py")`.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from chaos.errors import InvalidValue, NotAllowed, Refused
from chaos.injection.callers import service as find_service
from chaos.load.port import ClosedModel, LoadPlan, OpenModel, Requests, Script
from chaos.mesh.port import Address, Mesh
from chaos.model import units
from chaos.model.edge import Party
from chaos.model.marks import BYSTANDER, Mark
from chaos.model.topology import Topology
from chaos.run.guard import check_rate

DEFAULT_TIMEOUT = 30.0
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@dataclass(frozen=True, slots=True)
class LocustFile:
    """A user's own locustfile, relative to the test that names it."""

    file: Path
    user: str | None = None

    def __str__(self) -> str:
        return f"{self.file.name}{':' + self.user if self.user else ''}"


def locustfile(file: str | Path, user: str | None = None) -> LocustFile:
    """Load as the user's own Locust script describes it: `load(locustfile("shop.py", user="Shopper"), users=20)`."""
    path = Path(file)
    if not path.is_absolute():
        caller = inspect.stack()[1].filename
        path = Path(caller).parent / path
    if not path.is_file():
        raise InvalidValue(f"locustfile {file}: no such file in {path.parent}")
    return LocustFile(path.resolve(), user)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRequest:
    """What `load(...)` was asked for."""

    target: str | LocustFile
    rate: str | float | None = None
    users: int | None = None
    method: str = "GET"
    headers: Mapping[str, str] | None = None
    body: str | bytes | Mapping[str, Any] | None = None
    timeout: str | timedelta | None = None
    arrivals: Literal["even", "poisson"] = "even"
    own: bool = True
    """False: bystander traffic, which carries no mark that a route of ours matches."""


def planner(request: LoadRequest, mesh: Mesh, topology: Topology) -> Callable[[int, Mark], LoadPlan]:
    """Check a request now; the result makes the plan once the load has a number. Raises InvalidValue or NotAllowed."""
    model = _model(request, topology)
    what = _what(request, mesh, topology)
    timeout = units.duration(request.timeout, name="timeout").total_seconds() if request.timeout is not None else DEFAULT_TIMEOUT

    def plan(number: int, mark: Mark) -> LoadPlan:
        sender = mark if request.own else Mark(mark.run, BYSTANDER)
        # Two loads at once with the same arrivals would keep one distance: the second always finds the path warm.
        own_arrivals = replace(model, seed=number) if isinstance(model, OpenModel) else model
        return LoadPlan(what=what, model=own_arrivals, timeout=timeout, mark=sender.flow(number))

    return plan


def _model(request: LoadRequest, topology: Topology) -> OpenModel | ClosedModel:
    if (request.rate is None) == (request.users is None):
        raise InvalidValue(f'load on {request.target}: give rate="100/s" or users=20, exactly one of them')
    if request.users is not None:
        if isinstance(request.users, bool) or not isinstance(request.users, int) or request.users < 1:
            raise InvalidValue(f"load on {request.target}: users is {request.users!r}: a whole number, at least 1")
        return ClosedModel(request.users)
    if isinstance(request.target, LocustFile):
        raise InvalidValue(
            f"load on {request.target}: a locustfile waits for its answers (closed model), so no rate can be held; give users="
        )
    assert request.rate is not None
    rate = units.rate(request.rate)
    check_rate(rate, topology)
    if request.arrivals not in ("even", "poisson"):
        raise InvalidValue(f'load on {request.target}: arrivals is {request.arrivals!r}: write "even" or "poisson"')
    return OpenModel(rate, request.arrivals)


def _what(request: LoadRequest, mesh: Mesh, topology: Topology) -> Requests | Script:
    if isinstance(request.target, LocustFile):
        entry = mesh.address()
        return Script(file=request.target.file, user=request.target.user, host=entry.url)
    address, path = _address(request.target, mesh, topology)
    method = str(request.method).upper()
    if method not in METHODS:
        raise InvalidValue(f"load on {request.target}: method is {request.method!r}; there are: {', '.join(METHODS)}")
    headers = _headers(request)
    if isinstance(request.body, Mapping):
        headers.setdefault("content-type", "application/json")
    return Requests(url=address.url + path, host=address.host, method=method, headers=headers, body=_body(request))


def _headers(request: LoadRequest) -> dict[str, str]:
    headers = request.headers or {}
    if not isinstance(headers, Mapping) or not all(isinstance(text, str) for item in headers.items() for text in item):
        raise InvalidValue(
            f'load on {request.target}: headers is {headers!r}: it maps names to texts, headers={{"end-user": "jason"}}'
        )
    return dict(headers)


def _body(request: LoadRequest) -> bytes | None:
    body = json.dumps(request.body) if isinstance(request.body, Mapping) else request.body
    if isinstance(body, str):
        return body.encode()
    if body is None or isinstance(body, bytes):
        return body
    raise InvalidValue(f"load on {request.target}: body is {body!r}: give a text, bytes, or a mapping, which is sent as JSON")


def _address(target: str, mesh: Mesh, topology: Topology) -> tuple[Address, str]:
    if not isinstance(target, str):
        raise InvalidValue(f'load on {target!r}: write a path on the entry, "/productpage", or "http://service:port/path"')
    if target.startswith("/"):
        return mesh.address(), target
    url = urlsplit(target)
    if url.scheme != "http" or not url.hostname:
        raise InvalidValue(
            f'load on {target!r}: write a path on the entry, "/productpage", or "http://service:port/path"; '
            "TLS inside the mesh is the sidecars' business"
        )
    found = find_service(Party.parse(url.hostname), mesh.services(), mesh.default_namespace)
    if found.external:
        raise Refused(f"load on {target}: {found.host} is no service of this mesh; send load to a service that calls it")
    if not topology.allow.namespace(found.namespace):
        listed = ", ".join([*topology.allow.namespaces, found.namespace])
        raise NotAllowed(
            f"load on {target}: namespace {found.namespace} is not allowed; "
            f"add it in {topology.file}: allow: {{namespaces: [{listed}]}}"
        )
    port = url.port or 80
    protocols = {p.number: p.protocol for p in found.ports if not p.http}
    if port in protocols:
        raise Refused(
            f"load on {target}: port {port} of {found.host} is {protocols[port]}, and load is HTTP requests. "
            "If it is HTTP, say so: name the port http-... or set appProtocol: http"
        )
    if port not in {p.number for p in found.ports}:
        raise InvalidValue(
            f"load on {target}: {found.host} has no port {port}; there are: {', '.join(str(p.number) for p in found.ports)}"
        )
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    return mesh.address(found, port), path
