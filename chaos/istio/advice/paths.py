"""Do the policies along a call path fit together? Timeouts that end inside out, and retries that multiply.

Who calls whom is not written in manifests, but VirtualServices and Sidecars show parts of it: a rule with `sourceLabels` is
for calls of those pods, and a Sidecar with a workloadSelector lists what its pods call. One rule follows another if pods
behind the first make the calls of the second.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod

from chaos.istio.advice.routes import rules
from chaos.istio.analyze.cluster import Cluster, Object, full_host
from chaos.istio.durations import proto
from chaos.istio.findings import Finding, Level
from chaos.istio.validate.decoding import Message
from chaos.istio.workloads import Pod

_LONGEST_CHAIN = 6
_MESH = "mesh"


@dataclass(frozen=True, slots=True, eq=False)
class _Hop:
    """One HTTP rule as a step of a path: the pods that make the call, and those that answer it."""

    service: Object
    rule: Message
    callers: tuple[Pod, ...]
    callees: tuple[Pod, ...]

    @property
    def hosts(self) -> str:
        return " or ".join(dict.fromkeys(str(share["destination"]["host"]) for share in self.rule["route"]))

    @property
    def tries(self) -> int:
        return int(self.rule["retries"]["attempts"]) + 1

    @property
    def place(self) -> str:
        document = self.service.document
        return f"{document.origin}, {document.file}:{document.line_of(*self.rule.path)}"


_Graph = Mapping[_Hop, list[_Hop]]


def paths(cluster: Cluster) -> Iterator[Finding]:
    graph = _graph(cluster)
    yield from _timeouts(graph)
    yield from _retries(graph)


def _timeouts(graph: _Graph) -> Iterator[Finding]:
    """CHAOS0010, once per rule: with the caller that is least patient."""
    hastiest: dict[_Hop, _Hop] = {}
    for outer, following in _among(graph, lambda hop: hop.rule.has("timeout")).items():
        for inner in following:
            hastiest[inner] = min(hastiest.get(inner, outer), outer, key=lambda hop: hop.rule["timeout"])
    for inner, outer in hastiest.items():
        shorter, longer = outer.rule["timeout"], inner.rule["timeout"]
        if shorter < longer:
            why = (
                f"calls to {inner.hosts} may take {proto(longer)}, but whoever makes them is itself waited for only "
                f"{proto(shorter)} ({outer.place}): work goes on that nobody waits for any more"
            )
            yield inner.service.finding("CHAOS0010", Level.WARNING, why, *inner.rule.at("timeout"))


def _retries(graph: _Graph) -> Iterator[Finding]:
    """CHAOS0011"""
    for last, chain in _worst_chains(_among(graph, lambda hop: hop.tries > 1)).items():
        if len(chain) > 1:
            why = (
                f"one failing call can become {_requests(chain)} requests to {last.hosts}: {last.tries} tries here for every "
                f"try of {' and of '.join(hop.place for hop in chain[:-1])}"
            )
            yield last.service.finding("CHAOS0011", Level.WARNING, why, *last.rule["retries"].at("attempts"))


def _worst_chains(graph: _Graph) -> Mapping[_Hop, list[_Hop]]:
    """Hop -> the chain of at most so many hops that leads to it with the most requests, none of them twice."""
    worst = {hop: [hop] for hop in graph}
    for _ in range(_LONGEST_CHAIN - 1):
        for hop, chain in list(worst.items()):
            for following in graph[hop]:
                if following not in chain and _requests([*chain, following]) > _requests(worst[following]):
                    worst[following] = [*chain, following]
    return worst


def _requests(chain: list[_Hop]) -> int:
    return prod(hop.tries for hop in chain)


# -------------------------------------------------------------------------------------------------------------- graph
def _graph(cluster: Cluster) -> _Graph:
    listed = _listed_by_sidecars(cluster)
    hops = [
        _Hop(
            service,
            rule,
            callers=tuple(dict.fromkeys(_callers(cluster, service, rule, listed))),
            callees=tuple(dict.fromkeys(_callees(cluster, service, rule))),
        )
        for service, rule in rules(cluster)
    ]
    calls: dict[Pod, list[_Hop]] = defaultdict(list)
    for hop in hops:
        for pod in hop.callers:
            calls[pod].append(hop)
    return {
        hop: list(dict.fromkeys(other for pod in hop.callees for other in calls.get(pod, ()) if other is not hop)) for hop in hops
    }


def _among(graph: _Graph, wanted: Callable[[_Hop], bool]) -> _Graph:
    """The graph of the wanted hops alone; the others are passed through."""
    return {hop: [other for other in _beyond(graph, hop, wanted) if other is not hop] for hop in graph if wanted(hop)}


def _beyond(graph: _Graph, hop: _Hop, wanted: Callable[[_Hop], bool]) -> list[_Hop]:
    seen: dict[_Hop, None] = {}
    waiting = list(graph[hop])
    while waiting:
        following = waiting.pop()
        if following not in seen:
            seen[following] = None
            waiting += [] if wanted(following) else graph[following]
    return [following for following in seen if wanted(following)]


# --------------------------------------------------------------------------------------------------------------- pods
def _callees(cluster: Cluster, service: Object, rule: Message) -> Iterator[Pod]:
    for share in rule["route"]:
        host = full_host(share["destination"]["host"], service.namespace)
        labels = _subset_labels(cluster, host, share["destination"]["subset"])
        for found in cluster.world.services_by_host.get(host, ()):
            if found.selector:
                yield from cluster.selected({**found.selector, **labels}, found.namespace)


def _subset_labels(cluster: Cluster, host: str, name: str) -> Mapping[str, str]:
    for policy in cluster.of("DestinationRule") if name else ():
        if full_host(policy.spec["host"], policy.namespace) == host:
            for subset in policy.spec["subsets"]:
                if subset["name"] == name:
                    labels: Mapping[str, str] = subset["labels"]
                    return labels
    return {}


def _callers(cluster: Cluster, service: Object, rule: Message, listed: Mapping[str, list[Pod]]) -> Iterator[Pod]:
    if service.spec["gateways"] and _MESH not in service.spec["gateways"]:
        return
    known = [pod for host in service.spec["hosts"] for pod in listed.get(full_host(host, service.namespace), ())]
    if not rule["match"]:
        yield from known
    for match in rule["match"]:
        if match["source_labels"]:
            yield from cluster.selected(match["source_labels"], match["source_namespace"] or None)
        else:
            yield from known


def _listed_by_sidecars(cluster: Cluster) -> Mapping[str, list[Pod]]:
    """Host -> the pods whose own Sidecar names it. A Sidecar of a whole namespace says nothing about one workload."""
    listed: dict[str, list[Pod]] = defaultdict(list)
    for sidecar in cluster.of("Sidecar"):
        labels = sidecar.spec["workload_selector"]["labels"]
        pods = cluster.selected(labels, sidecar.namespace) if labels else []
        for listener in sidecar.spec["egress"]:
            for text in listener["hosts"]:
                listed[text.partition("/")[2]] += pods
    return listed
