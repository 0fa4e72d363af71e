"""What would istiod push to this proxy? The one entry point from Istio's objects to Envoy's configuration.

Listeners name the route configurations, routes name the clusters, clusters name the endpoints: they are made in that
order, then EnvoyFilters are applied to the whole. Everything here is pure: the same world gives the same configuration.
"""

from __future__ import annotations

from collections.abc import Iterable

from chaos.envoy import patches
from chaos.envoy.clusters import clusters
from chaos.envoy.configuration import Configuration, Resource
from chaos.envoy.endpoints import endpoints
from chaos.envoy.gateways import gateway_listeners, gateway_routes
from chaos.envoy.inbound import inbound_listeners
from chaos.envoy.listeners import outbound_listeners, route_names
from chaos.envoy.proxyconfig import tells_forwarded_host
from chaos.envoy.virtualhosts import RuleOf, attempts_counted, outbound_routes
from chaos.istio.destinationrules import DestinationRule, rule_for
from chaos.istio.gateways import merged_gateway
from chaos.istio.scope import Scope, scope_of
from chaos.istio.selection import selecting_labels
from chaos.istio.services import Service
from chaos.istio.targets import inbound_hosts
from chaos.istio.world import Proxy, World


def translate(world: World, proxy_name: str) -> Configuration:
    """What the proxy of pod `POD.NAMESPACE` gets. Raises ConfigurationError where there is no such pod."""
    proxy = world.proxy(proxy_name)
    plain = _gateway(world, proxy) if proxy.is_gateway else _sidecar(world, proxy)
    filters = patches.filters_for(world, proxy)
    if not filters:
        return plain
    return patches.apply(
        plain,
        filters,
        proxy,
        root_namespace=world.mesh.root_namespace,
        profile=world.profile,
        gateway_ports=merged_gateway(world, proxy).service_ports if proxy.is_gateway else {},
        inbound_hosts=inbound_hosts(world, proxy),
    )


def _sidecar(world: World, proxy: Proxy) -> Configuration:
    scope = scope_of(world, proxy)
    outbound = outbound_listeners(world, proxy, scope, lambda service: _addresses(world, service))
    rule_of = _rules(world, proxy)
    routes = [_routes(world, proxy, scope, name, rule_of) for name in route_names(outbound)]
    inbound = inbound_listeners(world, proxy, scope)
    return _configuration(world, proxy, [*outbound, *inbound], routes)


def _routes(world: World, proxy: Proxy, scope: Scope, name: str, rule_of: RuleOf) -> Resource:
    """Proxies of one scope differ in their routes only by what rules ask of them, so they share what they have in common."""
    headers = (attempts_counted(world, proxy), tells_forwarded_host(world, proxy.pod))
    key = ("routes", scope, name, headers, selecting_labels(world, proxy))
    return world.remember(key, lambda: outbound_routes(world, proxy, scope, name, rule_of))


def _gateway(world: World, proxy: Proxy) -> Configuration:
    merged = merged_gateway(world, proxy)
    listeners = gateway_listeners(world, proxy, merged)
    routes = gateway_routes(world, proxy, merged, _rules(world, proxy))
    return _configuration(world, proxy, listeners, routes)


def _configuration(world: World, proxy: Proxy, listeners: Iterable[Resource], routes: Iterable[Resource]) -> Configuration:
    made = tuple(clusters(world, proxy))
    return Configuration(
        listeners=tuple(listeners), routes=tuple(routes), clusters=made, endpoints=tuple(endpoints(world, proxy, made))
    )


def _rules(world: World, proxy: Proxy) -> RuleOf:
    known: dict[str, DestinationRule | None] = {}

    def rule_of(host: str) -> DestinationRule | None:
        if host not in known:
            known[host] = rule_for(world, proxy, host)
        return known[host]

    return rule_of


def _addresses(world: World, service: Service) -> Iterable[str]:
    """Of the endpoints behind a service without an address of its own."""
    for endpoint in service.endpoints:
        yield str(endpoint.get("address") or "")
    if service.selector:
        for pod in world.pods_with(service.namespace, service.selector):
            yield pod.ip
