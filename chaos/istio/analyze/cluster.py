"""What do the analyzers look at? The typed Istio objects of a World, its pods and namespaces, and which hosts exist.

Objects that istiod could not even read are absent, as they would be in a cluster; objects it refuses for other reasons
are analyzed all the same, since istioctl does so too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from chaos.istio.documents import Document
from chaos.istio.findings import Finding, Level, about
from chaos.istio.services import EXPORT_TO
from chaos.istio.validate.decoding import Message
from chaos.istio.workloads import Pod
from chaos.istio.world import World

SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease", "local-path-storage"})
INJECTION = "istio-injection"
INJECT = "sidecar.istio.io/inject"
PROXY_CONTAINER = "istio-proxy"
_EVERYWHERE = "*"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Object:
    """An Istio object: where it stands, and what istiod read."""

    document: Document
    spec: Message

    @property
    def name(self) -> str:
        return self.document.name

    @property
    def namespace(self) -> str:
        return self.document.namespace

    @property
    def full_name(self) -> str:
        return f"{self.namespace}/{self.name}"

    def finding(self, code: str, level: Level, message: str, *path: str | int) -> Finding:
        return about(self.document, code, level, message, *path)

    def not_found(self, kind: str, name: str, *path: str | int) -> Finding:
        """IST0101, the code with many meanings."""
        return self.finding("IST0101", Level.ERROR, f'Referenced {kind} not found: "{name}"', *path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What stands behind a host name: a Kubernetes Service or a ServiceEntry."""

    ports: tuple[int, ...]
    selector: Mapping[str, str]


class Cluster:
    """A World through the eyes of istioctl."""

    def __init__(self, world: World, objects: Iterable[Object]) -> None:
        self.world = world
        self._objects: dict[str, list[Object]] = defaultdict(list)
        for found in objects:
            self._objects[found.document.kind].append(found)

    def of(self, kind: str) -> Sequence[Object]:
        """Istio's objects of one kind, in the order of the files."""
        return self._objects.get(kind, ())

    def find(self, kind: str, full_name: str) -> Object | None:
        return next((found for found in self.of(kind) if found.full_name == full_name), None)

    def namespace_labels(self, name: str) -> Mapping[str, str] | None:
        """None for a namespace that no manifest declares."""
        namespace = self.world.namespaces.get(name)
        return None if namespace is None else texts(namespace.metadata.get("labels"))

    # -------------------------------------------------------------------------------------------------------- pods
    @property
    def pods(self) -> Sequence[Pod]:
        return self.world.pods

    def selected(self, labels: Mapping[str, str], namespace: str | None = None) -> list[Pod]:
        """Every pod that carries `labels`; without labels that is every pod."""
        candidates = min((self._pods_by_label.get(pair, []) for pair in labels.items()), key=len, default=self.pods)
        return [pod for pod in candidates if namespace in (None, pod.namespace) and pod.has(labels)]

    @cached_property
    def _pods_by_label(self) -> Mapping[tuple[str, str], list[Pod]]:
        by_label: dict[tuple[str, str], list[Pod]] = defaultdict(list)
        for pod in self.pods:
            for pair in pod.labels.items():
                by_label[pair].append(pod)
        return by_label

    def in_mesh(self, pod: Pod) -> bool:
        """Has it a sidecar? A pod that a Deployment will make counts as injected unless it says otherwise."""
        said = INJECT in pod.labels or INJECT in pod.annotations
        made = pod.document.kind != "Pod"
        return (made and not said) or self.is_injected(pod.namespace, pod.labels, pod.annotations, pod.containers)

    def is_injected(
        self, namespace: str, labels: Mapping[str, str], annotations: Mapping[str, str], containers: Sequence[Mapping[str, Any]]
    ) -> bool:
        """istio pkg/config/analysis/analyzers/util `inMesh`: the container, then the pod's word, then its namespace's."""
        if any(container.get("name") == PROXY_CONTAINER and container.get("image") for container in containers):
            return True
        asked = labels.get(INJECT, annotations.get(INJECT))
        if asked is not None:
            return asked == "true"
        return (self.namespace_labels(namespace) or {}).get(INJECTION) == "enabled"

    # ------------------------------------------------------------------------------------------------------- hosts
    @cached_property
    def _hosts(self) -> Mapping[tuple[str, str], Host]:
        """(namespace that sees it or `*`, full name) -> what is there."""
        hosts: dict[tuple[str, str], Host] = {}
        for entry in self.of("ServiceEntry"):
            host = Host(
                ports=tuple(port["number"] for port in entry.spec["ports"]),
                selector=entry.spec["workload_selector"]["labels"],
            )
            scope = _EVERYWHERE if everywhere(entry.spec["export_to"]) else entry.namespace
            hosts |= {(scope, full_host(name, entry.namespace)): host for name in entry.spec["hosts"]}
        for service in self.world.of_kind("Service", ""):
            host = Host(ports=tuple(port["port"] for port in mappings(service.spec.get("ports")) if "port" in port), selector={})
            exported = texts(service.metadata.get("annotations")).get(EXPORT_TO) or _EVERYWHERE
            for scope in exported.split(","):
                hosts[(service.namespace if scope == "." else scope, full_host(service.name, service.namespace))] = host
        return hosts

    def host(self, name: str, namespace: str, export_to: Sequence[str]) -> Host | None:
        """What istioctl finds for `name` as written in `namespace` by an object with these exportTo values.

        istio pkg/config/analysis/analyzers/util `GetDestinationHost`: a name with a dot counts as a full one, and the
        object's exportTo, not its namespace, decides which private hosts it sees.
        """
        full = full_host(name, namespace)
        scopes = [namespace if scope == "." else scope for scope in export_to] or [namespace]
        for scope in (_EVERYWHERE, *scopes):
            if (scope, full) in self._hosts:
                return self._hosts[(scope, full)]
        suffix = name.removeprefix("*")
        return next(
            (
                host
                for (scope, known), host in self._hosts.items()
                if known.startswith("*") and scope in (_EVERYWHERE, namespace) and suffix.endswith(known[1:])
            ),
            None,
        )


def on_pod(pod: Pod, code: str, level: Level, message: str, *path: str | int) -> Finding:
    """A finding on a pod, at `path` inside it; the place is that of the object that makes the pod."""
    inside = path if pod.document.kind == "Pod" else ("spec", "template", *path)
    return replace(about(pod.document, code, level, message, *inside), origin=f"Pod {pod.namespace}/{pod.name}")


def is_control_plane(labels: Mapping[str, str]) -> bool:
    """Istio's own workloads and Services, which break some of its rules."""
    return "istio" in labels or labels.get("release") == "istio"


def full_host(name: str, namespace: str) -> str:
    """istio pkg/config/analysis/analyzers/util `ConvertHostToFQDN`."""
    return name if "." in name or name.startswith("*") else f"{name}.{namespace}.svc.cluster.local"


def everywhere(export_to: Sequence[str]) -> bool:
    return not export_to or _EVERYWHERE in export_to


def selector_text(labels: Mapping[str, str]) -> str:
    """As Kubernetes writes it: `app=a,version=v1`."""
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels))


# ------------------------------------------------------- Kubernetes objects, of which nothing is sure but that they parse
def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def texts(value: Any) -> Mapping[str, str]:
    """Labels or annotations."""
    return {str(key): str(item) for key, item in mapping(value).items()}
