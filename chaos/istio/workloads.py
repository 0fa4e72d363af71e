"""Who runs? Pods as the manifests' Deployments (and their kin) would make them, and where they stand.

There is no scheduler here: a Deployment gives `replicas` pods, named like the Deployment when there is one, `NAME-0`,
`NAME-1`... when there are several; a template with the label `pod-template-hash` adds that to the name, as Kubernetes does.
Addresses come from whoever asks (the local mesh has its own) or are made up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chaos.istio.documents import Document

DEFAULT_NODE = "node-0"
INJECT = "sidecar.istio.io/inject"
TEMPLATE_HASH = "pod-template-hash"
"""The label that tells the generations of a Deployment's pods apart."""
_REGION = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")
_ZONE = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
_SUBZONE = ("topology.istio.io/subzone",)
_OF_PODS = frozenset({"Deployment", "StatefulSet", "ReplicaSet", "DaemonSet", "ReplicationController", "Job"})

AddressOf = Callable[[str, str], str]
"""(pod name, namespace) -> IP address."""


@dataclass(frozen=True, slots=True)
class Locality:
    """region/zone/subzone; empty where unknown."""

    region: str = ""
    zone: str = ""
    subzone: str = ""

    @classmethod
    def parse(cls, text: str) -> Locality:
        """`region/zone/subzone`, any tail missing; dots separate where there is no slash (the label `istio-locality`)."""
        parts = (text if "/" in text else text.replace(".", "/")).split("/")
        return cls(*[*parts, "", "", ""][:3])

    def __bool__(self) -> bool:
        return bool(self.region or self.zone or self.subzone)

    def __str__(self) -> str:
        return "/".join((self.region, self.zone, self.subzone)).rstrip("/")

    def proto(self) -> dict[str, str]:
        """envoy.config.core.v3.Locality"""
        named = (("region", self.region), ("zone", self.zone), ("sub_zone", self.subzone))
        return {key: value for key, value in named if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    name: str
    locality: Locality
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pod:
    """One instance of a workload. `id` is `name.namespace`, as proxies are named."""

    name: str
    namespace: str
    ip: str
    workload: str
    document: Document
    index: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    node: str = DEFAULT_NODE
    locality: Locality = Locality()
    service_account: str = "default"
    containers: tuple[Mapping[str, Any], ...] = ()
    container_ports: Mapping[str, int] = field(default_factory=dict)
    """Named container ports."""
    ports_without_protocol: frozenset[str] = frozenset()
    """Those of them whose manifest says no `protocol`; an API server fills in TCP."""

    @property
    def id(self) -> str:
        return f"{self.name}.{self.namespace}"

    @property
    def is_gateway(self) -> bool:
        """Made of a proxy alone (`image: auto` gateways), or injected with the gateway template."""
        templates = str(self.annotations.get("inject.istio.io/templates", "")).split(",")
        return "gateway" in templates or [str(c.get("name")) for c in self.containers] == ["istio-proxy"]

    @property
    def has_proxy(self) -> bool:
        """Unless its label or annotation says no: a mesh is where sidecars are injected. A gateway is one itself."""
        return self.is_gateway or (self.labels.get(INJECT) or self.annotations.get(INJECT)) != "false"

    def has(self, labels: Mapping[str, str]) -> bool:
        return all(self.labels.get(key) == str(value) for key, value in labels.items())

    def target_port(self, target: int | str) -> int | None:
        """The number behind a Service's targetPort; None if it names a port that no container has."""
        if isinstance(target, int):
            return target
        return self.container_ports.get(target) or (int(target) if target.isdigit() else None)


def nodes_of(documents: Iterator[Document]) -> dict[str, Node]:
    """Every Node object, and `node-0` in region-a/zone-1 for pods that name none."""
    nodes = {DEFAULT_NODE: Node(name=DEFAULT_NODE, locality=Locality("region-a", "zone-1"))}
    for document in documents:
        labels = document.metadata.get("labels") or {}
        locality = Locality(*(next((str(labels[k]) for k in keys if k in labels), "") for keys in (_REGION, _ZONE, _SUBZONE)))
        nodes[document.name] = Node(name=document.name, locality=locality, labels=labels)
    return nodes


def is_workload(document: Document) -> bool:
    return document.kind == "Pod" or document.kind in _OF_PODS


def template_labels(document: Document) -> dict[str, str]:
    """Labels of the pods that a workload would have."""
    template = document.raw if document.kind == "Pod" else document.spec.get("template") or {}
    return _labels(template)


def pods_of(document: Document, nodes: Mapping[str, Node], address_of: AddressOf) -> Iterator[Pod]:
    """The pods that one Pod, Deployment, StatefulSet... stands for; none for any other kind."""
    if document.kind == "Pod":
        yield _pod(document, document.raw, document.name, 0, nodes, address_of)
    elif document.kind in _OF_PODS:
        replicas = document.spec.get("replicas")
        count = 1 if replicas is None or document.kind in ("DaemonSet", "Job") else int(replicas)
        template = document.spec.get("template") or {}
        prefix = _prefix(document, template)
        for index in range(count):
            name = prefix if count == 1 else f"{prefix}-{index}"
            yield _pod(document, template, name, index, nodes, address_of)


def _prefix(document: Document, template: Mapping[str, Any]) -> str:
    generation = _labels(template).get(TEMPLATE_HASH) if document.kind == "Deployment" else None
    return f"{document.name}-{generation}" if generation else document.name


def _pod(
    document: Document, template: Mapping[str, Any], name: str, index: int, nodes: Mapping[str, Node], address_of: AddressOf
) -> Pod:
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    labels = _labels(template)
    node = str(spec.get("nodeName") or DEFAULT_NODE)
    containers = tuple(spec.get("containers") or ())
    written = str((template.get("status") or {}).get("podIP") or "")
    return Pod(
        name=name,
        namespace=document.namespace,
        ip=written or address_of(name, document.namespace),
        workload=document.name,
        document=document,
        index=index,
        labels=labels,
        annotations={str(k): str(v) for k, v in (metadata.get("annotations") or {}).items()},
        node=node,
        locality=_locality(labels, nodes.get(node)),
        service_account=str(spec.get("serviceAccountName") or "default"),
        containers=containers,
        container_ports={str(port["name"]): int(port["containerPort"]) for port in _named_ports(containers)},
        ports_without_protocol=frozenset(str(port["name"]) for port in _named_ports(containers) if not port.get("protocol")),
    )


def _labels(template: Mapping[str, Any]) -> dict[str, str]:
    return {str(k): str(v) for k, v in ((template.get("metadata") or {}).get("labels") or {}).items()}


def _locality(labels: Mapping[str, str], node: Node | None) -> Locality:
    """The label `istio-locality` beats the node's (istio pilot/pkg/model `GetLocalityLabel`)."""
    if labels.get("istio-locality"):
        return Locality.parse(labels["istio-locality"])
    return node.locality if node else Locality()


def _named_ports(containers: tuple[Mapping[str, Any], ...]) -> list[Mapping[str, Any]]:
    return [port for container in containers for port in container.get("ports") or () if port.get("name")]
