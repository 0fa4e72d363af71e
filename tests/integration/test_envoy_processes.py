"""What does the local mesh rely on in Envoy itself? Addresses that are not shared in silence, and log lines that come when asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from chaos.clock import Deadline, poll
from chaos.mesh.local import binary, processes
from chaos.mesh.local.addresses import Endpoint, Held
from chaos.mesh.local.admin import Admin
from chaos.mesh.local.processes import Child

PATIENCE = 10.0
HOUR = "3600000"
ARGUMENTS = ("--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "--file-flush-interval-msec", HOUR)
TYPE = "type.googleapis.com/envoy.extensions"


class Envoys:
    """Envoys with hand-made bootstraps, at addresses of our own."""

    def __init__(self, held: Held, folder: Path) -> None:
        self.listening = Endpoint(held.block.service(1, 1), 8080)
        self.children: list[Child] = []
        self._held = held
        self._folder = folder

    def start(self, **listener: Any) -> tuple[Child, Admin]:
        """One more Envoy that listens at the same address as all others."""
        number = len(self.children) + 1
        admin = Endpoint(self._held.block.sidecar(number), 15000)
        file, log = self._folder / f"{number}.json", self._folder / f"{number}.log"
        file.write_text(json.dumps(self._bootstrap(admin, number, listener)))
        child = processes.start(
            [str(binary.find()), "--config-path", str(file), *ARGUMENTS],
            what=f"Envoy {number}",
            cwd=self._folder,
            env={},
            output=log,
            spawned=lambda *_: None,
        )
        self.children.append(child)
        return child, Admin(child.what, admin)

    def access_log(self, number: int) -> Path:
        return self._folder / f"{number}.access"

    def _bootstrap(self, admin: Endpoint, number: int, listener: dict[str, Any]) -> dict[str, Any]:
        log = {
            "name": "file",
            "typed_config": {
                "@type": f"{TYPE}.access_loggers.file.v3.FileAccessLog",
                "path": str(self.access_log(number)),
            },
        }
        manager = {
            "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "test",
            "access_log": [log],
            "http_filters": [{"name": "router", "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"}}],
            "route_config": {
                "virtual_hosts": [
                    {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 204}}]}
                ]
            },
        }
        listening = {
            "name": "test",
            "address": self.listening.proto,
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
            **listener,
        }
        return {"admin": {"address": admin.proto}, "static_resources": {"listeners": [listening]}}


@pytest.fixture
def envoys(tmp_path: Path) -> Iterator[Envoys]:
    with Held.take() as held:
        envoys = Envoys(held, tmp_path)
        yield envoys
        processes.end(envoys.children)


def test_two_envoys_share_an_address_in_silence_unless_they_are_told_not_to(envoys: Envoys) -> None:
    _, first = envoys.start()
    assert poll(first.ready, deadline=Deadline.after(PATIENCE))
    _, second = envoys.start()
    assert poll(second.ready, deadline=Deadline.after(PATIENCE))
    third, _ = envoys.start(enable_reuse_port=False)
    assert poll(lambda: third.exited() is not None, deadline=Deadline.after(PATIENCE))

    assert third.exited() == 1
    assert "Address already in use" in third.log.read_text()
    first.close()
    second.close()


def test_a_log_line_waits_for_its_flush_or_for_the_asking(envoys: Envoys) -> None:
    def logged(path: str) -> bool:
        return f"GET {path} " in envoys.access_log(1).read_text()

    _, admin = envoys.start()
    assert poll(admin.ready, deadline=Deadline.after(PATIENCE))
    get(envoys.listening, "/first")
    assert poll(lambda: logged("/first"), deadline=Deadline.after(PATIENCE)), "the thread that writes begins with a flush"
    get(envoys.listening, "/second")
    before = logged("/second")
    admin.ask("/reopen_logs", "POST")

    assert not before
    assert poll(lambda: logged("/second"), deadline=Deadline.after(PATIENCE))
    admin.close()


def get(where: Endpoint, path: str) -> None:
    with closing(HTTPConnection(where.address, where.port, timeout=PATIENCE)) as connection:
        connection.request("GET", path)
        assert connection.getresponse().status == 204
