"""What does a plan see of a mesh? Everything that can be read, as of one moment; whoever writes there meets an error of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from chaos.mesh.port import Address, EnvoyFilter, Host, Lease, Leases, Mesh, Pod, Resource, Service

if TYPE_CHECKING:
    from chaos.envoy.configuration import Configuration


class LookedAt(Mesh):
    """A mesh for who only looks. Its dumps are read once: what is planned is planned of one state."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._seen: dict[str, Configuration] = {}
        self.identity = mesh.identity
        self.default_namespace = mesh.default_namespace
        self.reach = mesh.reach
        self.sees_every_call = mesh.sees_every_call
        self.telemetry = mesh.telemetry
        self.leases = _LookedAtLeases(mesh.leases)

    # -- what is read
    def services(self) -> Sequence[Service]:
        return self._mesh.services()

    def pods(self) -> Sequence[Pod]:
        return self._mesh.pods()

    @property
    def entry(self) -> tuple[Pod, Service, int]:
        return self._mesh.entry

    def address(self, service: Service | None = None, port: int | None = None) -> Address:
        return self._mesh.address(service, port)

    def configuration(self, pod: Pod) -> Configuration:
        if pod.id not in self._seen:
            self._seen[pod.id] = self._mesh.configuration(pod)
        return self._seen[pod.id]

    def dump(self, pod: Pod, resource: Resource, name_regex: str) -> Sequence[Mapping[str, Any]]:
        return self._mesh.dump(pod, resource, name_regex)

    def hosts(self, pod: Pod, cluster: str) -> Sequence[Host]:
        return self._mesh.hosts(pod, cluster)

    def counters(self, pod: Pod, name_regex: str) -> Mapping[str, int]:
        return self._mesh.counters(pod, name_regex)

    def ours(self) -> Sequence[EnvoyFilter]:
        return self._mesh.ours()

    def listens(self, namespace: str, pod: str, name_regex: str) -> bool:
        return self._mesh.listens(namespace, pod, name_regex)

    def check(self) -> None:
        self._mesh.check()

    def now(self) -> datetime:
        return self._mesh.now()

    def stopped(self) -> str:
        return self._mesh.stopped()

    def serving(self) -> str:
        return self._mesh.serving()

    def close(self) -> None:
        self._mesh.close()

    # -- what is not done
    def apply(self, objects: Sequence[EnvoyFilter]) -> NoReturn:
        raise AssertionError("a plan was about to write")

    def delete(self, names: Sequence[tuple[str, str]]) -> NoReturn:
        raise AssertionError("a plan was about to delete")

    def set_runtime(self, namespace: str, pod: str, key: str, value: str) -> NoReturn:
        raise AssertionError("a plan was about to set a proxy's runtime")

    def read_log(self, pod: Pod, offset: int) -> NoReturn:
        raise AssertionError("a plan was about to follow a log: nothing is sent that it could tell of")

    def flush_logs(self, pods: Sequence[Pod]) -> NoReturn:
        raise AssertionError("a plan was about to flush logs: nothing is sent that they could tell of")


class _LookedAtLeases(Leases):
    """Who has what, and nothing for us."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases

    def find(self, namespace: str, name: str) -> Lease | None:
        return self._leases.find(namespace, name)

    def all(self) -> Sequence[Lease]:
        return self._leases.all()

    def acquire(self, namespace: str, name: str, holder: str, *, valid: float, about: str = "") -> NoReturn:
        raise AssertionError("a plan was about to take a lease")

    def renew(self, lease: Lease) -> NoReturn:
        raise AssertionError("a plan was about to renew a lease")

    def release(self, lease: Lease) -> NoReturn:
        raise AssertionError("a plan was about to release a lease")
