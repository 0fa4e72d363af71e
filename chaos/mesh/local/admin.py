"""What does one Envoy say of itself? Its admin interface over one connection that is kept, as polling it must cost little.

`http.client` and not `httpx`: one question takes 0.25 ms instead of 1 ms, and a fault switch asks several.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from chaos.envoy.configuration import Configuration, Resource
from chaos.errors import Unreachable
from chaos.mesh.local.addresses import Endpoint
from chaos.mesh.port import Host
from chaos.mesh.port import Resource as Kind

TIMEOUT = 5.0
"""Seconds an admin interface may take for one answer; a config dump of a large mesh takes a tenth of one."""
_INSIDE = {Kind.ROUTES: ("route_config",), Kind.CLUSTERS: ("cluster",), Kind.LISTENERS: ("active_state", "listener")}


class Admin:
    """Safe to use from several threads, one question at a time."""

    def __init__(self, proxy: str, endpoint: Endpoint) -> None:
        self.proxy = proxy
        self.endpoint = endpoint
        self._lock = threading.Lock()
        self._connection = http.client.HTTPConnection(endpoint.address, endpoint.port, timeout=TIMEOUT)

    def ask(self, path: str, method: str = "GET") -> bytes:
        """The body of the answer. Raises Unreachable if there is none, or none with status 200."""
        with self._lock:
            try:
                status, body = self._exchange(method, path)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                raise Unreachable(
                    f"the admin interface of {self.proxy} ({self.endpoint}) does not answer: {error or type(error).__name__}; "
                    "envoy.log in the folder of this instance says why"
                ) from error
        if status != http.client.OK:
            text = body[:256].decode(errors="replace")
            raise Unreachable(f"{method} {path} at {self.proxy} ({self.endpoint}) was answered with {status}: {text}")
        return body

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _exchange(self, method: str, path: str) -> tuple[int, bytes]:
        reused = self._connection.sock is not None
        try:
            return self._once(method, path)
        except (http.client.RemoteDisconnected, ConnectionError):
            if not reused:
                raise
            # Envoy has closed an idle connection: no answer was lost, so the question may be asked again.
            self._connection.close()
            return self._once(method, path)

    def _once(self, method: str, path: str) -> tuple[int, bytes]:
        self._connection.request(method, path)
        response = self._connection.getresponse()
        return response.status, response.read()

    # -- statistics
    def ready(self) -> bool:
        """Has the first configuration been loaded?"""
        try:
            return self.ask("/ready").strip() == b"LIVE"
        except Unreachable:
            return False

    def texts(self, name_regex: str) -> Mapping[str, str]:
        """Text readouts, such as `listener_manager.lds.version_text`: the cheapest of all questions."""
        return {str(s["name"]): str(s["value"]) for s in self._stats("TextReadouts", name_regex)}

    def counters(self, name_regex: str) -> dict[str, int]:
        return {str(s["name"]): int(s["value"]) for s in self._stats("Counters", name_regex)}

    def gauges(self, name_regex: str) -> dict[str, int]:
        """Those that have ever been written."""
        return {str(s["name"]): int(s["value"]) for s in self._stats("Gauges", name_regex)}

    def gauge(self, name: str) -> int:
        """0 for one that has never been written."""
        return self.gauges(f"^{name}$").get(name, 0)

    def _stats(self, kind: str, name_regex: str) -> Sequence[Mapping[str, Any]]:
        answer = json.loads(self.ask(f"/stats?format=json&type={kind}&filter={quote(name_regex, safe='')}"))
        found: list[Mapping[str, Any]] = answer["stats"]
        return found

    # -- what it holds
    def dump(self, kind: Kind, name_regex: str = "") -> list[Resource]:
        """The resources in force of one type, without the dump's wrapping; `name_regex` must match the whole name (RE2)."""
        path = f"/config_dump?resource={kind.value}"
        if name_regex:
            path += f"&name_regex={quote(name_regex, safe='')}"
        return list(_unwrapped(json.loads(self.ask(path)).get("configs", []), _INSIDE[kind]))

    def configuration(self) -> Configuration:
        """Everything in force. Endpoints are those the clusters were sent with: the local mesh writes them into the clusters."""
        clusters = self.dump(Kind.CLUSTERS)
        return Configuration(
            listeners=tuple(self.dump(Kind.LISTENERS)),
            routes=tuple(self.dump(Kind.ROUTES)),
            clusters=tuple(clusters),
            endpoints=tuple(cluster["load_assignment"] for cluster in clusters if "load_assignment" in cluster),
        )

    def hosts(self, cluster: str) -> list[Host]:
        """The endpoints of one cluster; empty if the proxy does not have it."""
        # re.escape is right for RE2 too, but for characters that no cluster name has.
        pattern = quote("^" + "".join(c if c.isalnum() else f"\\{c}" for c in cluster) + "$", safe="")
        statuses = json.loads(self.ask(f"/clusters?format=json&filter={pattern}")).get("cluster_statuses", [])
        return [_host(status) for found in statuses if found["name"] == cluster for status in found.get("host_statuses", [])]


def _unwrapped(configs: Sequence[Mapping[str, Any]], inside: tuple[str, ...]) -> Iterator[Resource]:
    for wrapped in configs:
        found: Any = wrapped
        for key in inside:
            found = found.get(key) or {}
        if found:  # a listener that is still warming has no active state
            yield {key: value for key, value in found.items() if key != "@type"}


def _host(status: Mapping[str, Any]) -> Host:
    address = status["address"]
    ejected = bool(status.get("health_status", {}).get("failed_outlier_check"))
    if "envoy_internal_address" in address:
        return Host(address=str(address["envoy_internal_address"].get("endpoint_id", "")), ejected=ejected)
    socket_address = address.get("socket_address", {})
    return Host(address=f"{socket_address.get('address', '')}:{socket_address.get('port_value', '')}", ejected=ejected)
