"""What does a run leave on a cluster that was killed? Its watchdog, `sweep` and the reaper against an API server that can fail.

Objects, leases and clock are those of the stand-in's API server; the first tests look into the proxies, which are real Envoys.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from chaos import clock
from chaos.cli import main
from chaos.mesh.local.mesh import LocalMesh
from chaos.mesh.port import Resource
from chaos.run import watchdog
from chaos.run.journal import left
from tests.cluster_standin import Cluster, standing
from tests.meshes import topology

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0

RUNNER = """
import os, signal, subprocess, sys
from chaos.run import meshes, watchdog
from chaos.run.journal import Journal
from tests.meshes import envoy_filter

run, kubeconfig = sys.argv[1:]
journal = Journal.opened(run)
dog = watchdog.start(journal.path, visiting=True)
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
journal.spawned(child.pid, "load generator")
reach = {"context": "kind-test", "kubeconfig": kubeconfig, "namespaces": "shop"}
remains = meshes.remains(reach)
journal.mesh("cluster", "kind-test", {**reach, "server": remains.client.server})
watchdog.await_ready(dog)
journal.leasing("shop", "istio-chaos.store")
remains.leases.acquire("shop", "istio-chaos.store", run, valid=20, about="store")
names = [f"istio-chaos-{run}-1-{part}" for part in ("stage", "switch")]
journal.writing([("shop", name) for name in names])
for name in names:
    written = envoy_filter(name)
    written["metadata"]["labels"]["istio-chaos.dev/run"] = run
    written["metadata"]["annotations"] = {"istio-chaos.dev/lease": "shop/istio-chaos.store"}
    remains.client.apply(written)
print(child.pid, journal.path, flush=True)
signal.pause()
"""

EXPERIMENT = """
import sys
from dataclasses import replace
from pathlib import Path
from chaos import delay
from chaos.errors import ChaosError
from chaos.model.topology import Allow, Choice, Target
from tests.meshes import topology
from tests.runs import experiment, opened

folder, kubeconfig = map(Path, sys.argv[1:])
of_shop = replace(
    topology(folder),
    targets={"test": Target(context="kind-test")},
    allow=Allow(contexts=("kind-*",), namespaces=("shop",), without_reaper=True),
)
with opened(folder, of_shop, "cluster", Choice(target="test", kubeconfig=kubeconfig)) as run:
    with experiment(run) as (inject, load, one):
        with inject(delay("2s"), "web -> store", at="callee") as injection:
            print("on", flush=True)
            try:
                one.alarm.pause(60)
            except ChaosError as error:
                print(error, bool(injection.record.gone), flush=True)
        try:
            inject(delay("1s"), "web -> store", at="callee").__enter__()
        except ChaosError as error:
            print(type(error).__name__, flush=True)
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "istio-chaos"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Cluster]:
    """Without proxies: what is written is kept."""
    cluster = Cluster(None)  # type: ignore[arg-type]
    cluster.delivers = False
    with standing(cluster, tmp_path / "kubeconfig"):
        yield cluster


@contextmanager
def started(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def runner(state: Path, api: Cluster, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    """(a run with two objects and a lease, its child's pid, its journal)"""
    with started(RUNNER, "0123456789ab", str(tmp_path / "kubeconfig")) as process:
        child, journal = line(process).split()
        yield process, int(child), Path(journal)


def comes(look: Callable[[], object], within: float = PATIENCE) -> float:
    """Milliseconds until it is so."""
    began = clock.now()
    assert clock.poll(look, deadline=clock.Deadline.after(within), most=0.02)
    return (clock.now() - began) / 1e6


def ended(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def switches(api: Cluster) -> list[str]:
    return [name for _, name in api.filters if name.endswith("-switch")]


def kept(api: Cluster, kind: str = "leases") -> list[str]:
    return [name for of, _, name in api.kept if of == kind]


# -- over real proxies
@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Path]]:
    folder = tmp_path_factory.mktemp("shop")
    with (
        closing(LocalMesh.start(topology(folder), folder=folder / "mesh", run="0123456789ab", spawned=lambda *_: None)) as real,
        standing(Cluster(real), folder / "kubeconfig") as cluster,
    ):
        yield cluster, folder / "kubeconfig"


def in_force(cluster: Cluster) -> bool:
    """Does the caller's proxy hold a route of ours?"""
    (web,) = (pod for pod in cluster.mesh.pods() if pod.workload == "web")
    return "x-envoy-fault-delay-request" in json.dumps(list(cluster.mesh.dump(web, Resource.ROUTES, ".*")))


def test_a_killed_run_leaves_no_fault_in_any_proxy(shop: tuple[Cluster, Path], state: Path, tmp_path: Path) -> None:
    cluster, kubeconfig = shop
    with started(EXPERIMENT, str(tmp_path), str(kubeconfig)) as process:
        assert line(process) == "on"
        assert in_force(cluster)

        os.kill(process.pid, signal.SIGKILL)
        took = comes(lambda: not in_force(cluster))

        assert took < 1000, "milliseconds of fault after the end of its run"
        comes(lambda: not cluster.filters and not kept(cluster) and not list((tmp_path / "state").rglob("*.journal")))


def test_a_run_that_was_stopped_for_longer_than_its_lease_only_undoes(
    shop: tuple[Cluster, Path], state: Path, tmp_path: Path
) -> None:
    cluster, kubeconfig = shop
    with started(EXPERIMENT, str(tmp_path), str(kubeconfig)) as process:
        assert line(process) == "on"
        os.kill(process.pid, signal.SIGSTOP)
        cluster.ahead += 30  # so much later it is, by the clock that counts
        assert in_force(cluster)
        os.kill(process.pid, signal.SIGCONT)

        told, again = line(process), line(process)
        assert "was not renewed for" in told
        assert told.endswith("True"), "it was undone before the experiment was told"
        assert again == "LeaseLost"
        assert process.wait(PATIENCE) == 0
    assert not in_force(cluster)
    assert cluster.filters == {}


# -- the watchdog
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_whatever_ends_the_runner_its_objects_leases_and_processes_go(
    runner: tuple[subprocess.Popen[str], int, Path], api: Cluster, number: signal.Signals
) -> None:
    process, child, journal = runner
    os.kill(process.pid, number)

    assert comes(lambda: not switches(api)) < 1000
    comes(lambda: not api.filters and kept(api) == [] and not journal.exists())
    assert ended(child)


def test_an_api_server_that_is_away_keeps_nothing_alive_and_is_asked_again(
    runner: tuple[subprocess.Popen[str], int, Path], api: Cluster
) -> None:
    process, child, journal = runner
    api.away = True
    process.kill()

    comes(lambda: ended(child))
    assert len(api.filters) == 2
    assert journal.exists()
    api.away = False
    comes(lambda: not api.filters and not journal.exists())


# -- sweep, status, reaper
def command(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments)
    return result.exit_code, result.output


@pytest.fixture
def dead(runner: tuple[subprocess.Popen[str], int, Path], api: Cluster) -> Path:
    """A journal whose runner and watchdog are dead."""
    process, _, journal = runner
    mine = str(journal).encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            told = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"chaos.run.watchdog" in told and mine in told:
            os.kill(int(entry.name), signal.SIGKILL)
            comes(lambda pid=int(entry.name): ended(pid))
    process.kill()
    process.wait()
    return journal


def test_sweep_does_by_hand_what_a_dead_watchdog_did_not(dead: Path, api: Cluster) -> None:
    code, told = command("sweep")

    assert (code, told) == (0, "run 0123456789ab on kind-test: ended 1 process groups, removed 2 objects\n")
    assert (api.filters, kept(api), dead.exists()) == ({}, [], False)


def test_what_cannot_be_undone_is_loud_and_kept_for_the_next(dead: Path, api: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    undo = watchdog.undo
    monkeypatch.setattr(watchdog, "undo", lambda journal, patience: undo(journal, patience=0.0))
    api.forbidden.add(("DELETE", "envoyfilters"))

    code, told = command("sweep")

    assert code == 16
    assert "could not be undone, and its journal" in told
    assert "verbs: [delete]" in told
    assert "verbs: [delete]" in left(dead).trouble
    assert "verbs: [delete]" in command("status")[1]
    api.forbidden.clear()
    assert command("sweep")[0] == 0
    assert api.filters == {}


def test_nothing_is_removed_from_another_cluster(dead: Path, api: Cluster, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(kubeconfig.read_text().replace(api.url, "http://127.0.0.1:9"))

    code, told = command("sweep")

    assert code == 16
    assert "context kind-test leads to http://127.0.0.1:9 now" in told
    assert len(api.filters) == 2
    assert dead.exists()


def test_a_cluster_is_swept_of_what_has_no_living_lease(
    runner: tuple[subprocess.Popen[str], int, Path], api: Cluster, tmp_path: Path
) -> None:
    where = ("--context=kind-test", "-n", "shop", f"--kubeconfig={tmp_path / 'kubeconfig'}")
    assert command("sweep", *where)[1].startswith("nothing to sweep")
    assert len(api.filters) == 2  # its run lives
    assert "alive" in command("status", *where)[1]

    api.ahead += 60
    seen = json.loads(command("status", *where, "-o", "json")[1])
    assert [each["dead"] for each in seen["cluster"]["objects"]] == [
        "its lease shop/istio-chaos.store was not renewed for 60 s"
    ] * 2
    code, told = command("sweep", *where)

    assert code == 0
    assert told.count("its lease shop/istio-chaos.store was not renewed for") == 2
    assert api.filters == {}


def test_status_shows_what_is_there(runner: tuple[subprocess.Popen[str], int, Path], api: Cluster, tmp_path: Path) -> None:
    api.keep({"kind": "ConfigMap", "metadata": {"namespace": "shop", "name": "istio-chaos-stop"}, "data": {"by": "alice"}})
    process, _, journal = runner
    where = ("--context=kind-test", "-n", "shop", f"--kubeconfig={tmp_path / 'kubeconfig'}")

    text = command("status", *where)[1]
    told: dict[str, Any] = json.loads(command("status", *where, "-o", "json")[1])

    (run,) = told["runs"]
    assert (run["run"], run["pid"], run["alive"], run["journal"]) == ("0123456789ab", process.pid, True, str(journal))
    assert [lease["holder"] for lease in told["cluster"]["leases"]] == ["0123456789ab"]
    assert [each["dead"] for each in told["cluster"]["objects"]] == ["", ""]
    assert "the stop switch of namespace shop is set, by alice" in text
    assert "no reaper on kind-test" in text
    assert command("status", "--context=kind-test")[0] == 4


def test_a_reaper_in_the_cluster_cleans_up_after_a_machine_that_was_lost(dead: Path, api: Cluster, tmp_path: Path) -> None:
    arguments = ["reap", "-n", "shop", "--context=kind-test", f"--kubeconfig={tmp_path / 'kubeconfig'}", "--holder=pod-1"]
    assert command(*arguments, "--once") == (0, "")  # the lease still holds
    assert len(api.filters) == 2
    api.ahead += 30

    code, told = command(*arguments, "--once")

    assert code == 0
    assert told.count("run 0123456789ab: removed shop/istio-chaos-0123456789ab-1-") == 2
    assert told.startswith(f"{datetime.now(UTC):%Y-}")
    assert api.filters == {}
    assert "istio-chaos-reaper" in kept(api)
    api.forbidden.add(("GET", "envoyfilters"))
    assert command(*arguments, "--once")[0] == 16


def test_a_reaper_ends_when_it_is_told_to(api: Cluster, tmp_path: Path) -> None:
    arguments = ["-n", "shop", "--context=kind-test", f"--kubeconfig={tmp_path / 'kubeconfig'}"]
    script = "import sys; from chaos.cli import main; main()"
    with started(script, "reap", *arguments) as process:
        assert "looking after shop" in line(process)
        comes(lambda: "istio-chaos-reaper" in kept(api))
        process.terminate()
        assert process.wait(PATIENCE) == 0
