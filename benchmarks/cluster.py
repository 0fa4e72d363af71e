"""What does a cluster cost? Calls and time of an injection and its undo, a sweep, and how long a fault outlives its runner.

    python -m benchmarks cluster

Against a real API server (`.ci/apiserver` builds one) and real Envoys; istiod and kubelet are stood in for, and add nearly nothing.
An istiod waits 100 ms for more changes and then some for the push, which comes on top of every proof.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.results import Result
from chaos import abort, clock
from chaos.mesh.cluster.remains import ClusterRemains
from chaos.mesh.port import Resource
from chaos.model.topology import Allow, Choice, Target
from chaos.run.cleaning import sweep
from tests.apiserver.faults import in_front_of
from tests.apiserver.server import CONTEXT, assets, running
from tests.apiserver.world import World, world
from tests.meshes import envoy_filter
from tests.runs import experiment, opened

ROUNDS: Final = 20
KILLED: Final = 5
LOST: Final = 3
NAMESPACES: Final = 50
OBJECTS: Final = 1000
EDGE: Final = "web -> store"
RUNNER: Final = """
import sys
from dataclasses import replace
from pathlib import Path
from chaos import delay
from chaos.model.topology import Allow, Choice, Target
from tests.meshes import topology
from tests.runs import experiment, opened

folder, kubeconfig = map(Path, sys.argv[1:])
allow = Allow(contexts=("kind-*",), namespaces=("shop",), without_reaper=True)
of_shop = replace(topology(folder), targets={"test": Target(context="kind-test")}, allow=allow)
with opened(folder, of_shop, "cluster", Choice(target="test", kubeconfig=kubeconfig)) as run, experiment(run) as (inject, _, _):
    with inject(delay("2s"), "web -> store", at="callee"):
        print("on", flush=True)
        sys.stdin.read()
"""


REAPER: Final = """
import sys
from chaos.cli import main
sys.argv[1:] = ["reap", "-n", "shop", "--context=kind-test", f"--kubeconfig={sys.argv[1]}", "--holder=bench"]
main()
"""


def on_and_off() -> Iterable[Result]:
    """Calls are counted in front of the API server; those of the watch that runs meanwhile are among them."""
    with shop() as made, in_front_of(made.server) as counted:
        allow = Allow(contexts=("kind-*",), namespaces=("shop",), without_reaper=True)
        of_shop = replace(made.topology, targets={"test": Target(context=CONTEXT)}, allow=allow)
        choice = Choice(target="test", kubeconfig=made.visit(url=counted.url).kubeconfig)
        folder = made.folder / "run"
        folder.mkdir()
        on, off, calls_on, calls_off = [], [], [], []
        with opened(folder, of_shop, "cluster", choice) as run, experiment(run) as (inject, _, one):
            began, before = clock.now(), len(counted.calls)
            one.observe(inject(abort(503), EDGE).record.request.edge)
            first, staging = (clock.now() - began) / 1e6, len(counted.calls) - before
            for _ in range(ROUNDS):
                injection = inject(abort(503), EDGE)
                began, before = clock.now(), len(counted.calls)
                injection.__enter__()
                on.append((clock.now() - began) / 1e6)
                calls_on.append(len(counted.calls) - before)
                began, before = clock.now(), len(counted.calls)
                injection.undo()
                off.append((clock.now() - began) / 1e6)
                calls_off.append(len(counted.calls) - before)
    yield Result("cluster: an edge staged, proven", round(first, 1), "ms", "informative", met=True)
    yield Result("cluster: calls to the API server for that", staging, "calls", "informative", met=True)
    yield Result("cluster: injection on, proven", round(median(on), 1), "ms, median", "informative", met=True)
    yield Result("cluster: calls for that", median(calls_on), "calls, median", "informative", met=True)
    yield Result("cluster: injection off, proven gone", round(median(off), 1), "ms, median", "informative", met=True)
    yield Result("cluster: calls for that", median(calls_off), "calls, median", "informative", met=True)


def sweep_of_many() -> Iterable[Result]:
    """Objects whose lease is gone, spread over many namespaces."""
    with shop() as made:
        namespaces = [f"bench-{number}" for number in range(NAMESPACES)]
        for namespace in namespaces:
            made.grant("tester", namespace=namespace)
        for number in range(OBJECTS):
            made.admin.apply(envoy_filter(f"dead-{number}", namespace=namespaces[number % NAMESPACES]))
        remains = ClusterRemains(made.server.client("tester"), namespaces)
        began = clock.now()
        removed = sweep(remains)
        took = (clock.now() - began) / 1e9
        assert len(removed) == OBJECTS, removed[:1]
    what = f"cluster: sweep of {OBJECTS} EnvoyFilters in {NAMESPACES} namespaces"
    yield Result(what, round(took, 2), "s", "informative", met=True)


def after_a_kill() -> Iterable[Result]:
    """From SIGKILL of the runner to no route of ours in the caller's proxy; its watchdog lives."""
    took = []
    with shop() as made:
        for number in range(KILLED):
            folder = _folder(made, str(number))
            with _started(made, RUNNER, str(folder), str(made.visit().kubeconfig)) as runner:
                assert runner.readline() == b"on\n"
                assert _in_force(made)
                os.kill(runner.pid, signal.SIGKILL)
                began = clock.now()
                assert clock.poll(lambda: not _in_force(made), deadline=clock.Deadline.after(30), most=0.01)
                took.append((clock.now() - began) / 1e6)
            deadline = clock.Deadline.after(30)
            assert clock.poll(lambda folder=folder: not list(folder.rglob("*.journal")), deadline=deadline)
    worst = round(max(took))
    yield Result("cluster: fault after SIGKILL of the runner", worst, f"ms, worst of {KILLED}", "under 1000", met=worst < 1000)


def after_a_lost_machine() -> Iterable[Result]:
    """Runner and watchdog are killed at once; what is left is a reaper, `istio-chaos reap`, as `deploy/` runs it."""
    took = []
    with shop() as made, _started(made, REAPER, str(made.visit().kubeconfig)) as reaper:
        assert b"looking after shop" in reaper.readline()
        for number in range(LOST):
            with _started(made, RUNNER, str(_folder(made, f"lost-{number}")), str(made.visit().kubeconfig)) as runner:
                assert runner.readline() == b"on\n"
                watchdogs = [pid for pid in _children(runner.pid) if b"chaos.run.watchdog" in _command(pid)]
                assert len(watchdogs) == 1
                for pid in (*watchdogs, runner.pid):
                    os.kill(pid, signal.SIGKILL)
                began = clock.now()
                assert clock.poll(lambda: not _in_force(made), deadline=clock.Deadline.after(60), most=0.05)
                took.append((clock.now() - began) / 1e9)
    worst = max(took)
    yield Result("cluster: fault after the whole machine is lost", round(worst, 1), f"s, worst of {LOST}", "25", met=worst <= 25)


class _Process:
    """Of ours, killed at the end."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.pid = process.pid
        assert process.stdout is not None
        self.readline = process.stdout.readline


@contextmanager
def _started(made: World, script: str, *arguments: str) -> Iterator[_Process]:
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        start_new_session=True,
    ) as process:
        try:
            yield _Process(process)
        finally:
            process.kill()


def _folder(made: World, name: str) -> Path:
    folder = made.folder / name
    folder.mkdir()
    return folder


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _in_force(made: World) -> bool:
    (web,) = (pod for pod in made.mesh.pods() if pod.workload == "web")
    return "istio-chaos." in str(made.mesh.dump(web, Resource.ROUTES, ".*"))


@contextmanager
def shop() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        server, place = Path(folder) / "server", Path(folder) / "shop"
        server.mkdir()
        place.mkdir()
        with running(server) as api, world(api, place) as made:
            yield made


def _missing() -> Iterable[Result]:
    print("cluster: left out, there is no kube-apiserver; .ci/apiserver builds it")
    return ()


BENCHMARKS: Final[tuple[Callable[[], Iterable[Result]], ...]] = (
    (on_and_off, sweep_of_many, after_a_kill, after_a_lost_machine) if assets() is not None else (_missing,)
)
