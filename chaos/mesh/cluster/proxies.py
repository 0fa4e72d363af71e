"""What does the proxy of a pod hold? Its admin interface by port-forward, or by exec of `pilot-agent` where that is all we may.

The interface listens on the pod's loopback only; the API server's pod proxy does not reach it. Answers are filtered on the proxy's
side wherever they can be: the whole dump of a large mesh is megabytes.
"""

from __future__ import annotations

import copy
import http.client
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from chaos.envoy.configuration import Configuration, Resource
from chaos.errors import Forbidden, NotFound, Unreachable
from chaos.mesh.admin import AdminInterface
from chaos.mesh.cluster.client import Client
from chaos.mesh.cluster.inventory import PROXY
from chaos.mesh.cluster.tunnels import TunnelledHTTP, execute
from chaos.mesh.port import Resource as Kind

ADMIN_PORT: Final = 15000
ANSWER_WITHIN: Final = 15.0
"""Seconds for one answer, the whole configuration of a large mesh included."""
TRIES: Final = 3


class Proxy(AdminInterface):
    """The admin interface of one pod's Envoy."""

    def __init__(self, client: Client, namespace: str, pod: str) -> None:
        self.proxy = f"the proxy of {pod}.{namespace}"
        self._client = client
        self._namespace = namespace
        self._pod = pod
        self._lock = threading.Lock()
        self._by_exec = False
        self._connection = TunnelledHTTP(client, namespace, pod, ADMIN_PORT, timeout=ANSWER_WITHIN)

    def ask(self, path: str, method: str = "GET") -> bytes:
        with self._lock:
            if not self._by_exec:
                try:
                    return self._asked(method, path)
                except Forbidden as no_forward:
                    self._by_exec = True
                    forbidden = no_forward
            else:
                forbidden = None
            try:
                return self._executed(method, path)
            except Forbidden as no_exec:
                raise (forbidden or no_exec) from no_exec
            except NotFound as gone:
                raise Unreachable(f"{self.proxy} cannot be asked: {gone}") from gone

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _asked(self, method: str, path: str) -> bytes:
        """A port-forward may drop at any time, and every question may be asked again."""
        for left in reversed(range(TRIES)):
            try:
                status, body = self._exchange(method, path)
            except NotFound as gone:
                raise Unreachable(f"{self.proxy} cannot be asked: {gone}") from gone
            except (OSError, http.client.HTTPException, Unreachable) as error:
                if not left:
                    what = path.partition("?")[0]
                    raise Unreachable(f"{self.proxy} does not answer {what}: {error or type(error).__name__}") from error
            else:
                if status != http.client.OK:
                    text = body[:256].decode(errors="replace")
                    raise Unreachable(f"{method} {path} at {self.proxy} was answered with {status}: {text}")
                return body
        raise AssertionError("the last try returns or raises")  # pragma: no cover

    def _exchange(self, method: str, path: str) -> tuple[int, bytes]:
        try:
            self._connection.request(method, path)
            response = self._connection.getresponse()
            return response.status, response.read()
        except BaseException:  # half an exchange: the next question needs a connection of its own
            self._connection.close()
            raise

    def _executed(self, method: str, path: str) -> bytes:
        command = ["pilot-agent", "request", method, path]
        return execute(self._client, self._namespace, self._pod, PROXY, command, timeout=ANSWER_WITHIN)

    # -- what it holds
    def configuration(self) -> Configuration:
        """Everything in force; endpoints as the proxy was told them, without what it found out about their health."""
        return Configuration(
            listeners=tuple(self.dump(Kind.LISTENERS)),
            routes=tuple(self.dump(Kind.ROUTES)),
            clusters=tuple(self.dump(Kind.CLUSTERS)),
            endpoints=self._endpoints("/config_dump?include_eds&resource=dynamic_endpoint_configs"),
        )

    def _endpoints(self, query: str) -> tuple[Resource, ...]:
        dumped = json.loads(self.ask(query)).get("configs", [])
        endpoints = [entry["endpoint_config"] for entry in dumped if "endpoint_config" in entry]
        told = self._told_health() if _unhealthy(endpoints) else {}
        return tuple(_as_told(assignment, told) for assignment in endpoints)

    def part(self, *, routes: Sequence[str], clusters: Sequence[str]) -> Configuration:
        """Of these names alone, and no listeners: filtered by the proxy, as it is asked for every second."""
        wanted = "|".join(map(re.escape, clusters))
        query = f"/config_dump?include_eds&resource=dynamic_endpoint_configs&name_regex={quote(wanted, safe='')}"
        return Configuration(
            routes=tuple(self.dump(Kind.ROUTES, "|".join(map(re.escape, routes)))),
            clusters=tuple(self.dump(Kind.CLUSTERS, wanted)),
            endpoints=self._endpoints(query),
        )

    def has_internal_listeners(self) -> bool:
        """Was it started with what private paths are made of? Istio's own bootstrap has it since before 1.23."""
        dumped = json.loads(self.ask("/config_dump?mask=bootstrap.bootstrap_extensions")).get("configs", [])
        found = [each for config in dumped for each in config.get("bootstrap", {}).get("bootstrap_extensions", [])]
        return any(each.get("name") == "envoy.bootstrap.internal_listener" for each in found)

    def stats_config(self) -> Mapping[str, Any]:
        """Which of its statistics it was told to keep, as its bootstrap has it."""
        dumped = json.loads(self.ask("/config_dump?mask=bootstrap.stats_config")).get("configs", [])
        return next((c["bootstrap"]["stats_config"] for c in dumped if "stats_config" in c.get("bootstrap", {})), {})

    def rejections(self) -> int:
        """How often it has refused listeners or clusters that were sent to it."""
        return sum(self.counters(r"^(cluster_manager\.cds|listener_manager\.lds)\.update_rejected$").values())

    def rejection(self) -> str:
        """Why it refused the last, where it still knows."""
        dumped = json.loads(self.ask(f"/config_dump?resource={Kind.LISTENERS.value}")).get("configs", [])
        told = [str(entry["error_state"].get("details", "")) for entry in dumped if "error_state" in entry]
        return " ".join(next((text for text in told if text), "its own log says why").split())[:256]

    def version(self) -> str:
        """Istio's, as the proxy was started with it; empty where it does not say."""
        node = json.loads(self.ask("/server_info")).get("node") or {}
        return str((node.get("metadata") or {}).get("ISTIO_VERSION") or "")

    def _told_health(self) -> dict[str, str]:
        """Address -> health as the control plane says it. A dump shows what outlier detection made of that (measured on 1.40)."""
        statuses = json.loads(self.ask("/clusters?format=json")).get("cluster_statuses", [])
        return {
            _address(host.get("address", {})): str(host.get("health_status", {}).get("eds_health_status", ""))
            for status in statuses
            for host in status.get("host_statuses", [])
        }


def _unhealthy(endpoints: list[Resource]) -> bool:
    return any(endpoint.get("health_status") != "HEALTHY" for assignment in endpoints for endpoint in _endpoints(assignment))


def _endpoints(assignment: Mapping[str, Any]) -> Iterator[Resource]:
    for locality in assignment.get("endpoints", []):
        yield from locality.get("lb_endpoints", [])


def _as_told(assignment: Resource, told: Mapping[str, str]) -> Resource:
    """A dump writes out what nobody sent: empty health checks, weights of 0 (which no proxy would take), default policies."""
    plain = copy.deepcopy({key: value for key, value in assignment.items() if key not in ("@type", "policy")})
    for locality in plain.get("endpoints", []):
        # In the order of their addresses: the proxy's own changes with every update.
        locality.get("lb_endpoints", []).sort(key=lambda e: _address(e.get("endpoint", {}).get("address", {})))
        if not locality.get("load_balancing_weight"):
            locality.pop("load_balancing_weight", None)
        if not locality.get("locality"):
            locality.pop("locality", None)
    for endpoint in _endpoints(plain):
        inside = endpoint.get("endpoint", {})
        if not inside.get("health_check_config"):
            inside.pop("health_check_config", None)
        health = told.get(_address(inside.get("address", {}))) or endpoint.get("health_status")
        if health in ("HEALTHY", "UNKNOWN", None):
            endpoint.pop("health_status", None)
        else:
            endpoint["health_status"] = health
    return plain


def _address(address: Mapping[str, Any]) -> str:
    found = address.get("socket_address", {})
    return f"{found.get('address', '')}:{found.get('port_value', '')}"
