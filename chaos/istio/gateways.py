"""What does a gateway proxy serve? Every Gateway that selects it, merged into servers per port and route configuration.

The Envoy side (`chaos.envoy.gateways`) makes listeners and routes of it. Facts: istio pilot/pkg/model/gateway.go (`mergeGateways`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaos.istio import hosts
from chaos.istio.documents import Document
from chaos.istio.services import Protocol, parse_protocol
from chaos.istio.targets import service_targets
from chaos.istio.world import Proxy, World

UNTRANSLATED = "experimental.istio.io/disable-gateway-port-translation"
PASSTHROUGH_MODES = frozenset({"PASSTHROUGH", "AUTO_PASSTHROUGH"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Server:
    """One server of one Gateway at one port of the proxy."""

    gateway: str
    """`namespace/name`"""
    name: str
    number: int
    """The port as the Gateway writes it."""
    bound: int
    """The port the proxy listens on: the target port of the service port, if a service of the proxy has it."""
    port_name: str
    protocol: Protocol
    bind: str
    hosts: tuple[str, ...]
    """`host`, or `namespace/host` where only VirtualServices of that namespace may use it."""
    tls: Mapping[str, Any] | None
    route_name: str
    """Its route configuration: `http.8080`, `https.443.https.gw.ns`; empty for servers that see no HTTP."""

    @property
    def is_passthrough(self) -> bool:
        return self.tls is not None and self.tls.get("mode") in PASSTHROUGH_MODES

    @property
    def redirects_to_https(self) -> bool:
        return bool(self.tls and self.tls.get("httpsRedirect"))

    def hosts_for(self, namespace: str) -> list[str]:
        """Those that VirtualServices of `namespace` may claim."""
        out = []
        for host in self.hosts:
            where, slash, name = host.partition("/")
            if not slash:
                out.append(host)
            elif where in ("*", namespace):
                out.append(name)
        return out


@dataclass(slots=True)
class MergedGateway:
    """Servers by (bound port, bind), and by route configuration, in the order of their Gateways' age."""

    by_port: dict[tuple[int, str], list[Server]] = field(default_factory=dict)
    by_route: dict[str, list[Server]] = field(default_factory=dict)

    @property
    def service_ports(self) -> Mapping[int, frozenset[int]]:
        """Bound port -> the ports that Gateways write for it, where they differ; EnvoyFilters on routes mean the latter."""
        ports: dict[int, set[int]] = {}
        for servers in self.by_port.values():
            for server in servers:
                ports.setdefault(server.bound, set()).add(server.number)
        return {bound: frozenset(numbers) for bound, numbers in ports.items() if numbers != {bound}}


def merged_gateway(world: World, proxy: Proxy) -> MergedGateway:
    """Every Gateway whose selector picks the proxy, whatever its namespace."""
    return world.remember(("merged gateway", proxy.id), lambda: _merge(world, proxy))


def _merge(world: World, proxy: Proxy) -> MergedGateway:
    merged = MergedGateway()
    claimed: dict[int, dict[str, str]] = {}
    for gateway in world.gateways:
        if not proxy.pod.has(gateway.spec.get("selector") or {}):
            continue
        for raw in gateway.spec.get("servers") or ():
            server = _server(gateway, raw, _bound_port(world, proxy, int((raw.get("port") or {}).get("number") or 0)))
            if _tls_hosts_free(server, claimed):
                _place(merged, server)
    return merged


def _bound_port(world: World, proxy: Proxy, number: int) -> int:
    """Where a server's port is taken: at the target port of the proxy's oldest service with that port, else at itself."""
    for target in service_targets(world, proxy.pod):
        if target.port.number == number and UNTRANSLATED not in target.service.labels:
            return target.number
    return number


def _server(gateway: Document, raw: Mapping[str, Any], bound: int) -> Server:
    port = raw.get("port") or {}
    protocol = parse_protocol(str(port.get("protocol") or ""))
    number, name, bind = int(port.get("number") or 0), str(port.get("name") or ""), str(raw.get("bind") or "")
    tls = raw.get("tls")
    route = ""
    if protocol.is_http:
        route = f"http.{bound}.{bind}" if bind else f"http.{bound}"
    elif protocol is Protocol.HTTPS and tls is not None and tls.get("mode") not in PASSTHROUGH_MODES:
        route = f"https.{number}.{name}.{gateway.name}.{gateway.namespace}"
    return Server(
        gateway=f"{gateway.namespace}/{gateway.name}",
        name=str(raw.get("name") or ""),
        number=number,
        bound=bound,
        port_name=name,
        protocol=protocol,
        bind=bind,
        hosts=_hosts(raw.get("hosts") or (), gateway.namespace),
        tls=tls,
        route_name=route,
    )


def _hosts(written: Iterable[str], namespace: str) -> tuple[str, ...]:
    """`./host` -> `<namespace>/host`, `*/host` -> `host`; `*/*` makes all others needless (`sanitizeServerHostNamespace`)."""
    out: list[str] = []
    for host in map(str, written):
        where, slash, name = host.partition("/")
        if not slash:
            out.append(host)
        elif where == ".":
            out.append(f"{namespace}/{name}")
        elif where == "*":
            if name == "*":
                return ("*",)
            out.append(name)
        else:
            out.append(host)
    return tuple(out)


def _tls_hosts_free(server: Server, claimed: dict[int, dict[str, str]]) -> bool:
    """Two TLS servers with one host on one port and bind cannot be told apart by SNI: the later one is skipped as a whole."""
    if server.tls is None:
        return True
    bind_of = claimed.setdefault(server.bound, {})
    if any(bind_of.get(host) == server.bind for host in server.hosts):
        return False
    bind_of.update(dict.fromkeys(server.hosts, server.bind))
    return True


def _place(merged: MergedGateway, server: Server) -> None:
    """Servers share a port if all speak plain HTTP, or all are told apart by TLS; what does not fit is skipped."""
    beside = merged.by_port.get((server.bound, server.bind))
    if beside is None:
        merged.by_port[server.bound, server.bind] = [server]
    else:
        plain = beside[0].protocol.is_http or beside[0].tls is None
        if plain and not (beside[0].protocol.is_http and server.protocol.is_http):
            return
        if not plain and (server.tls is None or (server.route_name and server.route_name in merged.by_route)):
            return
        beside.append(server)
    if server.route_name:
        merged.by_route.setdefault(server.route_name, []).append(server)


def intersection(ours: Sequence[str], theirs: Sequence[str]) -> list[str]:
    """The narrower host of every pair that overlaps (istio pkg/config/host `Names.Intersection`)."""
    found: dict[str, None] = {}
    for one in ours:
        for other in theirs:
            if hosts.covers(other, one):
                found[one] = None
            elif hosts.covers(one, other):
                found[other] = None
    return list(found)
