"""What does a patch of an EnvoyFilter apply to? Its context, and the listener, route or cluster it asks for.

Comes before `patches`, which carries the operations out. Facts: istio pilot/pkg/networking/core/envoyfilter (listener_patch.go,
rc_patch.go, cluster_patch.go); names are compared exactly.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from chaos.envoy.configuration import Resource
from chaos.envoy.naming import parse_cluster

SIDECAR_INBOUND = "SIDECAR_INBOUND"
SIDECAR_OUTBOUND = "SIDECAR_OUTBOUND"
GATEWAY = "GATEWAY"
_VIRTUAL = frozenset({"virtualInbound", "virtualOutbound"})
_ACTIONS = {"ROUTE": "route", "REDIRECT": "redirect", "DIRECT_RESPONSE": "direct_response"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patch:
    """One entry of `configPatches`, ready to be applied."""

    apply_to: str
    operation: str
    context: str
    value: Resource
    """In canonical form (see `merging`); empty for REMOVE."""
    listener: Mapping[str, Any] | None = None
    routes: Mapping[str, Any] | None = None
    """`match.routeConfiguration`"""
    cluster: Mapping[str, Any] | None = None

    @property
    def merges(self) -> bool:
        return self.operation in ("MERGE", "MERGE_AND_REPLACE_LIST")

    @property
    def replaces_lists(self) -> bool:
        return self.operation == "MERGE_AND_REPLACE_LIST"

    def is_for(self, context: str) -> bool:
        return self.context in ("ANY", context)

    @property
    def names_route(self) -> bool:
        return bool(self._virtual_host.get("route"))

    @property
    def names_listener_filter(self) -> bool:
        return bool((self.listener or {}).get("listenerFilter"))

    @property
    def names_network_filter(self) -> bool:
        return bool(self._network_filter)

    @property
    def names_http_filter(self) -> bool:
        return bool(self._network_filter.get("subFilter"))

    @property
    def _virtual_host(self) -> Mapping[str, Any]:
        return (self.routes or {}).get("vhost") or {}

    @property
    def _chain(self) -> Mapping[str, Any]:
        return (self.listener or {}).get("filterChain") or {}

    @property
    def _network_filter(self) -> Mapping[str, Any]:
        return self._chain.get("filter") or {}

    # ------------------------------------------------------------------------------------------------------- listeners
    def meets_listener(self, listener: Mapping[str, Any]) -> bool:
        """On the two virtual listeners the port is compared with each chain's instead (`meets_chain`)."""
        match = self.listener
        if not match:
            return True
        if match.get("name") and match["name"] != listener.get("name"):
            return False
        if self.apply_to != "LISTENER" and listener.get("name") in _VIRTUAL:
            return True
        return not match.get("portNumber") or _port_of(listener) == int(match["portNumber"])

    def meets_chain(self, listener: Mapping[str, Any], chain: Mapping[str, Any]) -> bool:
        match = self.listener
        if not match:
            return True
        at = chain.get("filter_chain_match") or {}
        port = int(match.get("portNumber") or 0)
        if listener.get("name") in _VIRTUAL and port and at.get("destination_port") != port:
            return False
        wanted = self._chain
        protocols = [p for p in str(wanted.get("applicationProtocols") or "").split(",") if p]
        return (
            (not wanted.get("name") or wanted["name"] == chain.get("name"))
            and (not wanted.get("sni") or wanted["sni"] in at.get("server_names", ()))
            and (not wanted.get("transportProtocol") or wanted["transportProtocol"] == at.get("transport_protocol"))
            and all(protocol in at.get("application_protocols", ()) for protocol in protocols)
            and (not wanted.get("destinationPort") or int(wanted["destinationPort"]) == at.get("destination_port"))
        )

    def meets_listener_filter(self, name: str) -> bool:
        return not self.names_listener_filter or (self.listener or {})["listenerFilter"] == name

    def meets_network_filter(self, name: str) -> bool:
        return not self.names_network_filter or self._network_filter.get("name", "") == name

    def meets_http_filter(self, name: str) -> bool:
        return not self.names_http_filter or self._network_filter["subFilter"].get("name", "") == name

    # ---------------------------------------------------------------------------------------------------------- routes
    def meets_routes(self, name: str, context: str, gateway_ports: Mapping[int, Collection[int]]) -> bool:
        """Does it mean the route configuration of this name? Its port is the service port; at gateways, the server's."""
        match = self.routes
        if not match:
            return True
        if match.get("name") and match["name"] != name:
            return False
        wanted = int(match.get("portNumber") or 0)
        if context != GATEWAY:
            return not wanted or wanted == _port_in_name(name)
        asked = _GatewayRoutes.parse(name)
        if wanted and wanted not in gateway_ports.get(asked.port, (asked.port,)):
            return False
        return match.get("portName") in (None, "", asked.port_name) and match.get("gateway") in (None, "", asked.gateway)

    def meets_virtual_host(self, virtual_host: Mapping[str, Any]) -> bool:
        wanted = self._virtual_host
        if wanted.get("name") and wanted["name"] != virtual_host.get("name"):
            return False
        return not wanted.get("domainName") or wanted["domainName"] in virtual_host.get("domains", ())

    def meets_route(self, route: Mapping[str, Any]) -> bool:
        wanted = self._virtual_host.get("route") or {}
        if wanted.get("name") and wanted["name"] != route.get("name"):
            return False
        action = wanted.get("action") or "ANY"
        if action == "ANY" or not any(kind in route for kind in _ACTIONS.values()):
            return True
        return _ACTIONS.get(action) in route

    # -------------------------------------------------------------------------------------------------------- clusters
    def meets_cluster(self, name: str, inbound_hosts: Collection[str]) -> bool:
        """Inbound clusters have no host in their name: those of the services that lead there count."""
        match = self.cluster
        if not match:
            return True
        if match.get("name"):
            return bool(match["name"] == name)
        parts = parse_cluster(name)
        meant = inbound_hosts if parts.direction == "inbound" and inbound_hosts else (parts.host,)
        if match.get("subset") and match["subset"] != parts.subset:
            return False
        if match.get("service") and match["service"] not in meant:
            return False
        return not match.get("portNumber") or int(match["portNumber"]) == parts.port


@dataclass(frozen=True, slots=True)
class _GatewayRoutes:
    """`http.8080` or `https.443.https.gateway.namespace`, taken apart."""

    port: int = 0
    port_name: str = ""
    gateway: str = field(default="")

    @classmethod
    def parse(cls, name: str) -> _GatewayRoutes:
        parts = name.split(".")
        if parts[0] == "http" and len(parts) >= 2 and parts[1].isdigit():
            return cls(int(parts[1]))
        if parts[0] == "https" and len(parts) == 5 and parts[1].isdigit():
            return cls(int(parts[1]), parts[2], f"{parts[4]}/{parts[3]}")
        return cls()


def _port_in_name(name: str) -> int:
    """`9080` and `inbound|9080||` have one; a sniffed port's `host:9080` counts as none."""
    return parse_cluster(name).port if name.startswith("inbound|") else int(name) if name.isdigit() else 0


def _port_of(listener: Mapping[str, Any]) -> int | None:
    port: int | None = (listener.get("address") or {}).get("socket_address", {}).get("port_value")
    return port
