"""What does the local mesh cost, and how quickly does a fault switch?

    python -m benchmarks mesh

With the bookinfo of `examples/`: seven instances and the load workload, eight Envoys.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from benchmarks.results import Result
from chaos.clock import NS, now
from chaos.mesh.local.mesh import LocalMesh
from chaos.mesh.port import Pod, Resource
from chaos.model.topology import Topology
from chaos.run.topology import load

TOPOLOGY: Final = Path(__file__).parents[1] / "experiments" / "chaos.yaml"
REVIEWS: Final = "reviews.bookinfo.svc.cluster.local:9080"
ROUNDS: Final = 3
SWITCHES: Final = 200


def start() -> Iterable[Result]:
    """From the call until every application and sidecar answers, and what a sidecar takes of memory."""
    seconds, resident = [], []
    for _ in range(ROUNDS):
        before = now()
        with mesh() as (_, groups):
            seconds.append((now() - before) / NS)
            resident += [memory(group) for group, what in groups.items() if what.startswith("sidecar")]
    yield Result("start of bookinfo", round(median(seconds), 2), "s", "at most 4", met=median(seconds) <= 4)
    yield Result("resident memory of a sidecar", round(median(resident)), "MiB", "at most 80", met=median(resident) <= 80)


def switch() -> Iterable[Result]:
    """One route put in front of a virtual host: written and confirmed; and proven in the proxy's dump as a run does it."""
    applied, proven = [], []
    with mesh() as (running, _):
        caller = next(pod for pod in running.pods() if pod.workload == "productpage-v1")
        for number in range(SWITCHES):
            name = f"istio-chaos.bench.{number}"
            before = now()
            running.apply([route(name)])
            applied.append((now() - before) / 1e6)
            assert name in route_names(running, caller)
            proven.append((now() - before) / 1e6)
    yield Result("route change applied, median", round(median(applied), 1), "ms", "at most 20", met=median(applied) <= 20)
    yield Result("route change proven, median", round(median(proven), 1), "ms", "at most 20", met=median(proven) <= 20)
    yield Result("route change proven, p99", round(quantiles(proven, n=100)[98], 1), "ms", "informative", met=True)


def hop() -> Iterable[Result]:
    """What a request through two sidecars takes more than one straight to the application."""
    with mesh() as (running, _):
        pod, _, _ = running.entry
        details = next(service for service in running.services() if service.name == "details")
        through = running.address(details).url.removeprefix("http://")
        straight = next(p.ip for p in running.pods() if p.workload == "details-v1").removesuffix(".1") + ".2:9080"
        with_sidecars, without = latency(through), latency(straight)
        running.flush_logs([pod])
    yield Result("two sidecars, median", round(with_sidecars - without, 2), "ms", "at most 2", met=with_sidecars - without <= 2)


BENCHMARKS: Final[tuple[Callable[[], Iterable[Result]], ...]] = (start, switch, hop)


@contextmanager
def mesh() -> Iterator[tuple[LocalMesh, dict[int, str]]]:
    """Running, and which process group is what."""
    groups: dict[int, str] = {}
    topology: Topology = load(TOPOLOGY)
    with tempfile.TemporaryDirectory() as folder:
        running = LocalMesh.start(topology, folder=Path(folder), run="benchmark000", spawned=groups.__setitem__)
        with closing(running):
            yield running, groups


def memory(pid: int) -> float:
    """MiB that are really there (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def route(name: str) -> dict[str, Any]:
    value = {"name": name, "match": {"prefix": "/"}, "direct_response": {"status": 418}}
    match = {"context": "SIDECAR_OUTBOUND", "routeConfiguration": {"vhost": {"name": REVIEWS}}}
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "bench", "namespace": "bookinfo"},
        "spec": {
            "priority": 1000,
            "workloadSelector": {"labels": {"app": "productpage"}},
            "configPatches": [{"applyTo": "HTTP_ROUTE", "match": match, "patch": {"operation": "INSERT_FIRST", "value": value}}],
        },
    }


def route_names(running: LocalMesh, caller: Pod) -> set[str]:
    found = running.dump(caller, Resource.ROUTES, ".*")
    return {r.get("name", "") for c in found for host in c["virtual_hosts"] if host["name"] == REVIEWS for r in host["routes"]}


def latency(address: str, requests: int = 500) -> float:
    """Median in ms, over one connection."""
    host, _, port = address.partition(":")
    taken = []
    with closing(HTTPConnection(host, int(port))) as connection:
        for _ in range(requests):
            before = now()
            connection.request("GET", "/health")
            connection.getresponse().read()
            taken.append((now() - before) / 1e6)
    return median(taken)
