"""`LocalMesh`: a mesh of real Envoy processes on this machine, started from a topology's `local` part.

What is on disk afterwards, in the folder given: one sub-folder per instance with what its Envoy was told and said.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from chaos.envoy import patches
from chaos.envoy.configuration import Configuration
from chaos.errors import EnvironmentFailure, Unreachable, nearest
from chaos.istio.documents import Document, read
from chaos.istio.findings import Finding
from chaos.istio.gateways import merged_gateway
from chaos.istio.inventory import pod_of, service_of
from chaos.istio.world import Proxy, World
from chaos.mesh.leases import FileLeases
from chaos.mesh.local import binary, configured, launching
from chaos.mesh.local import stop as stop_switch
from chaos.mesh.local.addresses import Held
from chaos.mesh.local.instances import Instance
from chaos.mesh.local.launching import Launcher, Running
from chaos.mesh.local.planning import Plan, Planner
from chaos.mesh.local.processes import Spawned
from chaos.mesh.local.sidecars import Sidecar
from chaos.mesh.local.xds import Change, deliver
from chaos.mesh.port import Address, EnvoyFilter, Host, Identity, Mesh, Pod, Resource, Service
from chaos.model.topology import Topology

_NO_FILE = Path("<istio-chaos>")


class LocalMesh(Mesh):
    """A mesh that this process started, and ends."""

    @classmethod
    def start(cls, topology: Topology, *, folder: Path, run: str, spawned: Spawned, stop: Path | None = None) -> LocalMesh:
        """Bring everything up; returns when every instance answers.

        `folder` gets a sub-folder per instance, `run` stands in every child's environment (`ISTIO_CHAOS_RUN`), and `spawned`
        is called with (process group, what it is) right after each start. While the file `stop` is there, nobody may inject; what
        it says is the reason. Raises ManifestError and TopologyError before
        anything is started, MeshFailure later; whatever had been started is ended then.
        """
        envoy = binary.find()
        with ExitStack() as undo:
            held = undo.enter_context(Held.take())
            planner = Planner(topology, held.block)
            plan = planner.first()
            mesh = cls(topology, held, folder, planner, plan, Launcher(envoy, folder, run, spawned, held))
            mesh._stop = stop
            undo.callback(mesh.close)
            mesh._begin()
            undo.pop_all()
        return mesh

    def __init__(self, topology: Topology, held: Held, folder: Path, planner: Planner, plan: Plan, launcher: Launcher) -> None:
        self._entry = topology.entry
        self._held = held
        self._folder = folder
        self._planner = planner
        self._launcher = launcher
        self._running: dict[str, Running] = {}
        """By pod id."""
        self._unsettled: list[Running] = []
        """Being started, or being ended: no part of the mesh, but ours to end."""
        self._gone: dict[str, Sidecar] = {}
        """Whose instances were ended: what they wrote can still be read."""
        self._ours: dict[tuple[str, str], Document] = {}
        self._stop: Path | None = None
        self.leases = FileLeases(folder / "leases.json")
        self._lock = threading.RLock()
        """Held while proxies are given something."""
        self._updating = threading.Lock()
        self._take(plan)
        self.default_namespace = topology.entry.namespace
        details = {"folder": str(folder), "instances": str(len(plan.instances))}
        if plan.findings and topology.local:
            details["lint"] = _summary(plan.findings, topology.local.manifests)
        self.identity = Identity(kind="local", name=f"127.{held.block.octet}.0.0/16", details=details)

    # ------------------------------------------------------------------------------------------------------- who is there
    def services(self) -> Sequence[Service]:
        return self._services

    def pods(self) -> Sequence[Pod]:
        dead = {sidecar.instance.pod.id for sidecar in _sidecars(self._running.values()) if sidecar.dead}
        return tuple(pod for pod in self._pods if pod.id not in dead)

    @property
    def entry(self) -> tuple[Pod, Service, int]:
        return configured.entry(self._plan, self._entry)

    def address(self, service: Service | None = None, port: int | None = None) -> Address:
        return configured.address(self._plan, self._entry, service, port)

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
        """`finish` is for what only takes away: it goes on when a proxy fails. A dead one has nothing, and is passed over."""
        concerned = [
            sidecar
            for sidecar in _sidecars(self._running.values())
            if (sidecar.current is None or any(self._concerns(o, sidecar.proxy) for o in touched)) and not sidecar.dead
        ]
        self._give([(sidecar, self._with(sidecar, ours.values())) for sidecar in concerned], finish=finish)
        self._ours = dict(ours)

    def _give(self, wanted: Sequence[tuple[Sidecar, Configuration]], *, finish: bool = False) -> None:
        """In force when it returns; whose delivery was cut short is not known to have anything."""
        changes = [Change(sidecar.subscription, sidecar.current, new) for sidecar, new in wanted]
        for sidecar, _ in wanted:
            sidecar.current = None  # until it is confirmed, whatever interrupts us
        deliver(changes, finish=finish)
        for sidecar, new in wanted:
            sidecar.current = new

    def _write_back(self, failure: BaseException) -> None:
        try:
            self._install(self._ours, touched=(), finish=True)
        except EnvironmentFailure as again:
            failure.add_note(f"what was there before could not be written back: {again}")

    def _with(self, sidecar: Sidecar, ours: Iterable[Document]) -> Configuration:
        return _patched(self._plan.world, sidecar.proxy, sidecar.base, ours)

    def _concerns(self, filter_: Document, proxy: Proxy) -> bool:
        return patches.concerns(filter_, proxy, root_namespace=self._plan.world.mesh.root_namespace)

    # --------------------------------------------------------------------------------------------------- the owners' objects
    @property
    def manifests(self) -> tuple[Document, ...]:
        """The owners' objects, as they are in force: `mesh.update([*mesh.manifests, *changed])` is `kubectl apply`."""
        return self._plan.manifests

    def update(self, manifests: Iterable[Document | Path]) -> None:
        """These are the owners' objects from now on, files or documents, of two with one name the last; ours stay on top.

        In force when it returns. No request is lost: pods that are new are ready before anybody sends to them, and those that go
        get no more, have `launching.DRAINED_WITHIN` seconds to answer what they have, and are ended. A Deployment whose template
        changed is rolled over so (with `strategy: Recreate` its old pods go first). Names follow the manifests, so from one replica
        to several, and back, all of them are new. What an endpoint's change costs: outlier detection of that cluster begins anew.

        Raises ManifestError and TopologyError before anything is touched, MeshFailure when all is as it was before.
        """
        with self._updating:
            documents = [d for each in manifests for d in ([each] if isinstance(each, Document) else read([each]))]
            for step in self._planner.steps(documents, now=self._plan):
                self._move(step)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What `istio-chaos lint` says of the owners' objects at level Warning and above."""
        return self._plan.findings

    def _move(self, plan: Plan) -> None:
        """From the plan of now to this one."""
        bases = {i.pod.id: configured.base(plan, i, self._held.block, self._folder) for i in plan.instances if i.proxy}
        coming = [self._made(plan, i, bases) for i in plan.instances if i.pod.id not in self._running]
        self._unsettled = coming
        try:
            self._launcher.start(plan, coming)
            self._change_over(plan, coming, bases)
        except BaseException:
            launching.end(coming)
            raise
        finally:
            self._planner.keep(running.instance.pod for running in self._running.values())
        launching.drain(self._unsettled)
        self._unsettled = []

    def _change_over(self, plan: Plan, coming: Sequence[Running], bases: Mapping[str, Configuration]) -> None:
        """Everybody gets what follows from the plan; who comes has ours before anybody sends to it, who leaves gets no requests."""
        with self._lock:
            self._give([(s, _patched(plan.world, s.proxy, s.base, self._ours.values())) for s in _sidecars(coming)])
            try:
                self._give([(s, self._next(plan, s, bases)) for s in _sidecars(self._running.values()) if not s.dead])
            except BaseException as failure:
                self._write_back(failure)
                raise
            instances = {instance.pod.id: instance for instance in plan.instances}
            self._unsettled = [running for pod, running in self._running.items() if pod not in instances]
            self._gone |= {sidecar.instance.pod.id: sidecar for sidecar in _sidecars(self._unsettled)}
            staying = {pod: running for pod, running in self._running.items() if pod in instances}
            for pod, running in staying.items():
                running.moved(instances[pod], plan.world.proxy(pod), bases.get(pod))
            self._running = staying | {running.instance.pod.id: running for running in coming}
            self._take(plan)

    def _next(self, plan: Plan, sidecar: Sidecar, bases: Mapping[str, Configuration]) -> Configuration:
        """What follows from the plan, or for who leaves what it has, without anything of ours."""
        pod = sidecar.instance.pod.id
        if pod not in bases:
            return sidecar.base
        return _patched(plan.world, plan.world.proxy(pod), bases[pod], self._ours.values())

    def _take(self, plan: Plan) -> None:
        self._plan = plan
        self._services = tuple(map(service_of, plan.world.services))
        self._pods = tuple(pod_of(instance.pod) for instance in plan.instances)

    def set_runtime(self, namespace: str, pod: str, key: str, value: str) -> None:
        if sidecar := self._named(namespace, pod):
            sidecar.admin.set_runtime(key, value)

    def listens(self, namespace: str, pod: str, name_regex: str) -> bool:
        sidecar = self._named(namespace, pod)
        return sidecar is not None and bool(sidecar.admin.dump(Resource.LISTENERS, name_regex))

    def _named(self, namespace: str, pod: str) -> Sidecar | None:
        found = next((each for each in self._pods if (each.namespace, each.name) == (namespace, pod)), None)
        return self._of(found) if found else None

    # ------------------------------------------------------------------------------------------ what proxies wrote down
    def read_log(self, pod: Pod, offset: int) -> tuple[bytes, int]:
        return self._of(pod, gone=True).read_log(offset)

    def flush_logs(self, pods: Sequence[Pod]) -> None:
        # Who is gone wrote everything when it ended.
        sidecars = [self._of(pod) for pod in pods if pod.id in self._running or pod.id not in self._gone]
        for sidecar in sidecars:
            sidecar.start_flush()
        for sidecar in sidecars:
            sidecar.await_flush()

    # ------------------------------------------------------------------------------------------------- the mesh itself
    def check(self) -> None:
        for running in tuple(self._running.values()):
            running.check()

    def serving(self) -> str:
        """The control plane is this object."""
        return ""

    def stopped(self) -> str:
        return stop_switch.stopped(self._stop)

    def close(self) -> None:
        launching.end([*self._running.values(), *self._unsettled])
        self._held.release()

    # -------------------------------------------------------------------------------------------------------- starting
    def _begin(self) -> None:
        plan = self._plan
        bases = {i.pod.id: configured.base(plan, i, self._held.block, self._folder) for i in plan.instances if i.proxy}
        self._running = {i.pod.id: self._made(plan, i, bases) for i in plan.instances}
        self._launcher.start(plan, list(self._running.values()))

    def _made(self, plan: Plan, instance: Instance, bases: Mapping[str, Configuration]) -> Running:
        pod = instance.pod.id
        sidecar = Sidecar.of(instance, plan.world.proxy(pod), bases[pod], self._folder / pod) if pod in bases else None
        return Running(instance=instance, sidecar=sidecar)

    def _of(self, pod: Pod, *, gone: bool = False) -> Sidecar:
        running = self._running.get(pod.id)
        sidecar = running.sidecar if running else self._gone.get(pod.id) if gone else None
        if sidecar is None:
            known = [sidecar.instance.pod.id for sidecar in _sidecars(self._running.values())]
            raise Unreachable(f"{pod.id} has no sidecar on the local mesh{nearest(pod.id, known)}")
        return sidecar


def _sidecars(running: Iterable[Running]) -> list[Sidecar]:
    return [each.sidecar for each in running if each.sidecar is not None]


def _summary(findings: Sequence[Finding], manifests: Iterable[Path]) -> str:
    here = Path.cwd()
    files = " ".join(f"-f {path.relative_to(here) if path.is_relative_to(here) else path}" for path in manifests)
    return f"{len(findings)} finding{'s' if len(findings) > 1 else ''} (istio-chaos lint {files})"


def _patched(world: World, proxy: Proxy, base: Configuration, ours: Iterable[Document]) -> Configuration:
    """On top of the localised configuration, which has istiod's virtual hosts under their names."""
    return patches.apply(
        base,
        ours,
        proxy,
        root_namespace=world.mesh.root_namespace,
        profile=world.profile,
        gateway_ports=merged_gateway(world, proxy).service_ports if proxy.is_gateway else {},
    )


def _key(filter_: EnvoyFilter) -> tuple[str, str]:
    return str(filter_["metadata"].get("namespace") or "default"), str(filter_["metadata"]["name"])


def _document(filter_: EnvoyFilter) -> Document:
    return Document(raw=filter_, file=_NO_FILE, lines={})
