"""What does the cluster hold? The documents, indexed and typed as Istio's registry and configuration store see them.

Comes after `documents`; `virtualservices`, `destinationrules` and `scope` say which of it concerns one proxy, and the Envoy side
translates that. A World never changes: whoever edits a manifest makes a new one.
"""

from __future__ import annotations

import enum
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from chaos.errors import ConfigurationError, ManifestError, nearest
from chaos.istio import services, spelling, workloads
from chaos.istio.documents import Document
from chaos.istio.meshconfig import MeshConfig
from chaos.istio.services import Protocol, Resolution, Service, ServicePort
from chaos.istio.workloads import AddressOf, Locality, Node, Pod

__all__ = [
    "Locality", "Node", "Pod", "Protocol", "Proxy", "ProxyKind", "Resolution", "Service", "ServicePort", "World", "last_applied",
]  # fmt: skip

NETWORKING = "networking.istio.io"
DEFAULT_PROFILE = "1.29"
PROFILES = tuple(f"1.{minor}" for minor in range(23, 33))
T = TypeVar("T")


class ProxyKind(enum.Enum):
    SIDECAR = "sidecar"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Proxy:
    """One Envoy: the sidecar of a pod, or a gateway."""

    pod: Pod
    kind: ProxyKind

    @property
    def id(self) -> str:
        return self.pod.id

    @property
    def namespace(self) -> str:
        return self.pod.namespace

    @property
    def labels(self) -> Mapping[str, str]:
        return self.pod.labels

    @property
    def ip(self) -> str:
        return self.pod.ip

    @property
    def locality(self) -> Locality:
        return self.pod.locality

    @property
    def is_gateway(self) -> bool:
        return self.kind is ProxyKind.GATEWAY


class World:
    """Indexes over the documents. Sequences of Istio's objects are in their order of age: creation, name, namespace."""

    def __init__(
        self,
        documents: Iterable[Document],
        *,
        mesh: MeshConfig,
        profile: str,
        address_of: AddressOf | None,
        api_defaults: bool,
    ) -> None:
        if profile not in PROFILES:
            raise ConfigurationError(f'Istio profile "{profile}" is not known{nearest(profile, PROFILES)}')
        self.documents: tuple[Document, ...] = last_applied(map(spelling.normal, documents))
        self.mesh = mesh
        self.profile = profile
        self.minor = int(profile.removeprefix("1."))
        self.api_defaults = api_defaults
        self._address_of: AddressOf = address_of or _made_up_addresses()
        self._memory: dict[Any, Any] = {}

    @classmethod
    def of(
        cls,
        documents: Iterable[Document],
        *,
        mesh_config: Mapping[str, Any] | None = None,
        address_of: AddressOf | None = None,
        profile: str = DEFAULT_PROFILE,
        api_defaults: bool = True,
    ) -> World:
        """The cluster these manifests make.

        `address_of` gives pods their addresses; otherwise they are made up, always alike. `api_defaults` False reads the
        files as an istiod without API server does: nobody fills in `protocol: TCP`, so that a service port which names a
        container port without protocol reaches no inbound port.
        """
        mesh = MeshConfig.of(mesh_config)
        return cls(documents, mesh=mesh, profile=profile, address_of=address_of, api_defaults=api_defaults)

    # ----------------------------------------------------------------------------------------- Istio's objects, by age
    @cached_property
    def virtual_services(self) -> tuple[Document, ...]:
        return self._istio("VirtualService")

    @cached_property
    def destination_rules(self) -> tuple[Document, ...]:
        return self._istio("DestinationRule")

    @cached_property
    def gateways(self) -> tuple[Document, ...]:
        return self._istio("Gateway")

    @cached_property
    def sidecars(self) -> tuple[Document, ...]:
        return self._istio("Sidecar")

    @cached_property
    def envoy_filters(self) -> tuple[Document, ...]:
        return self._istio("EnvoyFilter")

    @cached_property
    def service_entries(self) -> tuple[Document, ...]:
        return self._istio("ServiceEntry")

    @cached_property
    def workload_entries(self) -> tuple[Document, ...]:
        return self._istio("WorkloadEntry")

    @cached_property
    def namespaces(self) -> Mapping[str, Document]:
        return {document.name: document for document in self.of_kind("Namespace")}

    def of_kind(self, kind: str, group: str | None = None) -> tuple[Document, ...]:
        """In the order of the files; `group` None means any API group."""
        return tuple(d for d in self._by_kind.get(kind, ()) if group is None or d.group == group)

    def _istio(self, kind: str) -> tuple[Document, ...]:
        return tuple(sorted(self.of_kind(kind, NETWORKING), key=services.age))

    @cached_property
    def _by_kind(self) -> Mapping[str, list[Document]]:
        by_kind: dict[str, list[Document]] = defaultdict(list)
        for document in self.documents:
            by_kind[document.kind].append(document)
        return by_kind

    # -------------------------------------------------------------------------------------------- what runs, and where
    @cached_property
    def nodes(self) -> Mapping[str, Node]:
        return workloads.nodes_of(iter(self.of_kind("Node", "")))

    @cached_property
    def pods(self) -> tuple[Pod, ...]:
        """Every pod, in the order of the files."""
        made: dict[str, Pod] = {}
        for document in self.documents:
            with _legible(document):
                made |= {pod.id: pod for pod in workloads.pods_of(document, self.nodes, self._address_of)}
        return tuple(made.values())

    @cached_property
    def pods_by_namespace(self) -> Mapping[str, tuple[Pod, ...]]:
        by_namespace: dict[str, list[Pod]] = defaultdict(list)
        for pod in self.pods:
            by_namespace[pod.namespace].append(pod)
        return {namespace: tuple(pods) for namespace, pods in by_namespace.items()}

    def pods_with(self, namespace: str, labels: Mapping[str, str]) -> tuple[Pod, ...]:
        """The pods of `namespace` that carry all of `labels`, in the order of the files."""
        key = ("pods", namespace, tuple(sorted(labels.items())))
        return self.remember(key, lambda: tuple(p for p in self.pods_by_namespace.get(namespace, ()) if p.has(labels)))

    @cached_property
    def _proxies(self) -> Mapping[str, Proxy]:
        return {pod.id: Proxy(pod=pod, kind=ProxyKind.GATEWAY if pod.is_gateway else ProxyKind.SIDECAR) for pod in self.pods}

    @property
    def proxies(self) -> Sequence[Proxy]:
        return tuple(self._proxies.values())

    def proxy(self, name: str) -> Proxy:
        """The proxy of pod `POD.NAMESPACE`. Raises ConfigurationError with the nearest name."""
        try:
            return self._proxies[name]
        except KeyError:
            raise ConfigurationError(f'no pod "{name}" in the manifests{nearest(name, self._proxies)}') from None

    # ---------------------------------------------------------------------------------------------- what can be called
    @cached_property
    def services(self) -> tuple[Service, ...]:
        """Kubernetes Services and the hosts of ServiceEntries, the oldest first."""
        virtual_ips = (f"10.96.{n // 250}.{n % 250 + 10}" for n in itertools.count())
        exports, domain = self.mesh.default_service_export_to, self.mesh.domain
        found: list[Service] = []
        for document in self.of_kind("Service", ""):
            with _legible(document):
                found.append(services.from_kubernetes(document, next(virtual_ips), exports, domain))
        for document in self.service_entries:
            with _legible(document):
                found += services.from_service_entry(document, exports)
        return tuple(sorted(services.with_aliases(found), key=services.seniority))

    @cached_property
    def services_by_host(self) -> Mapping[str, tuple[Service, ...]]:
        by_host: dict[str, list[Service]] = defaultdict(list)
        for service in self.services:
            by_host[service.hostname].append(service)
        return {host: tuple(same) for host, same in by_host.items()}

    # ---------------------------------------------------------------------------------------------------------- memory
    def remember(self, key: object, make: Callable[[], T]) -> T:
        """What `make` gives, made once per key: for indexes over the world that several proxies share."""
        if key not in self._memory:
            self._memory[key] = make()
        found: T = self._memory[key]
        return found


@contextmanager
def _legible(document: Document) -> Iterator[None]:
    """A manifest whose fields have other shapes than Kubernetes gives them is the author's error, not ours."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ManifestError(f"{document.place()}: cannot be read as a {document.kind}: {error}") from error


def last_applied(documents: Iterable[Document]) -> tuple[Document, ...]:
    """One object per kind, namespace and name: the last one written, as `kubectl apply` leaves it."""
    by_key = {(d.group, d.kind, d.namespace, d.name): d for d in documents}
    return tuple(by_key.values())


def _made_up_addresses() -> AddressOf:
    numbers = itertools.count()

    def next_address(_name: str, _namespace: str) -> str:
        n = next(numbers)
        return f"10.244.{n // 250}.{n % 250 + 2}"

    return next_address
