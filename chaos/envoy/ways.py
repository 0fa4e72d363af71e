"""By which ports and names does a gateway lead to a service? Read from what its proxy holds, made by istiod or by us."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from chaos.envoy.configuration import Configuration, Resource
from chaos.envoy.naming import parse_cluster

CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A virtual host of which at least one route leads to the service."""

    port: int
    """Of the gateway's own proxy."""
    host: str | None
    """To be named in the request; None: any will do."""
    alone: bool
    """It leads nowhere else."""
    plain: bool
    """It can be taken without TLS."""
    domains: tuple[str, ...] = ()


def ways(gateway: Configuration, service: str, host: str, port: int) -> Iterator[Way]:
    """Every way to `host:port`; `service` is what a wildcard name is filled in with."""
    for number, virtual_host, plain in _served(gateway):
        ends = {_end(cluster) for route in virtual_host["routes"] for cluster in _clusters(route.get("route", {}))}
        if (host, port) in ends:
            domains = tuple(virtual_host["domains"])
            alone = ends <= {(host, port), _OURS}
            yield Way(port=number, host=_host(domains, service), alone=alone, plain=plain, domains=domains)


def best(found: Iterable[Way]) -> Way | None:
    """Of those without TLS: of several names one that is no wildcard, and that leads nowhere else."""
    plain = [way for way in found if way.plain]
    return min(plain, key=lambda way: (way.host is None, not way.alone)) if plain else None


_OURS = ("", 0)
"""Where a cluster leads whose name istiod did not make."""


def _served(gateway: Configuration) -> Iterator[tuple[int, Resource, bool]]:
    """(port, virtual host, can be had without TLS)"""
    by_name = {routes["name"]: routes for routes in gateway.routes}
    for listener in gateway.listeners:
        number = (listener.get("address") or {}).get("socket_address", {}).get("port_value")
        for chain in _chains(listener) if number else ():
            for virtual_host in (host for name in _route_configurations(chain) for host in _hosts(by_name.get(name))):
                plain = "transport_socket" not in chain and virtual_host.get("require_tls") != "ALL"
                yield int(number), virtual_host, plain


def _chains(listener: Resource) -> list[Resource]:
    return [*listener.get("filter_chains", ()), *([listener["default_filter_chain"]] if "default_filter_chain" in listener else [])]


def _hosts(routes: Resource | None) -> list[Resource]:
    return [host for host in (routes or {}).get("virtual_hosts", ()) if host.get("routes")]


def _route_configurations(chain: Resource) -> Iterator[str]:
    for network_filter in chain.get("filters", ()):
        manager = network_filter.get("typed_config", {})
        if network_filter.get("name") == CONNECTION_MANAGER and "rds" in manager:
            yield str(manager["rds"]["route_config_name"])


def _end(cluster: str) -> tuple[str, int]:
    parsed = parse_cluster(cluster)
    return parsed.host, parsed.port


def _clusters(action: Resource) -> Iterator[str]:
    if "cluster" in action:
        yield action["cluster"]
    yield from (weighted["name"] for weighted in action.get("weighted_clusters", {}).get("clusters", ()))


def _host(domains: Sequence[str], service: str) -> str | None:
    """A name that the virtual host takes; of a wildcard, the service's name under it."""
    named = next((domain for domain in domains if not domain.startswith("*")), domains[0])
    return None if named == "*" else named.replace("*", service, 1)
