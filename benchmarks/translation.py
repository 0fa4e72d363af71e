"""How does the translation grow with the mesh, and how soon does a changed VirtualService count?

    python -m benchmarks translation

A made-up mesh of N services in two namespaces. Each has a workload, a DestinationRule, four callers, and two VirtualServices with
a rule for each of them: its owner's, and a private one in the other namespace. 50 services: 200 edges and 100 VirtualServices.
"""

from __future__ import annotations

import copy
import tempfile
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks.mesh import memory
from benchmarks.results import Result
from chaos.clock import NS, now
from chaos.envoy.configuration import Configuration
from chaos.envoy.translation import translate
from chaos.istio.documents import Document, read_text
from chaos.istio.world import World
from chaos.mesh.local.mesh import LocalMesh
from chaos.model.topology import Entry, Local, Topology

SERVICES: Final = 50
SIZES: Final = (10, 50, 200)
ROUNDS: Final = 3
NAMESPACES: Final = ("left", "right")
ENTRY: Final = "s0"
CHANGED: Final = f"VirtualService {NAMESPACES[0]}/{ENTRY}"
SIDECARS: Final = 10


def whole_mesh() -> Iterable[Result]:
    """Every proxy of 50 services, from manifests that were read; the memory that takes."""
    written = documents(SERVICES)
    rules = sum(document.kind == "VirtualService" for document in written)
    taken = min(_seconds(lambda: translated(World.of(written))) for _ in range(ROUNDS))
    name = f"translation of {SERVICES} services with {rules} VirtualServices, every proxy"
    yield Result(name, round(taken, 2), "s", "informative", met=True)
    yield Result("memory of that translation", round(_peak(lambda: translated(World.of(written)))), "MiB", "informative", met=True)


def change_of_a_virtual_service() -> Iterable[Result]:
    """From new manifests to in force in every proxy: checked, translated, delivered and confirmed."""
    taken = []
    with mesh(SERVICES, sidecars=SIDECARS) as (running, _, _):
        for number in range(ROUNDS):
            owners = [_with_timeout(d, f"{number + 1}s") if d.origin == CHANGED else d for d in running.manifests]
            taken.append(_seconds(partial(running.update, owners)))
    name = f"change of one VirtualService, in force in {SIDECARS + 1} proxies of {SERVICES} services"
    yield Result(name, round(min(taken), 2), "s", "informative", met=True)


def growth() -> Iterable[Result]:
    """What a proxy costs per service of the mesh: the same for ten services as for two hundred, where growth is linear.

    The least of several rounds, the sizes in turns: what else runs on the machine only ever adds.
    """
    written = {size: documents(size) for size in SIZES}
    rounds = [{size: _seconds(partial(_one_proxy, written[size])) for size in SIZES} for _ in range(2 * ROUNDS)]
    least = {size: min(taken[size] for taken in rounds) for size in SIZES}
    for size in SIZES:
        yield Result(f"translation for one proxy, {size} services", round(least[size] * 1000, 1), "ms", "informative", met=True)
        with mesh(size) as (_, seconds, resident):
            yield Result(f"start of its sidecar, {size} services", round(seconds, 2), "s", "informative", met=True)
            yield Result(f"its memory, {size} services", round(resident), "MiB", "informative", met=True)
    first = SIZES[0]
    for size in SIZES[1:]:
        ratio = (least[size] / size) / (least[first] / first)
        name = f"time per service, {size} against {first} services"
        yield Result(name, round(ratio, 2), "ratio", "at most 1.5", met=ratio <= 1.5)


BENCHMARKS: Final[tuple[Callable[[], Iterable[Result]], ...]] = (whole_mesh, change_of_a_virtual_service, growth)


def translated(world: World) -> list[Configuration]:
    return [translate(world, pod.id) for pod in world.pods]


def _one_proxy(written: Sequence[Document]) -> Configuration:
    return translate(World.of(written), f"{ENTRY}.{NAMESPACES[0]}")


def _with_timeout(document: Document, timeout: str) -> Document:
    changed = copy.deepcopy(dict(document.raw))
    changed["spec"]["http"][0]["timeout"] = timeout
    return replace(document, raw=changed)


# -------------------------------------------------------------------------------------------------------- the made-up mesh
def documents(services: int) -> Sequence[Document]:
    return tuple(read_text(yaml.safe_dump_all(manifests(services)), Path("generated.yaml")))


def manifests(services: int, sidecars: int = 0) -> Iterator[dict[str, Any]]:
    """Service n is called by the four after it; the even ones live on the left, the first ones have sidecars."""
    for number in range(services):
        name, namespace = f"s{number}", NAMESPACES[number % 2]
        host = f"{name}.{namespace}.svc.cluster.local"
        callers = [f"s{(number + step) % services}" for step in range(1, 5)]
        yield _object("v1", "Service", name, namespace, selector={"app": name}, ports=[{"name": "http", "port": 80}])
        # Nobody answers in a pod without containers: it costs the machine a sidecar at most.
        labels = {"app": name, "version": "v1", "sidecar.istio.io/inject": "true" if number < sidecars else "false"}
        yield _object(
            "apps/v1", "Deployment", name, namespace, template={"metadata": {"labels": labels}, "spec": {"containers": []}}
        )
        policy = {"outlierDetection": {"consecutive5xxErrors": 5}, "connectionPool": {"http": {"maxRetries": 10}}}
        subsets = [{"name": version, "labels": {"version": version}} for version in ("v1", "v2")]
        rule = {"host": host, "trafficPolicy": policy, "subsets": subsets}
        yield _object("networking.istio.io/v1", "DestinationRule", name, namespace, **rule)
        for owner, export in ((namespace, "*"), (NAMESPACES[1 - number % 2], ".")):
            http = [*(_rule(host, caller) for caller in callers), {"route": [{"destination": {"host": host}}]}]
            spec = {"hosts": [host], "exportTo": [export], "http": http}
            yield _object("networking.istio.io/v1", "VirtualService", name, owner, **spec)


def _rule(host: str, caller: str) -> dict[str, Any]:
    return {
        "match": [{"sourceLabels": {"app": caller}, "uri": {"prefix": "/api"}, "headers": {"x-user": {"exact": "tester"}}}],
        "route": [{"destination": {"host": host, "subset": v}, "weight": w} for v, w in (("v1", 90), ("v2", 10))],
        "timeout": "1s",
        "retries": {"attempts": 2, "perTryTimeout": "400ms", "retryOn": "5xx"},
    }


def _object(api: str, kind: str, name: str, namespace: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


@contextmanager
def mesh(services: int, sidecars: int = 0) -> Iterator[tuple[LocalMesh, float, float]]:
    """With these sidecars and the load workload's: (the mesh, seconds of its start, translation included; MiB it takes)."""
    groups: dict[int, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "generated.yaml")
        file.write_text(yaml.safe_dump_all(manifests(services, sidecars)))
        topology = Topology(
            file=Path(folder, "chaos.yaml"),
            entry=Entry(service=ENTRY, namespace=NAMESPACES[0], port=80),
            local=Local(manifests=(file,)),
        )
        before = now()
        running = LocalMesh.start(topology, folder=Path(folder, "mesh"), run="benchmark000", spawned=groups.__setitem__)
        seconds = (now() - before) / NS
        with closing(running):
            yield running, seconds, sum(map(memory, groups))


def _seconds(step: Callable[[], object]) -> float:
    before = now()
    step()
    return (now() - before) / NS


def _peak(step: Callable[[], object]) -> float:
    """MiB at its highest, of what Python allocates."""
    tracemalloc.start()
    try:
        kept = step()
        highest = tracemalloc.get_traced_memory()[1]
        del kept
    finally:
        tracemalloc.stop()
    return highest / 2**20
