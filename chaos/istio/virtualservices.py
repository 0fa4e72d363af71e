"""Which VirtualServices are there for whom? Names resolved, delegates merged into their roots, indexed by visibility.

A `VirtualService` here is what istiod works with: every host, gateway and destination written out in full, every delegate
already merged. `scope` comes next: it selects those that one proxy imports. Facts: istio pilot/pkg/model/virtualservice.go
and push_context.go.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chaos.istio import services
from chaos.istio.delegates import merge_routes
from chaos.istio.documents import Document
from chaos.istio.hosts import EVERYONE, NOBODY, OWN_NAMESPACE, fully_qualified
from chaos.istio.world import World

MESH = "mesh"
Rule = Mapping[str, Any]
"""One entry of `http`, `tcp` or `tls`, as written but for resolved names."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VirtualService:
    name: str
    namespace: str
    hosts: tuple[str, ...]
    gateways: tuple[str, ...]
    """`mesh` or `namespace/name`; never empty."""
    export_to: frozenset[str]
    http: tuple[Rule, ...]
    tcp: tuple[Rule, ...]
    tls: tuple[Rule, ...]
    document: Document

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


def all_of(world: World) -> tuple[VirtualService, ...]:
    """Every VirtualService that has hosts, with its delegates merged, by age."""
    return world.remember("virtual services", lambda: _merged(world))


def bound_to(world: World, gateway: str, namespace: str) -> tuple[VirtualService, ...]:
    """Those bound to `gateway` that `namespace` can see: its private ones, those exported to it by name, public ones.

    Each group by age (PushContext `VirtualServicesForGateway`).
    """
    index = world.remember("virtual services by visibility", lambda: _Index(all_of(world)))
    return index.bound_to(gateway, namespace)


def resolve(document: Document, *, domain: str, default_export_to: Collection[str]) -> VirtualService:
    """One VirtualService as written, its names in full (`resolveVirtualServiceShortnames`)."""
    spec, namespace = document.spec, document.namespace

    def host(name: object) -> str:
        return fully_qualified(str(name or ""), namespace, domain)

    return VirtualService(
        name=document.name,
        namespace=namespace,
        hosts=tuple(host(h) for h in spec.get("hosts") or ()),
        gateways=tuple(_gateway(g, namespace) for g in spec.get("gateways") or (MESH,)),
        export_to=frozenset(map(str, spec.get("exportTo") or default_export_to)),
        http=tuple(_resolved_rule(rule, namespace, domain) for rule in spec.get("http") or ()),
        tcp=tuple(_resolved_rule(rule, namespace, domain) for rule in spec.get("tcp") or ()),
        tls=tuple(_resolved_rule(rule, namespace, domain) for rule in spec.get("tls") or ()),
        document=document,
    )


def destinations(service: VirtualService) -> Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """(rule, destination) for every route and mirror of every protocol."""
    for rule in (*service.http, *service.tcp, *service.tls):
        for route in rule.get("route") or ():
            if route.get("destination"):
                yield rule, route["destination"]
        if rule.get("mirror"):
            yield rule, rule["mirror"]
        for mirror in rule.get("mirrors") or ():
            if mirror.get("destination"):
                yield rule, mirror["destination"]


class _Index:
    """By gateway and audience, each list in order of age. `*` makes public whatever stands beside it; `~` hides."""

    def __init__(self, everything: Iterable[VirtualService]) -> None:
        self.public: dict[str, list[VirtualService]] = defaultdict(list)
        self.private: dict[tuple[str, str], list[VirtualService]] = defaultdict(list)
        self.named: dict[tuple[str, str], list[VirtualService]] = defaultdict(list)
        self.asked: dict[tuple[str, str], tuple[VirtualService, ...]] = {}
        for service in everything:
            for gateway in service.gateways:
                self._file(service, gateway)

    def _file(self, service: VirtualService, gateway: str) -> None:
        if EVERYONE in service.export_to:
            self.public[gateway].append(service)
            return
        if NOBODY in service.export_to:
            return
        for audience in sorted(service.export_to):
            if audience in (OWN_NAMESPACE, service.namespace):
                self.private[gateway, service.namespace].append(service)
            else:
                self.named[gateway, audience].append(service)

    def bound_to(self, gateway: str, namespace: str) -> tuple[VirtualService, ...]:
        key = (gateway, namespace)
        if key not in self.asked:
            own, named = self.private.get(key, ()), self.named.get(key, ())
            self.asked[key] = tuple(dict.fromkeys((*own, *named, *self.public.get(gateway, ()))))
        return self.asked[key]


def _merged(world: World) -> tuple[VirtualService, ...]:
    found = [
        resolve(d, domain=world.mesh.domain, default_export_to=world.mesh.default_virtual_service_export_to)
        for d in world.virtual_services
    ]
    delegates = {service.key: service for service in found if not service.hosts}
    roots = (_with_delegates(service, delegates) for service in found if service.hosts)
    return tuple(sorted(roots, key=lambda service: services.age(service.document)))


def _with_delegates(root: VirtualService, delegates: Mapping[str, VirtualService]) -> VirtualService:
    """Rules that delegate replaced by the delegate's, merged; one whose delegate is missing or hidden disappears alone."""
    if not any(rule.get("delegate") for rule in root.http):
        return root
    rules: list[Rule] = []
    for rule in root.http:
        if not rule.get("delegate"):
            rules.append(rule)
            continue
        named = rule["delegate"]
        delegate = delegates.get(f"{named.get('namespace') or root.namespace}/{named.get('name')}")
        if delegate and _reaches(delegate, root.namespace):
            rules += merge_routes(rule, delegate.http)
    return replace(root, http=tuple(rules))


def _reaches(delegate: VirtualService, namespace: str) -> bool:
    if EVERYONE in delegate.export_to or namespace in delegate.export_to:
        return True
    return OWN_NAMESPACE in delegate.export_to and delegate.namespace == namespace


def _gateway(name: object, namespace: str) -> str:
    """`gw` -> `<namespace>/gw`; `./gw` means the own namespace too; names that look like hosts keep their first label.

    istio pkg/config/gateway `ResolveGatewayName`.
    """
    text = str(name)
    if text == MESH:
        return text
    own, slash, rest = text.partition("/")
    if slash:
        return f"{namespace}/{rest}" if own == "." else text
    label, dot, host_namespace = text.partition(".")
    if dot:
        return f"{host_namespace.split('.', 1)[0]}/{label}"
    return f"{namespace}/{text}"


def _resolved_rule(rule: Rule, namespace: str, domain: str) -> Rule:
    def destination(raw: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**raw, "host": fully_qualified(str(raw.get("host") or ""), namespace, domain)}

    def holders(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return [{**e, "destination": destination(e["destination"])} if e.get("destination") else e for e in entries]

    out = dict(rule)
    if rule.get("match"):
        out["match"] = [
            {**m, "gateways": [_gateway(g, namespace) for g in m["gateways"]]} if m and m.get("gateways") else (m or {})
            for m in rule["match"]
        ]
    for key in ("route", "mirrors"):
        if rule.get(key):
            out[key] = holders(rule[key])
    if rule.get("mirror"):
        out["mirror"] = destination(rule["mirror"])
    return out
