"""Do calls to hosts outside the mesh do what their ServiceEntries say? The outside is a server of this process, on 127.0.0.1."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from chaos.clock import Deadline, poll
from chaos.mesh.local.mesh import LocalMesh
from tests.meshes import MANIFESTS, get, topology

PATIENCE = 10.0


class Outside(BaseHTTPRequestHandler):
    """Tells what it was asked for, and by which name."""

    def do_GET(self) -> None:
        body = json.dumps({"host": self.headers["host"], "path": self.path}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Outside) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def service_entry(host: str, resolution: str, *, number: int = 80, endpoints: str = "[]") -> str:
    name = host.replace("*", "any").replace(".", "-")
    return f"""---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: shop}}
spec:
  hosts: ["{host}"]
  ports: [{{number: {number}, name: http, protocol: HTTP}}]
  resolution: {resolution}
  endpoints: {endpoints}
"""


def entries(port: int) -> str:
    return "".join(
        [
            service_entry("static.example.com", "STATIC", endpoints=f"[{{address: 127.0.0.1, ports: {{http: {port}}}}}]"),
            service_entry("looked-up.example.com", "DNS", endpoints=f"[{{address: localhost, ports: {{http: {port}}}}}]"),
            service_entry("localhost", "NONE", number=port),
            service_entry("*.wild.example.com", "NONE"),
            """---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: static, namespace: shop}
spec:
  hosts: [static.example.com]
  http:
  - match: [{uri: {prefix: /forbidden}}]
    directResponse: {status: 403}
  - route: [{destination: {host: static.example.com}}]
""",
        ]
    )


@contextmanager
def running(folder: Path, manifests: str, mode: str) -> Iterator[LocalMesh]:
    wanted = topology(folder, manifests=manifests)
    assert wanted.local is not None
    local = replace(wanted.local, mesh_config={"outboundTrafficPolicy": {"mode": mode}})
    with closing(
        LocalMesh.start(replace(wanted, local=local), folder=folder / "run", run="0123456789ab", spawned=lambda *_: None)
    ) as mesh:
        yield mesh


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[LocalMesh]:
    with running(tmp_path_factory.mktemp("outside"), MANIFESTS + entries(port), "ALLOW_ANY") as mesh:
        # Names are looked up while the mesh is up already.
        assert poll(lambda: call(mesh, "http://looked-up.example.com/")[0] == 200, deadline=Deadline.after(PATIENCE))
        yield mesh


def call(mesh: LocalMesh, url: str) -> tuple[int, Any]:
    """What the application of `web` got when it called `url` through HTTP_PROXY."""
    return answered(get(mesh.address(), f"/call?url={url}"))


def answered(told: tuple[int, Any]) -> tuple[int, Any]:
    status, answer = told
    assert status == 200
    body = answer["body"]
    return answer["status"], json.loads(body) if body.startswith("{") else body


@pytest.mark.parametrize("host", ["static.example.com", "looked-up.example.com"])
def test_hosts_with_endpoints_are_called_through_http_proxy(mesh: LocalMesh, host: str) -> None:
    assert call(mesh, f"http://{host}/a") == (200, {"host": host, "path": "/a"})


def test_without_resolution_the_sidecar_looks_the_name_up_as_its_application_would(mesh: LocalMesh, port: int) -> None:
    assert poll(
        lambda: call(mesh, f"http://localhost:{port}/b") == (200, {"host": f"localhost:{port}", "path": "/b"}),
        deadline=Deadline.after(PATIENCE),
    )


def test_a_client_that_ignores_http_proxy_finds_the_host_in_its_environment(mesh: LocalMesh) -> None:
    status, answer = answered(get(mesh.address(), "/direct?service=STATIC_EXAMPLE_COM&host=static.example.com"))

    assert (status, answer["host"]) == (200, "static.example.com")


def test_load_can_be_sent_to_it(mesh: LocalMesh) -> None:
    service = next(service for service in mesh.services() if service.name == "static.example.com")

    assert get(mesh.address(service), "/c") == (200, {"host": "static.example.com:80", "path": "/c"})


def test_its_virtual_service_acts(mesh: LocalMesh) -> None:
    assert call(mesh, "http://static.example.com/forbidden")[0] == 403


def test_a_wildcard_has_no_address_here_and_the_answer_says_so(mesh: LocalMesh) -> None:
    status, body = call(mesh, "http://a.wild.example.com/")

    assert status == 502
    assert "Only the client knows the address of a.wild.example.com" in body
    assert "resolution DNS or STATIC" in body


UNKNOWN = "http://unknown.example.com/"


def test_a_host_that_nobody_wrote_down_is_no_way_out_here(mesh: LocalMesh) -> None:
    status, body = call(mesh, UNKNOWN)

    assert status == 502
    assert "No service of this mesh listens at unknown.example.com" in body
    assert "passthrough is not available here" in body


def test_where_only_the_registry_counts_it_is_none_on_a_cluster_either(tmp_path: Path) -> None:
    with running(tmp_path, MANIFESTS, "REGISTRY_ONLY") as strict:
        status, body = call(strict, UNKNOWN)

    assert status == 502
    assert "outboundTrafficPolicy is REGISTRY_ONLY: a cluster answers 502 as well" in body
