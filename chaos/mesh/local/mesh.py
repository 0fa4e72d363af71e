"""`LocalMesh`: a mesh of real Envoy processes on this machine, started from a topology's `local` part.

What is on disk afterwards, in the folder given: one sub-folder per instance with what its Envoy was told and said.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from chaos.clock import Deadline, poll
from chaos.envoy import patches
from chaos.envoy.configuration import Configuration
from chaos.envoy.translation import translate
from chaos.errors import EnvironmentFailure, MeshFailure, Unreachable, nearest
from chaos.istio import services as registry
from chaos.istio.documents import Document
from chaos.istio.world import Proxy, World
from chaos.mesh.local import binary, bootstrap, planning, processes, readiness
from chaos.mesh.local.addresses import PROXY_PORT, Endpoint, Held, check_free
from chaos.mesh.local.applications import RUN, command
from chaos.mesh.local.headless import with_pods_of_headless
from chaos.mesh.local.instances import LOAD, Application, Instance
from chaos.mesh.local.localise import Place, localise
from chaos.mesh.local.processes import Child, Spawned
from chaos.mesh.local.sidecars import Sidecar
from chaos.mesh.local.xds import Change, Type, deliver
from chaos.mesh.port import Address, EnvoyFilter, Host, Identity, Mesh, Pod, Resource, Service, ServicePort
from chaos.model.topology import Topology

READY_WITHIN = 30.0
"""Seconds for all of it together."""
_NO_FILE = Path("<istio-chaos>")


class LocalMesh(Mesh):
    """A mesh that this process started, and ends."""

    @classmethod
    def start(cls, topology: Topology, *, folder: Path, run: str, spawned: Spawned) -> LocalMesh:
        """Bring everything up; returns when every instance answers.

        `folder` gets a sub-folder per instance, `run` stands in every child's environment (`ISTIO_CHAOS_RUN`), and `spawned`
        is called with (process group, what it is) right after each start. Raises ManifestError and TopologyError before
        anything is started, MeshFailure later; whatever had been started is ended then.
        """
        envoy = binary.find()
        with ExitStack() as undo:
            held = undo.enter_context(Held.take())
            world, found = planning.planned(topology, held.block)
            mesh = cls(topology, world, held, found, folder)
            undo.callback(mesh.close)
            mesh._start(envoy, run, spawned)
            undo.pop_all()
        return mesh

    def __init__(self, topology: Topology, world: World, held: Held, found: Sequence[Instance], folder: Path) -> None:
        self._entry = topology.entry
        self._world = world
        self._held = held
        self._folder = folder
        self._instances = found
        self._children: list[Child] = []
        self._ours: dict[tuple[str, str], Document] = {}
        self._lock = threading.RLock()
        self._sidecars = {i.pod.id: self._sidecar(i, found) for i in found if i.proxy}
        self._services = tuple(_service(service) for service in world.services)
        self._pods = tuple(_pod(instance) for instance in found)
        self.default_namespace = topology.entry.namespace
        details = {"folder": str(folder), "instances": str(len(found))}
        self.identity = Identity(kind="local", name=f"127.{held.block.octet}.0.0/16", details=details)

    # ------------------------------------------------------------------------------------------------------- who is there
    def services(self) -> Sequence[Service]:
        return self._services

    def pods(self) -> Sequence[Pod]:
        return self._pods

    @property
    def entry(self) -> tuple[Pod, Service, int]:
        load = next(pod for pod in self._pods if pod.workload == LOAD)
        service = next(s for s in self._services if (s.name, s.namespace) == (self._entry.service, self._entry.namespace))
        return load, service, self._entry.port

    def address(self, service: Service | None = None, port: int | None = None) -> Address:
        load, entry, entry_port = self.entry
        if service is None:
            service, port = entry, port or entry_port
        offered = {p.number: p.endpoint for p in self._instance(load).offered if p.host == service.host and p.http}
        number = port or next(iter(offered), None)
        if number not in offered:
            known = ", ".join(map(str, offered)) or "none"
            raise Unreachable(f"{service.host} has no HTTP port {number or ''} that {load.id} could send load to; it has: {known}")
        return Address(url=f"http://{offered[number]}", host=f"{service.name}.{service.namespace}:{number}")

    # ------------------------------------------------------------------------------------------------ what a proxy holds
    def configuration(self, pod: Pod) -> Configuration:
        return self._of(pod).admin.configuration()

    def dump(self, pod: Pod, resource: Resource, name_regex: str) -> Sequence[Mapping[str, Any]]:
        return self._of(pod).admin.dump(resource, name_regex)

    def hosts(self, pod: Pod, cluster: str) -> Sequence[Host]:
        return self._of(pod).admin.hosts(cluster)

    def counters(self, pod: Pod, name_regex: str) -> Mapping[str, int]:
        return self._of(pod).admin.counters(name_regex)

    # ---------------------------------------------------------------------------------------------------- objects of ours
    def apply(self, objects: Sequence[EnvoyFilter]) -> None:
        """In force when it returns. Raises MeshFailure with Envoy's reason; what was there before is written back then."""
        with self._lock:
            written = {_key(o): _document(o) for o in objects}
            replaced = [self._ours[key] for key in written if key in self._ours]
            try:
                self._install({**self._ours, **written}, touched=[*written.values(), *replaced])
            except BaseException as failure:
                self._write_back(failure)
                raise

    def delete(self, names: Sequence[tuple[str, str]]) -> None:
        """Gone when it returns. Every proxy is taken as far as it goes, whatever happens to the others."""
        with self._lock:
            gone = [self._ours[name] for name in names if name in self._ours]
            self._install({key: o for key, o in self._ours.items() if key not in set(names)}, touched=gone, finish=True)

    def ours(self) -> Sequence[EnvoyFilter]:
        with self._lock:
            return tuple(document.raw for document in self._ours.values())

    def _install(self, ours: Mapping[tuple[str, str], Document], touched: Sequence[Document], *, finish: bool = False) -> None:
        """`finish` is for what only takes away: then a dead proxy is as good as a clean one."""
        concerned = [
            sidecar
            for sidecar in self._sidecars.values()
            if (sidecar.current is None or any(self._concerns(o, sidecar.proxy) for o in touched)) and not (finish and sidecar.dead)
        ]
        changes = [Change(s.subscription, s.current, self._with(s, ours.values())) for s in concerned]
        for sidecar in concerned:
            sidecar.current = None  # until it is confirmed, whatever interrupts us
        deliver(changes, finish=finish)
        for sidecar, change in zip(concerned, changes, strict=True):
            sidecar.current = change.new
        self._ours = dict(ours)

    def _write_back(self, failure: BaseException) -> None:
        try:
            self._install(self._ours, touched=(), finish=True)
        except EnvironmentFailure as again:
            failure.add_note(f"what was there before could not be written back: {again}")

    def _with(self, sidecar: Sidecar, ours: Iterable[Document]) -> Configuration:
        """On top of the localised configuration, which has all ports' virtual hosts under istiod's names."""
        world = self._world
        return patches.apply(sidecar.base, ours, sidecar.proxy, root_namespace=world.mesh.root_namespace, profile=world.profile)

    def _concerns(self, filter_: Document, proxy: Proxy) -> bool:
        return patches.concerns(filter_, proxy, root_namespace=self._world.mesh.root_namespace)

    # ------------------------------------------------------------------------------------------ what proxies wrote down
    def read_log(self, pod: Pod, offset: int) -> tuple[bytes, int]:
        return self._of(pod).read_log(offset)

    def flush_logs(self, pods: Sequence[Pod]) -> None:
        sidecars = [self._of(pod) for pod in pods]
        for sidecar in sidecars:
            sidecar.start_flush()
        for sidecar in sidecars:
            sidecar.await_flush()

    # ------------------------------------------------------------------------------------------------- the mesh itself
    def check(self) -> None:
        for child in self._children:
            child.check()

    def close(self) -> None:
        processes.end(self._children)
        for sidecar in self._sidecars.values():
            sidecar.admin.close()
        self._held.release()

    # -------------------------------------------------------------------------------------------------------- starting
    def _sidecar(self, instance: Instance, everybody: Sequence[Instance]) -> Sidecar:
        folder = self._folder / instance.pod.id
        proxy = self._world.proxy(instance.pod.id)
        place = Place(
            block=self._held.block,
            namespace=instance.pod.namespace,
            sidecar=instance.sidecar,
            application=instance.application,
            proxy_port=PROXY_PORT,
            offered=instance.offered,
            sidecars=frozenset(i.sidecar for i in everybody),
            routes_file=folder / Type.ROUTES.file,
        )
        translated = with_pods_of_headless(self._world, proxy, translate(self._world, proxy.id))
        return Sidecar.of(instance, proxy, localise(translated, place), folder)

    def _start(self, envoy: Path, run: str, spawned: Spawned) -> None:
        commands = list(planning.commands(self._world, self._instances, run))
        check_free(self._endpoints())
        for instance in self._instances:
            (self._folder / instance.pod.id).mkdir(parents=True, exist_ok=True)
        waiting: dict[str, Callable[[], bool]] = {}
        # Applications first: they take longer.
        for instance, application, env in commands:
            child = self._start_application(instance, application, env, spawned)
            waiting[child.what] = partial(readiness.ready, application, instance.pod, self._held.block)
        for sidecar in self._sidecars.values():
            child = self._start_envoy(sidecar, envoy, run, spawned)
            waiting[child.what] = sidecar.admin.ready
        self._await(waiting)
        for sidecar in self._sidecars.values():
            sidecar.confirm_first()

    def _endpoints(self) -> Iterable[Endpoint]:
        for instance in self._instances:
            yield from (a.endpoint for a in instance.applications if a.endpoint is not None)
        for sidecar in self._sidecars.values():
            yield sidecar.admin.endpoint
            for listener in sidecar.base.listeners:
                address = listener.get("address", {}).get("socket_address")
                if address:
                    yield Endpoint(address["address"], address["port_value"])

    def _start_application(self, instance: Instance, application: Application, env: Mapping[str, str], spawned: Spawned) -> Child:
        several = len(instance.applications) > 1
        child = processes.start(
            command(application),
            what=f"{instance.pod.id} ({application.container})" if several else instance.pod.id,
            cwd=application.workload.cwd,
            env=env,
            output=self._folder / instance.pod.id / f"{application.container or 'application'}.log",
            inherit=[self._held.fileno()],
            spawned=spawned,
        )
        self._children.append(child)
        return child

    def _start_envoy(self, sidecar: Sidecar, envoy: Path, run: str, spawned: Spawned) -> Child:
        child = processes.start(
            bootstrap.arguments(envoy, sidecar.write_first()),
            what=sidecar.admin.proxy,
            cwd=sidecar.folder,
            env={**os.environ, RUN: run},
            output=sidecar.access_log,
            errors=sidecar.envoy_log,
            inherit=[self._held.fileno()],
            spawned=spawned,
        )
        self._children.append(child)
        sidecar.child = child
        return child

    def _await(self, waiting: dict[str, Callable[[], bool]]) -> None:
        """Raises MeshFailure that names who is missing, or who died."""

        def everybody() -> bool:
            self.check()
            for what in [what for what, ready in waiting.items() if ready()]:
                del waiting[what]
            return not waiting

        if not poll(everybody, deadline=Deadline.after(READY_WITHIN), first=0.005, most=0.02):
            missing = [child for child in self._children if child.what in waiting]
            raise MeshFailure(
                f"not ready within {READY_WITHIN:g} s: {', '.join(child.what for child in missing)}; "
                f"the last lines of {missing[0].what} ({missing[0].log}):\n{processes.last_lines(missing[0].log)}"
            )

    def _instance(self, pod: Pod) -> Instance:
        return next(instance for instance in self._instances if instance.pod.id == pod.id)

    def _of(self, pod: Pod) -> Sidecar:
        try:
            return self._sidecars[pod.id]
        except KeyError:
            raise Unreachable(f"{pod.id} has no sidecar on the local mesh{nearest(pod.id, self._sidecars)}") from None


def _key(filter_: EnvoyFilter) -> tuple[str, str]:
    return str(filter_["metadata"].get("namespace") or "default"), str(filter_["metadata"]["name"])


def _document(filter_: EnvoyFilter) -> Document:
    return Document(raw=filter_, file=_NO_FILE, lines={})


def _service(service: registry.Service) -> Service:
    return Service(
        # A ServiceEntry's name is not what callers say: its hosts are.
        name=service.name if service.kubernetes else service.hostname,
        namespace=service.namespace,
        host=service.hostname,
        ports=tuple(ServicePort(number=p.number, name=p.name, protocol=p.protocol.value) for p in service.ports),
        selector=service.selector or {},
        headless=service.headless,
    )


def _pod(instance: Instance) -> Pod:
    pod = instance.pod
    return Pod(name=pod.name, namespace=pod.namespace, workload=pod.workload, labels=pod.labels, ip=pod.ip, proxy=instance.proxy)
