"""How does a test get a bare Envoy? Real processes with bootstraps made by hand, at addresses that nobody else has."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from chaos.mesh.local import binary, processes
from chaos.mesh.local.addresses import ADMIN_PORT, Endpoint, Held
from chaos.mesh.local.admin import Admin
from chaos.mesh.local.processes import Child

TYPE = "type.googleapis.com/envoy.extensions"
HOUR = "3600000"
ARGUMENTS = ("--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "--file-flush-interval-msec", HOUR)
ANSWER: Mapping[str, Any] = {"match": {"prefix": "/"}, "direct_response": {"status": 204}}
ANSWERS: Mapping[str, Any] = {"name": "answers", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [ANSWER]}]}


class Envoys:
    """All of them listen at the same address."""

    def __init__(self, held: Held, folder: Path, ending: ExitStack) -> None:
        self.listening = Endpoint(held.block.service(1, 1), 8080)
        self._held = held
        self._folder = folder
        self._ending = ending
        self._started = 0

    def start(self, routes: Mapping[str, Any] = ANSWERS, **listener: Any) -> tuple[Child, Admin]:
        """One more, with these routes; it may not be ready yet. `listener` holds further fields of its listener."""
        self._started += 1
        admin = Admin(f"Envoy {self._started}", Endpoint(self._held.block.sidecar(self._started), ADMIN_PORT))
        file = self._folder / f"{self._started}.json"
        file.write_text(json.dumps(self._bootstrap(admin.endpoint, routes, listener)))
        child = processes.start(
            [str(binary.find()), "--config-path", str(file), *ARGUMENTS],
            what=admin.proxy,
            cwd=self._folder,
            env={},
            output=self._folder / f"{self._started}.log",
            inherit=[self._held.fileno()],  # nobody takes its addresses while it runs, whatever becomes of the test
            spawned=lambda *_: None,
        )
        self._ending.callback(processes.end, [child])
        self._ending.enter_context(closing(admin))
        return child, admin

    def access_log(self, number: int) -> Path:
        """Of the nth that was started."""
        return self._folder / f"{number}.access"

    def _bootstrap(self, admin: Endpoint, routes: Mapping[str, Any], listener: Mapping[str, Any]) -> dict[str, Any]:
        log = {"@type": f"{TYPE}.access_loggers.file.v3.FileAccessLog", "path": str(self.access_log(self._started))}
        manager = {
            "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "test",
            "access_log": [{"name": "file", "typed_config": log}],
            "http_filters": [{"name": "router", "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"}}],
            "route_config": routes,
        }
        listening = {
            "name": "test",
            "address": self.listening.proto,
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
            **listener,
        }
        return {"admin": {"address": admin.proto}, "static_resources": {"listeners": [listening]}}


@contextmanager
def envoys(folder: Path) -> Iterator[Envoys]:
    """None is left when the block ends."""
    with Held.take() as held, ExitStack() as ending:
        yield Envoys(held, folder, ending)
