"""What would run? Manifests and commands, read and checked; nothing is touched.

`LocalMesh` begins with it, and asks again when its manifests change. A front end asks `check` before its first experiment, so that
what is wrong with files is said once, and early.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from chaos.errors import TopologyError
from chaos.istio.documents import Document, read
from chaos.istio.findings import Finding, Level
from chaos.istio.lint import lint
from chaos.istio.workloads import TEMPLATE_HASH, Pod
from chaos.istio.world import DEFAULT_PROFILE, World, last_applied
from chaos.mesh.local import binary
from chaos.mesh.local.addresses import Block
from chaos.mesh.local.applications import command, environment
from chaos.mesh.local.gateways import WayIn, made_up, way_in
from chaos.mesh.local.generations import Generations
from chaos.mesh.local.instances import Application, Instance, Numbers, instances, load_workload, offered_services, short_image
from chaos.model.topology import Local, Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A mesh that could run: everything of it that follows from manifests and topology."""

    manifests: tuple[Document, ...]
    """The owners' objects: of two with one name the last, as `kubectl apply` leaves it."""
    world: World
    """With what we add: the workload that load comes from, and gateways of which there are no manifests."""
    instances: tuple[Instance, ...]
    way_in: WayIn | None
    """The gateway through which load reaches the entry; None: it comes from the load workload."""
    findings: tuple[Finding, ...]
    """What `istio-chaos lint` says of the manifests at level Warning and above."""


class Planner:
    """Plans for one topology at one block of addresses, one after the other: who stays keeps name and address."""

    def __init__(self, topology: Topology, block: Block) -> None:
        if topology.local is None:
            raise TopologyError(f"{topology.file}: there is no `local:`, which names the manifests and commands of the local mesh")
        self._topology = topology
        self._local: Local = topology.local
        self._block = block
        self._numbers = Numbers(block)
        self._generations = Generations()

    def first(self) -> Plan:
        """Of the manifests that the topology names. Raises ManifestError and TopologyError."""
        return self.plan(read(self._local.manifests))

    def plan(self, manifests: Iterable[Document]) -> Plan:
        """Of other manifests. Raises ManifestError and TopologyError."""
        owners = last_applied(manifests)
        ours = [*load_workload(self._topology.entry.namespace), *made_up(owners)]
        world = World.of(
            [*self._generations.named(owners), *ours],
            mesh_config=dict(self._local.mesh_config),
            address_of=self._numbers.address_of,
            profile=self._local.istio or DEFAULT_PROFILE,
        )
        found = instances(world, self._topology, self._block, self._numbers)
        return Plan(
            manifests=owners,
            world=world,
            instances=found,
            way_in=way_in(world, found, self._topology, self._block),
            findings=tuple(self._findings(owners)),
        )

    def steps(self, manifests: Iterable[Document], now: Plan) -> Iterator[Plan]:
        """From the plan of now to one of these manifests, in one step; or in two, where old pods go before new ones come.

        Raises ManifestError and TopologyError before the first step.
        """
        documents = tuple(manifests)
        wanted = self.plan(documents)
        emptied = [_without_pods(d) if _recreated(d, now.world, wanted.world) else d for d in wanted.manifests]
        if any(one is not other for one, other in zip(emptied, wanted.manifests, strict=True)):
            yield self.plan(emptied)
            wanted = self.plan(documents)  # who came with the first plan has been forgotten in between
        yield wanted

    def _findings(self, owners: Sequence[Document]) -> Iterator[Finding]:
        found = lint(owners, mesh_config=self._local.mesh_config)
        return (finding for finding in found if finding.level is not Level.INFO and not _is_made_up_for(finding))

    def keep(self, pods: Iterable[Pod]) -> None:
        """These are the ones that run: what any other plan gave away is free again."""
        self._numbers.keep(pods)


def _is_made_up_for(finding: Finding) -> bool:
    """A Gateway whose selector picks nothing: here it has the gateway that was made up."""
    return finding.code == "IST0101" and finding.origin.startswith("Gateway ") and finding.path == "spec.selector"


def _recreated(document: Document, now: World, wanted: World) -> bool:
    """A Deployment with `strategy: Recreate` whose template changed."""
    if document.kind != "Deployment" or (document.spec.get("strategy") or {}).get("type") != "Recreate":
        return False
    before, after = ({p.labels.get(TEMPLATE_HASH) for p in _pods(document, world)} for world in (now, wanted))
    return bool(before and after) and before != after


def _pods(document: Document, world: World) -> Iterator[Pod]:
    return (pod for pod in world.pods if pod.document.origin == document.origin)


def _without_pods(document: Document) -> Document:
    return Document(raw={**document.raw, "spec": {**document.spec, "replicas": 0}}, file=document.file, lines=document.lines)


def commands(
    plan: Plan, wanted: Iterable[Instance], run: str, inherited: Mapping[str, str] = os.environ
) -> Iterator[tuple[Instance, Application, dict[str, str]]]:
    """Every application of `wanted` with its environment. Raises ManifestError for a variable that nobody here can give."""
    services = offered_services(plan.world)
    for instance in wanted:
        for application in instance.applications:
            env = environment(instance, application, world=plan.world, services=services, inherited=inherited, run=run)
            yield instance, application, env


def check(topology: Topology) -> None:
    """Raises ManifestError, TopologyError or MeshFailure (no Envoy here) for what could not start."""
    binary.find()
    plan = Planner(topology, Block(1)).first()
    for _, application, env in commands(plan, plan.instances, run=""):
        program, *_ = command(application)
        place = application.workload.cwd / program if os.sep in program else program
        if shutil.which(place, path=env.get("PATH")) is None:
            where = f"{place} is no program" if os.sep in program else f"there is no program {program!r} on PATH"
            raise TopologyError(f"{topology.file}: local.workloads.{short_image(application.image)}.command: {where}")
