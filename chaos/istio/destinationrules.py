"""Which DestinationRule is in force for a client and a host, and which policy does it give a port or a subset?

Comes after `scope` (which services a proxy knows at all). The cluster side (`chaos.envoy.clusters`) asks for the policy of
every port and subset, the route side for the hash that keeps a user on one replica (`chaos.envoy.hashing`).

Facts: istio pilot/pkg/model/push_context.go (`setDestinationRules`, `destinationRule`), destination_rule.go
(`mergeDestinationRule`), sidecar.go (`SidecarScope.DestinationRule`) and pilot/pkg/networking/util
(`GetPortLevelTrafficPolicy`, `MergeSubsetTrafficPolicy`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from chaos.istio import services
from chaos.istio.documents import Document
from chaos.istio.hosts import EVERYONE, OWN_NAMESPACE, fully_qualified, wildcards_over
from chaos.istio.scope import scope_of
from chaos.istio.services import Service
from chaos.istio.world import Proxy, World

Block = Mapping[str, Any]
"""One block of a trafficPolicy, as written."""
_MESH_DEFAULTS_SINCE = 31


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficPolicy:
    """What holds for one port of one host or subset. A block that nobody wrote is None: Istio's defaults apply."""

    connection_pool: Block | None = None
    outlier_detection: Block | None = None
    load_balancer: Block | None = None
    tls: Block | None = None
    proxy_protocol: Block | None = None
    retry_budget: Block | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DestinationRule:
    """What a client reads for a host: one object, or several of one host and namespace merged into one."""

    host: str
    """In full, possibly a wildcard."""
    namespace: str
    export_to: frozenset[str]
    selector: Mapping[str, str] | None
    """`workloadSelector.matchLabels`; None where the rule is for every workload."""
    traffic_policy: Block | None
    subsets: tuple[Block, ...]
    documents: tuple[Document, ...]
    """Where it was written, the first first."""

    def subset(self, name: str) -> Block | None:
        return next((s for s in self.subsets if s.get("name") == name), None) if name else None

    def policy(self, port: int, subset: str = "") -> TrafficPolicy:
        """What holds on a service port, for the host itself or for one of its subsets.

        A `portLevelSettings` entry at the top replaces the whole top-level policy: what it omits falls back to the defaults.
        A subset's blocks then override one by one; a port entry inside the subset also wipes connectionPool,
        outlierDetection, loadBalancer and tls where it omits them, but keeps the inherited retryBudget and proxyProtocol.
        """
        top, _ = _for_port(self.traffic_policy, port)
        written = (self.subset(subset) or {}).get("trafficPolicy")
        if written is None:
            return top
        own, has_port = _for_port(written, port)
        if self.traffic_policy is None:
            return own
        return TrafficPolicy(
            connection_pool=own.connection_pool if has_port or own.connection_pool is not None else top.connection_pool,
            outlier_detection=own.outlier_detection if has_port or own.outlier_detection is not None else top.outlier_detection,
            load_balancer=own.load_balancer if has_port or own.load_balancer is not None else top.load_balancer,
            tls=own.tls if has_port or own.tls is not None else top.tls,
            proxy_protocol=top.proxy_protocol if own.proxy_protocol is None else own.proxy_protocol,
            retry_budget=top.retry_budget if own.retry_budget is None else own.retry_budget,
        )


NO_POLICY = TrafficPolicy()


def rule_for(world: World, proxy: Proxy, host: str, *, inbound: bool = False) -> DestinationRule | None:
    """The rule that `proxy` reads for `host`; None if there is none, or if the proxy does not know the host.

    As a client (`inbound` False) a rule whose workloadSelector picks the proxy's own labels wins, and the general one is
    not merged into it. As the service itself only rules without a workloadSelector count.
    """
    service = scope_of(world, proxy).services_by_host.get(host)
    if service is None:
        return None
    key = ("destination rules for", proxy.namespace, host, service.namespace)
    candidates = world.remember(key, lambda: _candidates(world, proxy.namespace, service))
    if not inbound:
        for rule in candidates:
            if rule.selector is not None and rule.namespace == proxy.namespace and proxy.pod.has(rule.selector):
                return rule
    return next((rule for rule in reversed(candidates) if rule.selector is None), None)


def policy_for(rule: DestinationRule | None, port: int, subset: str = "") -> TrafficPolicy:
    """`rule.policy(...)`, or the empty policy where there is no rule."""
    return rule.policy(port, subset) if rule else NO_POLICY


def with_mesh_defaults(policy: TrafficPolicy, world: World) -> TrafficPolicy:
    """MeshConfig's defaultTrafficPolicy (since 1.31) stands in for a whole block that no rule says."""
    if world.minor < _MESH_DEFAULTS_SINCE:
        return policy
    return replace(
        policy,
        connection_pool=world.mesh.default_connection_pool if policy.connection_pool is None else policy.connection_pool,
        outlier_detection=world.mesh.default_outlier_detection if policy.outlier_detection is None else policy.outlier_detection,
    )


def port_settings(policy: Block | None, port: int) -> Block | None:
    """The `portLevelSettings` entry for a port: the first that names it."""
    entries = (policy or {}).get("portLevelSettings") or ()
    return next((e for e in entries if int((e.get("port") or {}).get("number") or 0) == port), None)


def _for_port(policy: Block | None, port: int) -> tuple[TrafficPolicy, bool]:
    entry = port_settings(policy, port)
    if entry is not None:
        # An entry knows four blocks; a proxyProtocol or retryBudget beside them is not part of the API.
        return replace(_policy(entry), proxy_protocol=None, retry_budget=None), True
    return _policy(policy or {}), False


def _policy(written: Block) -> TrafficPolicy:
    return TrafficPolicy(
        connection_pool=written.get("connectionPool"),
        outlier_detection=written.get("outlierDetection"),
        load_balancer=written.get("loadBalancer"),
        tls=written.get("tls"),
        proxy_protocol=written.get("proxyProtocol"),
        retry_budget=written.get("retryBudget"),
    )


# -------------------------------------------------------------------------------------------------------------- lookup
def _candidates(world: World, namespace: str, service: Service) -> tuple[DestinationRule, ...]:
    """The client's namespace, then the service's, then the root namespace: the first that has any rule for the host.

    Proxies of the root namespace (gateways, commonly) see only its private rules first, so that rules meant for the whole
    mesh do not hide those of the service's owners.
    """
    index = world.remember("destination rules", lambda: _Index(world))
    root = world.mesh.root_namespace
    own = index.root_private if namespace == root else index.local.get(namespace)
    found = own.most_specific(service.hostname) if own else ()
    if found:
        return found
    for owner in (service.namespace, root):
        exported = index.exported.get(owner)
        rules = exported.most_specific(service.hostname) if exported else ()
        visible = tuple(r for r in rules if not r.export_to or EVERYONE in r.export_to or namespace in r.export_to)
        if visible:
            return visible
    return ()


class _Hosts:
    """The rules of one namespace by host, merged as they come in."""

    def __init__(self) -> None:
        self._by_host: dict[str, list[DestinationRule]] = defaultdict(list)

    def add(self, rule: DestinationRule) -> None:
        """A rule merges into every earlier one of the same or a narrower audience, else it stands by itself.

        Two odd ends of that, as of 1.29: merged into a narrower audience it is lost to the wider one, and a general rule
        whose audience equals that of a rule with a selector ends up in the latter alone (istio#58322).
        """
        known = self._by_host[rule.host]
        apart = not known
        for at, other in enumerate(known):
            wider = bool(other.export_to) and rule.export_to >= other.export_to
            if rule.export_to != other.export_to and not wider:
                apart = True
                continue
            apart = rule.export_to != other.export_to
            if rule.selector is not None and other.selector is not None and rule.selector != other.selector:
                apart = True
                continue
            if rule.selector == other.selector:
                apart = False
            known[at] = _merged(other, rule)
        if apart:
            known.append(rule)

    def most_specific(self, host: str) -> tuple[DestinationRule, ...]:
        """Of the exact name, else of the longest wildcard over it (istio `MostSpecificHostMatch`)."""
        if host in self._by_host:
            return tuple(self._by_host[host])
        return next((tuple(self._by_host[p]) for p in wildcards_over(host) if p in self._by_host), ())


class _Index:
    """Every rule by the namespace it lies in: what its own clients read, and what it offers to others."""

    def __init__(self, world: World) -> None:
        self.local: dict[str, _Hosts] = defaultdict(_Hosts)
        self.exported: dict[str, _Hosts] = defaultdict(_Hosts)
        self.root_private = _Hosts()
        private_by_default = OWN_NAMESPACE in world.mesh.default_destination_rule_export_to
        for rule in _in_order(world):
            audience, namespace = rule.export_to, rule.namespace
            if not audience or audience & {EVERYONE, OWN_NAMESPACE, namespace}:
                self.local[namespace].add(rule)
            private = audience in ({OWN_NAMESPACE}, {namespace}) if audience else private_by_default
            if not private:
                self.exported[namespace].add(rule)
            elif namespace == world.mesh.root_namespace:
                self.root_private.add(rule)


def _in_order(world: World) -> Iterable[DestinationRule]:
    """Those with a workloadSelector first, then by age (`sortConfigBySelectorAndCreationTime`)."""
    rules = [_read(document, world.mesh.domain) for document in world.destination_rules]
    return sorted(rules, key=lambda rule: (rule.selector is None, services.age(rule.documents[0])))


def _read(document: Document, domain: str) -> DestinationRule:
    spec = document.spec
    selector = spec.get("workloadSelector")
    labels = None if selector is None else {str(k): str(v) for k, v in (selector.get("matchLabels") or {}).items()}
    return DestinationRule(
        host=fully_qualified(str(spec.get("host") or ""), document.namespace, domain),
        namespace=document.namespace,
        # A rule with a selector is never exported, whatever its exportTo says.
        export_to=frozenset({OWN_NAMESPACE} if selector is not None else map(str, spec.get("exportTo") or ())),
        selector=labels,
        traffic_policy=spec.get("trafficPolicy"),
        subsets=tuple(spec.get("subsets") or ()),
        documents=(document,),
    )


def _merged(first: DestinationRule, later: DestinationRule) -> DestinationRule:
    """Subsets add up (of equal names the first counts); the policy is the first one that exists."""
    names = {subset.get("name") for subset in first.subsets}
    return replace(
        first,
        traffic_policy=later.traffic_policy if first.traffic_policy is None else first.traffic_policy,
        subsets=first.subsets + tuple(s for s in later.subsets if s.get("name") not in names),
        documents=first.documents + later.documents,
    )
