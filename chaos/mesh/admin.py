"""What does one Envoy say of itself? The questions to its admin interface and how its answers are read, whatever the way there.

The local mesh asks over a connection of its own (`chaos.mesh.local.admin`), a cluster through a port-forward or by exec
(`chaos.mesh.cluster.proxies`).
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from chaos.envoy.configuration import Configuration, Resource
from chaos.errors import Unreachable
from chaos.mesh.port import Host
from chaos.mesh.port import Resource as Kind

_INSIDE = {Kind.ROUTES: ("route_config",), Kind.CLUSTERS: ("cluster",), Kind.LISTENERS: ("active_state", "listener")}


class AdminInterface(ABC):
    """Safe to use from several threads, one question at a time."""

    proxy: str
    """As messages call it."""

    @abstractmethod
    def ask(self, path: str, method: str = "GET") -> bytes:
        """The body of the answer. Raises Unreachable if there is none, or none with status 200."""

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

    # -- its runtime
    def set_runtime(self, key: str, value: str) -> None:
        """In the layer of the admin interface, over all others, until the proxy ends; an empty value takes the key away."""
        self.ask(f"/runtime_modify?{quote(key, safe='')}={quote(value, safe='')}", "POST")

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
