"""Who gives the proxies what is written in the API server? A control plane that watches and pushes to a local mesh.

It watches EnvoyFilters, VirtualServices and DestinationRules, waits a moment for more as istiod does, and pushes all that changed by our
own translation. It can lag, refuse in the proxies' name, and die.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from chaos.errors import ChaosError
from chaos.istio.documents import Document
from chaos.mesh.cluster.kinds import ENVOY_FILTER, Kind
from chaos.mesh.local.mesh import LocalMesh
from tests.apiserver.server import ADMIN, ApiServer

VIRTUAL_SERVICE = Kind(name="VirtualService", plural="virtualservices", group="networking.istio.io", version="v1")
DESTINATION_RULE = Kind(name="DestinationRule", plural="destinationrules", group="networking.istio.io", version="v1")
OWNERS: Final = (VIRTUAL_SERVICE, DESTINATION_RULE)
KEPT: Final = ("name", "namespace", "labels", "annotations")
Key = tuple[str, str]


class Istiod:
    """From its block's beginning to its end; `lag` seconds lie between a change and its push."""

    def __init__(self, server: ApiServer, mesh: LocalMesh, *, lag: float = 0.005) -> None:
        self.lag = lag
        self.alive = True
        """False: nothing reaches a proxy; what was missed is pushed when it is alive again."""
        self.refuses = False
        """True: proxies keep what they have, as if they had rejected the push."""
        self.refused: list[str] = []
        self._server = server
        self._mesh = mesh
        self._seen: dict[str, dict[Key, dict[str, Any]]] = {}
        self._pushed: dict[Key, Any] = {}
        self._owners: dict[Key, Any] | None = None
        self._changed = threading.Event()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._responses: set[http.client.HTTPConnection] = set()

    # -- how it is told to behave
    def die(self) -> None:
        self.alive = False

    def revive(self) -> None:
        self.alive = True
        self._changed.set()

    # -- what it sees
    def watch(self, kind: Kind) -> None:
        """List, then follow the changes; anew whenever the connection ends."""
        while not self._stop.is_set():
            with suppress(OSError, http.client.HTTPException, ValueError, AttributeError):
                self._follow(kind)
            self._stop.wait(0.05)

    def _follow(self, kind: Kind) -> None:
        address = urlsplit(self._server.url)
        connection = http.client.HTTPSConnection(str(address.hostname), address.port, timeout=300, context=self._server.tls())
        headers = {"Authorization": f"Bearer {self._server.tokens[ADMIN]}"}
        with closing(connection):
            connection.request("GET", kind.path(None), headers=headers)
            listed = json.loads(connection.getresponse().read())
            with self._lock:
                if self._stop.is_set():
                    return
                self._responses.add(connection)
                self._seen[kind.name] = {_key(item): _plain(kind, item) for item in listed["items"]}
            self._changed.set()
            version = listed["metadata"]["resourceVersion"]
            connection.request("GET", f"{kind.path(None)}?watch=true&resourceVersion={version}", headers=headers)
            for line in connection.getresponse():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                with self._lock:
                    if event["type"] == "DELETED":
                        self._seen[kind.name].pop(_key(event["object"]), None)
                    else:
                        self._seen[kind.name][_key(event["object"])] = _plain(kind, event["object"])
                self._changed.set()

    # -- what it pushes
    def push(self) -> None:
        while True:
            self._changed.wait()
            if self._stop.is_set():
                return
            self._changed.clear()
            self._stop.wait(self.lag)
            if self.alive:
                self._push_owners()
                self._push_filters()

    def _push_filters(self) -> None:
        with self._lock:
            wanted = dict(self._seen.get(ENVOY_FILTER.name, {}))
        changed = [an_object for key, an_object in wanted.items() if self._pushed.get(key) != an_object]
        gone = [key for key in self._pushed if key not in wanted]
        self._pushed = wanted
        if self.refuses and changed:
            self.refused += [an_object["metadata"]["name"] for an_object in changed]
            changed = []
        with self._noting():
            self._mesh.delete(gone)
        with self._noting():
            self._mesh.apply(changed)

    def _push_owners(self) -> None:
        with self._lock:
            if not all(kind.name in self._seen for kind in OWNERS):
                return
            owners = {(kind.name, *key): raw for kind in OWNERS for key, raw in self._seen[kind.name].items()}
        before, self._owners = self._owners, owners  # type: ignore[assignment]
        if before is None or before == owners:
            return  # what stands there at the beginning is what the mesh was started with
        others = [document for document in self._mesh.manifests if document.kind not in {kind.name for kind in OWNERS}]
        with self._noting():
            self._mesh.update([*others, *(Document(raw=raw, file=Path("cluster.yaml"), lines={}) for raw in owners.values())])

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except ChaosError as refusal:
            self.refused.append(str(refusal))

    def end(self) -> None:
        with self._lock:
            self._stop.set()
            for connection in self._responses:
                if connection.sock is not None:
                    with suppress(OSError):
                        connection.sock.shutdown(2)
        self._changed.set()


@contextmanager
def watching(istiod: Istiod) -> Iterator[Istiod]:
    tasks = [threading.Thread(target=istiod.watch, args=(kind,), daemon=True) for kind in (ENVOY_FILTER, *OWNERS)]
    tasks.append(threading.Thread(target=istiod.push, daemon=True))
    for task in tasks:
        task.start()
    try:
        yield istiod
    finally:
        istiod.end()
        for task in tasks:
            task.join(10)


def _key(raw: Mapping[str, Any]) -> Key:
    return raw["metadata"]["namespace"], raw["metadata"]["name"]


def _plain(kind: Kind, raw: Mapping[str, Any]) -> dict[str, Any]:
    """As its owner wrote it, without what the server keeps about it."""
    metadata = {key: value for key, value in raw["metadata"].items() if key in KEPT}
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": raw.get("spec", {})}
