"""Is a cluster fit for experiments? What the API server and the proxies say, before anything is written.

A question is a small function in `CHECKS`; it is asked of a `Look`, and answers with findings. One that cannot be answered is a
finding itself, and keeps no other from being asked. What every mesh can be asked is in `chaos.run.readiness`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from chaos.envoy.statistics import keeps
from chaos.errors import ChaosError, Forbidden, NotFound
from chaos.injection.names import PREFIX
from chaos.istio.documents import Document
from chaos.istio.lint import lint as findings_of
from chaos.istio.readiness import of_lint
from chaos.mesh.cluster import inventory, kinds, rights
from chaos.mesh.cluster.client import Client
from chaos.mesh.cluster.inventory import PROXY, REVISION
from chaos.mesh.cluster.kinds import Kind
from chaos.mesh.cluster.proxies import Proxy
from chaos.mesh.cluster.rights import Right
from chaos.model.inventory import Pod
from chaos.model.readiness import Finding, error, info, warning

Json = Mapping[str, Any]

OLDEST: Final = (1, 23)
"""The first Istio whose proxies have internal listeners as private paths need them."""
ISTIOD_NAMESPACE: Final = "istio-system"
_AT_ONCE: Final = 8
"""Questions on their way to the API server."""
_EXEC: Final = Right(verb="create", kind=kinds.POD, subresource="exec", gives="the proxies' own configuration")
_AMBIENT: Final = "ambient.istio.io/redirection"
_DATAPLANE: Final = "istio.io/dataplane-mode"
_COUNTER: Final = f"vhost.a.default.svc.cluster.local:80.route.{PREFIX}.0123456789ab.1.upstream_rq_total"
"""Such a counter tells when all lines of a private path have been read."""


class Look:
    """What is looked at, each thing once."""

    def __init__(self, client: Client, namespaces: Sequence[str], outside: Sequence[str] = (), *, by_gateway: bool = True) -> None:
        """`outside`: where gateways may stand, besides; `by_gateway`: load may have to enter through one."""
        self.client = client
        self.namespaces = tuple(namespaces)
        self.outside = tuple(n for n in outside if n not in self.namespaces)
        self.by_gateway = by_gateway

    @property
    def kubectl(self) -> str:
        return f"kubectl --context {self.client.context}"

    @cached_property
    def raw_pods(self) -> tuple[Json, ...]:
        """Those of the namespaces under test, and of these what is not over."""
        found = (raw for namespace in self.namespaces for raw in self.client.items(kinds.POD, namespace))
        return tuple(raw for raw in found if (raw.get("status") or {}).get("phase") not in ("Succeeded", "Failed"))

    @cached_property
    def pods(self) -> tuple[Pod, ...]:
        return inventory.pods_of(self.raw_pods)

    def one_of_each(self) -> list[Pod]:
        """Of each workload with proxies one pod: they are started alike."""
        return list({(pod.namespace, pod.workload): pod for pod in self.pods if pod.proxy}.values())

    def proxy_of(self, pod: Pod) -> Proxy:
        return Proxy(self.client, pod.namespace, pod.name)


Check = Callable[[Look], Iterable[Finding]]


def kinds_there(look: Look) -> Iterator[Finding]:
    """Does the server know Istio's objects?"""
    for kind in (kinds.ENVOY_FILTER, kinds.SERVICE_ENTRY):
        if not look.client.serves(kind):
            yield error(
                f"server/{look.client.server}",
                f"knows no {kind.name} ({kind.api_version})",
                means="an injection is made of EnvoyFilters, so there is none",
                remedy="Install Istio: istioctl install, or Helm's chart istio/base",
            )


def granted(look: Look) -> Iterator[Finding]:
    """May we do what a run does? Asked by SelfSubjectAccessReview for each verb."""
    wanted = [(right, namespace) for namespace in look.namespaces for right in rights.RUNNER]
    wanted += [(right, namespace) for namespace in look.outside for right in rights.GATEWAYS]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        allowed = list(pool.map(lambda each: _may(look.client, *each), wanted))
    denied = [each for each, yes in zip(wanted, allowed, strict=True) if not yes]
    for right, namespace in denied:
        if right.subresource == "portforward" and _may(look.client, _EXEC, namespace):
            continue  # the proxies are asked that way
        needed = right.needed and not (right.subresource == "portforward" and namespace in look.outside)
        what = f"we may not {right.verb} {right.resource}" + (f" {right.name}" if right.name else "")
        remedy = f"Add to a Role in {namespace}: {right.rule}, or apply deploy/{_folder(right)}"
        say = error if needed else (info if namespace in look.outside and not look.by_gateway else warning)
        yield say(f"namespace/{namespace}", what, means=f"without it there is not: {right.gives}", remedy=remedy)


def _folder(right: Right) -> str:
    return "gateways" if right in rights.GATEWAYS else "namespace"


def _may(client: Client, right: Right, namespace: str) -> bool:
    return client.may(right.verb, right.kind, namespace, subresource=right.subresource, name=right.name)


def injected(look: Look) -> Iterator[Finding]:
    """Do new pods get sidecars, and is it sidecars that the namespace has?"""
    for namespace in look.namespaces:
        where = f"namespace/{namespace}"
        try:
            labels = look.client.get(kinds.NAMESPACE, namespace)["metadata"].get("labels") or {}
        except Forbidden:
            continue  # `granted` says so
        except NotFound:
            yield error(where, "is not there", means="there is nobody to test", remedy="Correct allow.namespaces in the topology")
            continue
        if labels.get(_DATAPLANE) == "ambient":
            yield warning(
                where,
                f"is in ambient mode ({_DATAPLANE}=ambient)",
                means="where there is no sidecar there is no place for a fault; edges that start there are refused",
                remedy=f"{look.kubectl} label namespace {namespace} {_DATAPLANE}- istio-injection=enabled; restart its workloads",
            )
        elif labels.get("istio-injection") != "enabled" and REVISION not in labels:
            yield warning(
                where,
                "does not ask for sidecars",
                means="pods that are made anew come without, unless they ask for one themselves",
                remedy=f"{look.kubectl} label namespace {namespace} istio-injection=enabled",
            )


def proxies_ready(look: Look) -> Iterator[Finding]:
    """Does each sidecar serve, and is it one?"""
    for raw in look.raw_pods:
        metadata = raw["metadata"]
        where = f"pod/{metadata['name']}.{metadata['namespace']}"
        if (metadata.get("annotations") or {}).get(_AMBIENT) == "enabled":
            yield warning(
                where,
                "is in ambient mode",
                means="its calls pass no sidecar: nothing can be injected on edges that start there",
                remedy="Take it out of ambient mode and give it a sidecar",
            )
            continue
        statuses = [
            *(raw.get("status") or {}).get("containerStatuses", ()),
            *(raw.get("status") or {}).get("initContainerStatuses", ()),
        ]
        proxy = next((status for status in statuses if status.get("name") == PROXY), None)
        if proxy is not None and not proxy.get("ready"):
            yield warning(
                where,
                "its sidecar is not ready",
                means="what is written does not get there, so no injection on its edges is proven",
                remedy=f"Look: {look.kubectl} -n {metadata['namespace']} logs {metadata['name']} -c {PROXY}",
            )


def control_plane(look: Look) -> Iterator[Finding]:
    """Does an istiod deliver what is written?"""
    where = f"namespace/{ISTIOD_NAMESPACE}"
    try:
        found = look.client.items(kinds.POD, ISTIOD_NAMESPACE, labels="app=istiod")
    except Forbidden:
        yield info(
            where,
            "we may not look at istiod",
            means="that nothing would be delivered shows only when staging an injection times out",
            remedy="Apply deploy/gateways",
        )
        return
    if not found:
        yield info(
            where,
            "no istiod runs there",
            means="the control plane is elsewhere, and nobody can tell whether it serves",
            remedy=f"If it should be there: {look.kubectl} -n {ISTIOD_NAMESPACE} get deployments",
        )
    elif not any(_is_ready(raw) for raw in found):
        yield error(
            where,
            f"istiod is not ready ({', '.join(raw['metadata']['name'] for raw in found)})",
            means="an undo would reach no proxy, so nothing is injected",
            remedy=f"Look: {look.kubectl} -n {ISTIOD_NAMESPACE} get pods -l app=istiod",
        )


def _is_ready(raw: Json) -> bool:
    conditions = (raw.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def versions(look: Look) -> Iterator[Finding]:
    """Are the proxies new enough, and of one version?"""
    by_version: dict[str, list[str]] = {}
    for raw in look.raw_pods:
        if version := inventory.version_of([raw]):
            by_version.setdefault(version, []).append(f"{raw['metadata']['name']}.{raw['metadata']['namespace']}")
    for version, names in sorted(by_version.items()):
        found = inventory.minor(version)
        if found is not None and found < OLDEST:
            yield warning(
                f"pod/{names[0]}",
                f"its sidecar is of Istio {version}" + (f", and so are {len(names) - 1} others" if len(names) > 1 else ""),
                means="private paths need internal listeners, which came with 1.23; edges that start there are refused",
                remedy="Upgrade Istio, then restart the workload",
            )
    if len(by_version) > 1:
        told = ", ".join(f"{version} ({len(names)} pods)" for version, names in sorted(by_version.items()))
        yield info(
            f"pod/{by_version[min(by_version)][0]}",
            f"sidecars are of several versions: {told}",
            means="pods of one workload whose configurations differ are refused as callers",
            remedy="Finish the upgrade: restart the workloads that are behind",
        )


def gateway_api(look: Look) -> Iterator[Finding]:
    """Are routes inside the mesh those of the Gateway API?"""
    if not look.client.serves(kinds.HTTP_ROUTE):
        return
    for namespace in look.namespaces:
        for route in _readable(look, kinds.HTTP_ROUTE, namespace):
            parents = (route.get("spec") or {}).get("parentRefs") or ()
            if any(parent.get("kind") == "Service" for parent in parents):
                yield info(
                    f"httproute/{route['metadata']['name']}.{namespace}",
                    "routes calls inside the mesh",
                    means="injections copy it from the proxies like any other route; lint reads VirtualServices only",
                    remedy="Nothing to do",
                )


def internal_listeners(look: Look) -> Iterator[Finding]:
    """Were the proxies started with what private paths are made of?"""
    for pod, has in _of_each(look, Proxy.has_internal_listeners):
        if not has:
            yield warning(
                f"pod/{pod.id}",
                "its proxy was started without internal listeners",
                means="private paths are made of them: edges that start there are refused",
                remedy="Use Istio's own bootstrap (is there a sidecar.istio.io/bootstrapOverride?), and restart the workload",
            )


def statistics(look: Look) -> Iterator[Finding]:
    """Do the proxies count what takes a route of ours?"""
    pruned = [pod for pod, config in _of_each(look, Proxy.stats_config) if not keeps(config, _COUNTER)]
    if pruned:
        yield info(
            f"pod/{pruned[0].id}",
            "prunes the statistics of routes" + (f", and so do {len(pruned) - 1} other workloads" if len(pruned) > 1 else ""),
            means="a window ends when its log has been quiet for a moment, in place of when every call that was counted is there",
            remedy="To be exact, annotate the workload: proxy.istio.io/config: "
            '{proxyStatsMatcher: {inclusionRegexps: ["vhost.*istio-chaos.*"]}}',
        )


def _of_each(look: Look, question: Callable[[Proxy], Any]) -> Iterator[tuple[Pod, Any]]:
    """The answers of one proxy of each workload; who does not answer is not ready, and told of elsewhere."""

    def asked(pod: Pod) -> Any:
        with closing(look.proxy_of(pod)) as proxy:
            try:
                return question(proxy)
            except ChaosError:
                return _NO_ANSWER

    pods = look.one_of_each()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = list(pool.map(asked, pods))
    return ((pod, answer) for pod, answer in zip(pods, answers, strict=True) if answer is not _NO_ANSWER)


_NO_ANSWER: Final = object()


def lint(look: Look) -> Iterator[Finding]:
    """Do routes and policies say what they seem to? Our own advice; what Istio finds wrong is `istioctl analyze`'s to say."""
    documents = [
        Document(raw=dict(raw), file=Path(f"<{look.client.context}>"), lines={})
        for namespace in look.namespaces
        for kind in (kinds.SERVICE, kinds.SERVICE_ENTRY, kinds.VIRTUAL_SERVICE, kinds.DESTINATION_RULE)
        for raw in _readable(look, kind, namespace)
    ]
    yield from (of_lint(found) for found in findings_of(documents) if found.code.startswith("CHAOS"))


def _readable(look: Look, kind: Kind, namespace: str) -> Sequence[Json]:
    """What may not be read is told of by `granted`."""
    try:
        return look.client.items(kind, namespace)
    except (Forbidden, NotFound):
        return ()


CHECKS: Mapping[str, Check] = {
    "kinds": kinds_there,
    "rights": granted,
    "injection": injected,
    "proxies": proxies_ready,
    "control-plane": control_plane,
    "versions": versions,
    "gateway-api": gateway_api,
    "lint": lint,
}
"""Asked of the API server alone, so also before every run."""

OF_PROXIES: Mapping[str, Check] = {"internal-listeners": internal_listeners, "statistics": statistics}
"""Asked of one proxy of each workload: by `doctor` only, as each needs a port-forward."""


def examine(look: Look, checks: Mapping[str, Check] = CHECKS) -> Iterator[Finding]:
    """Every finding. Raises Unreachable where no server answers, and Forbidden where it does not know us."""
    look.client.version()
    for name, check in checks.items():
        try:
            for finding in check(look):
                yield replace(finding, check=name)
        except ChaosError as failure:
            yield replace(_unanswered(look, failure), check=name)


def _unanswered(look: Look, failure: ChaosError) -> Finding:
    return warning(
        f"server/{look.client.server}",
        f"could not be asked: {failure}",
        means="nobody knows whether this is in order",
        remedy="See to the reason, then ask again",
    )
