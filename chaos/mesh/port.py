"""What does every mesh offer? The port that the local mesh, a cluster and the fake implement, checked by one contract suite.

A mesh answers who is there, shows any proxy's own configuration, takes and removes objects of ours, and hands out what
its proxies wrote down. It knows nothing of faults, claims or experiments: `chaos.injection` makes the objects,
`chaos.run` decides when they are written, `chaos.observe` reads the logs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from chaos.model.bystanders import Bystanders
from chaos.model.edge import Edge
from chaos.model.inventory import Pod, Service, ServicePort

if TYPE_CHECKING:  # a watchdog needs the port, and nothing that reads manifests
    from chaos.envoy.configuration import Configuration

__all__ = [
    "Address",
    "EnvoyFilter",
    "Host",
    "Identity",
    "Lease",
    "Leases",
    "Mesh",
    "Pod",
    "Remains",
    "Resource",
    "Service",
    "ServicePort",
    "Telemetry",
]

EnvoyFilter = Mapping[str, Any]
"""A whole Kubernetes object of kind EnvoyFilter: the only kind we ever write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where load connects to, and which Host it names there."""

    url: str
    """`http://127.3.1.20:9080`, without a path."""
    host: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One endpoint of a cluster in one proxy, as `GET /clusters` shows it."""

    address: str
    """`10.1.2.3:9080`; for the private path the endpoint id, which is the same."""
    ejected: bool


class Resource(StrEnum):
    """What a configuration dump can be asked for (the names of Envoy's admin interface)."""

    ROUTES = "dynamic_route_configs"
    CLUSTERS = "dynamic_active_clusters"
    LISTENERS = "dynamic_listeners"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which mesh this is, for header, report and journal."""

    kind: str
    """local, cluster, fake"""
    name: str
    details: Mapping[str, str] = field(default_factory=dict)


class Telemetry(ABC):
    """What a mesh's own metrics say of requests that are not ours."""

    @abstractmethod
    def bystanders(self, edge: Edge, callers: Sequence[Pod], callee_host: str, start: float, end: float) -> Bystanders:
        """Of everybody's requests on an edge in [start, end), seconds since 1970. Raises Unreachable."""

    @abstractmethod
    def check(self) -> str:
        """What it is, for header and `doctor`. Raises Unreachable when it does not answer."""

    @abstractmethod
    def close(self) -> None:
        """Ends our connections. Idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who has something for himself, as it was when it was read."""

    namespace: str
    name: str
    holder: str
    """A run; for the reaper's heartbeat the reaper."""
    age: float
    """Seconds since it was renewed, by the mesh's own clock."""
    valid: float
    """Seconds for which a renewal holds."""
    about: str = ""
    """The callee's host."""

    @property
    def id(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def alive(self) -> bool:
        return bool(self.holder) and self.age <= self.valid


class Leases(ABC):
    """Who may touch what, by the mesh's own clock: no clock of a runner is believed. Safe to use from several threads."""

    @abstractmethod
    def acquire(self, namespace: str, name: str, holder: str, *, valid: float, about: str = "") -> Lease:
        """Have it, or have it still. Raises Occupied while another has it."""

    @abstractmethod
    def renew(self, lease: Lease) -> Lease:
        """From now on as long again. Raises LeaseLost when it is another's or gone, or was not renewed while it was valid."""

    @abstractmethod
    def release(self, lease: Lease) -> None:
        """Nobody's any more. What is another's or gone is left as it is."""

    @abstractmethod
    def find(self, namespace: str, name: str) -> Lease | None:
        """As it is now."""

    @abstractmethod
    def all(self) -> Sequence[Lease]:
        """Every lease of this project in the namespaces we may read."""


class Remains(ABC):
    """What of ours is in a mesh, for who knows nothing else of it: a watchdog, `sweep`, the reaper. May raise as `Mesh`."""

    leases: Leases

    @abstractmethod
    def ours(self) -> Sequence[EnvoyFilter]:
        """Every object of this project in the namespaces we may read, of any run."""

    @abstractmethod
    def delete(self, names: Sequence[tuple[str, str]]) -> None:
        """Remove by (namespace, name). What is not there is no error."""

    @abstractmethod
    def set_runtime(self, namespace: str, pod: str, key: str, value: str) -> None:
        """Set a key of one proxy's runtime, which outlives everything but that proxy; an empty value takes the key away.

        Nothing where there is no such pod any more: what its proxy held has gone with it.
        """

    @abstractmethod
    def listens(self, namespace: str, pod: str, name_regex: str) -> bool:
        """Does the proxy hold a listener whose name matches (RE2, full match)? Not, where there is no such pod any more."""

    def now(self) -> datetime:
        """By the clock that deadlines of objects are judged by."""
        return datetime.now(UTC)

    @abstractmethod
    def stopped(self) -> str:
        """Why nobody may inject here now, and who said so (the stop switch); empty if it is not set."""


class Mesh(Remains):
    """A mesh that is up. Every method may raise Unreachable or MeshFailure."""

    identity: Identity
    default_namespace: str
    reach: Mapping[str, str] = {}
    """What another process needs to come here, without secrets; empty where all of ours ends with our processes."""
    sees_every_call: bool = True
    """Its sidecars write down every call in our form; else only calls on private paths are seen."""
    telemetry: Telemetry | None = None
    """None: nothing is known of requests that are not ours, but for what bystander load shows."""

    # -- who is there
    @abstractmethod
    def services(self) -> Sequence[Service]:
        """Every service of the mesh."""

    @abstractmethod
    def pods(self) -> Sequence[Pod]:
        """Every instance now, the load workload and gateways included."""

    @property
    @abstractmethod
    def entry(self) -> tuple[Pod, Service, int]:
        """(the pod whose proxy is the caller of the entry, the entry service, its port)."""

    @abstractmethod
    def address(self, service: Service | None = None, port: int | None = None) -> Address:
        """Where load for the entry (no arguments), or for one service by way of the load workload's sidecar, is sent to."""

    # -- what a proxy holds
    @abstractmethod
    def configuration(self, pod: Pod) -> Configuration:
        """The proxy's own dump: routes, active clusters, listeners and endpoints, in proto JSON with snake_case keys."""

    def part(self, pod: Pod, *, routes: Sequence[str], clusters: Sequence[str]) -> Configuration:
        """At least these route configurations and clusters with their endpoints: for looking again and again."""
        return self.configuration(pod)

    @abstractmethod
    def dump(self, pod: Pod, resource: Resource, name_regex: str) -> Sequence[Mapping[str, Any]]:
        """Only the resources of one type whose name matches (RE2, full match): cheap, filtered by the proxy."""

    @abstractmethod
    def hosts(self, pod: Pod, cluster: str) -> Sequence[Host]:
        """The endpoints of one cluster with their state of outlier detection."""

    @abstractmethod
    def counters(self, pod: Pod, name_regex: str) -> Mapping[str, int]:
        """Envoy's statistics whose names match; pruned ones are simply absent."""

    # -- objects of ours
    @abstractmethod
    def apply(self, objects: Sequence[EnvoyFilter]) -> None:
        """Create or replace. Returns when they were accepted for delivery, not when they are in force."""

    def rejected(self) -> str:
        """Which proxy refused what was delivered since `apply`, and why; empty while none did, or where `apply` raises it."""
        return ""

    # -- what proxies wrote down
    @abstractmethod
    def read_log(self, pod: Pod, offset: int) -> tuple[bytes, int]:
        """(whole lines appended since `offset`, the next offset). One JSON object a line."""

    def writers(self) -> Sequence[Pod]:
        """The pods whose logs can have lines of ours: all with a proxy, unless the mesh knows better."""
        return [pod for pod in self.pods() if pod.proxy]

    @abstractmethod
    def flush_logs(self, pods: Sequence[Pod]) -> None:
        """Returns when every line of a stream that has ended can be read."""

    # -- the mesh itself
    @abstractmethod
    def check(self) -> None:
        """Raises MeshFailure when a part of the mesh is gone (a proxy or application died, with its last lines)."""

    @abstractmethod
    def serving(self) -> str:
        """Why the control plane would not deliver now, so that an undo had no effect; empty if it would, or if nobody can tell."""

    def disturbed(self, start: int, end: int) -> str:
        """What the way in did to requests between two monotonic moments (ns), as no system under test would; empty if nothing."""
        return ""

    @abstractmethod
    def close(self) -> None:
        """End what the mesh started. Idempotent; a mesh that is only visited is left alone."""
