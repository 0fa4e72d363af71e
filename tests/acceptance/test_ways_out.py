"""However a session ends, on real Envoys with real load: does anything of it stay behind?

Every process of a session inherits its state folder by XDG_STATE_HOME, whoever started it; so what is left is what has it in its
environment.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from chaos import clock
from tests.acceptance.echoes import OPTIONS, environment, running, write

PATIENCE = 60.0
"""Seconds until a test gives up; nothing takes that long when it works."""
EXPERIMENT = """
import os
from pathlib import Path
from chaos import delay

def in_the_middle(inject, load, name="proven", long="5s"):
    injection = inject(delay(long), "web -> store")
    traffic = load("/call?url=http://store/echo", rate="40/s", timeout="1s")
    injection.__enter__()
    traffic.__enter__()
    Path(name + ".part").write_text(str(os.getpid()))
    Path(name + ".part").rename(name)
    return traffic
"""
WAITS = EXPERIMENT + "def test_it(inject, load):\n    in_the_middle(inject, load).window('60s')\n"


@dataclass(slots=True)
class Session:
    """A pytest of its own in a session of its own, as in a terminal of its own."""

    folder: Path
    state: Path
    process: subprocess.Popen[bytes]

    def middle(self, marker: str = "proven") -> int:
        """The pid of the process whose injection is in force now."""
        file = self.folder / marker
        assert clock.poll(lambda: file.exists() or self.process.poll() is not None, deadline=clock.Deadline.after(PATIENCE))
        assert file.exists(), self.output
        return int(file.read_text())

    def ended(self) -> int:
        return self.process.wait(PATIENCE)

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text()

    def left(self) -> dict[int, str]:
        return running(self.state)

    @property
    def journals(self) -> list[Path]:
        return list(self.state.rglob("*.journal"))

    def nothing_stays(self) -> None:
        """At once after an end in order; after a kill as soon as the watchdog is through."""
        assert clock.poll(lambda: not self.left(), deadline=clock.Deadline.after(PATIENCE)), self.left()
        assert self.journals == []

    @property
    def events(self) -> list[str]:
        files = self.folder.glob("reports/runs/*/events-*.jsonl")
        return [json.loads(line)["event"] for file in files for line in file.read_text().splitlines()]


Start = Callable[..., Session]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(tests, *options)`: run them; ended here if the test did not."""
    sessions: list[Session] = []

    def start(tests: str, *options: str, name: str = "shop") -> Session:
        folder = tmp_path / name
        folder.mkdir()
        write(folder, tests)
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "pytest", *OPTIONS, *options],
                cwd=folder,
                env=environment(tmp_path / "state"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        sessions.append(Session(folder=folder, state=tmp_path / "state", process=process))
        return sessions[-1]

    yield start
    for session in sessions:
        for pid in session.left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        session.process.wait()


def test_two_sessions_side_by_side_end_in_order(start: Start) -> None:
    body = """
def test_it(inject, load):
    traffic = in_the_middle(inject, load, long="200ms")
    assert traffic.window("500ms").latency("p50") > 0.2
"""
    both = [start(EXPERIMENT + body, name=name) for name in ("one", "other")]

    assert [session.ended() for session in both] == [0, 0], [session.output for session in both]
    for session in both:
        assert session.events.count("InjectionGone") == 1
        session.nothing_stays()


def test_an_exception_in_the_body(start: Start) -> None:
    session = start(
        EXPERIMENT + "def test_it(inject, load):\n    in_the_middle(inject, load)\n    raise RuntimeError('out of paper')\n"
    )

    assert session.ended() == 1
    assert "RuntimeError: out of paper" in session.output
    assert session.events.count("InjectionGone") == 1
    session.nothing_stays()


@pytest.mark.parametrize(
    ("send", "number", "status"),
    [
        pytest.param(os.kill, signal.SIGINT, 2, id="SIGINT"),
        pytest.param(os.killpg, signal.SIGINT, 2, id="Ctrl-C in the terminal"),
        pytest.param(os.kill, signal.SIGTERM, 143, id="SIGTERM"),
    ],
)
def test_a_signal_that_can_be_caught(
    start: Start, send: Callable[[int, signal.Signals], None], number: signal.Signals, status: int
) -> None:
    session = start(WAITS)
    send(session.middle(), number)

    assert session.ended() == status, session.output
    assert session.events.count("InjectionGone") == 1  # undone by us, and proven, before anything was ended
    assert session.events[-1] == "RunFinished"
    assert "! interrupted" in session.output
    session.nothing_stays()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP], ids=["SIGKILL", "terminal closed"])
def test_a_death_without_a_word_is_the_watchdogs_business(start: Start, number: signal.Signals) -> None:
    session = start(WAITS)
    os.kill(session.middle(), number)

    assert session.ended() == -number
    session.nothing_stays()


def test_what_a_killed_watchdog_leaves_is_swept(start: Start) -> None:
    """The last line of defence: whoever comes next, by whatever command."""
    session = start(WAITS)
    pytest_pid = session.middle()
    (watchdog,) = (pid for pid, command in session.left().items() if "chaos.run.watchdog" in command)
    os.kill(watchdog, signal.SIGKILL)
    os.kill(pytest_pid, signal.SIGKILL)
    session.ended()
    assert [command for command in session.left().values() if "envoy" in command]
    assert len(session.journals) == 1

    sweep = [sys.executable, "-m", "chaos.cli", "sweep"]
    swept = subprocess.run(sweep, env=environment(session.state), capture_output=True, text=True, check=True, timeout=PATIENCE)

    assert swept.stdout.startswith("run ")
    session.nothing_stays()


def test_a_worker_that_is_killed_costs_its_own_test_only(start: Start) -> None:
    session = start(
        EXPERIMENT
        + """
def test_killed(inject, load):
    in_the_middle(inject, load, "killed").window("60s")

def test_other(inject, load):
    traffic = in_the_middle(inject, load, "other", long="200ms")
    assert traffic.window("500ms").latency("p50") > 0.2
""",
        *("-p", "xdist", "-n", "2", "--max-worker-restart=0"),
    )
    os.kill(session.middle("killed"), signal.SIGKILL)

    assert session.ended() == 1
    assert "crashed while running" in session.output
    assert "1 failed, 1 passed" in session.output
    session.nothing_stays()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 2), (signal.SIGKILL, -9)], ids=["Ctrl-C in the terminal", "SIGKILL"]
)
def test_workers_end_with_their_controller(start: Start, number: signal.Signals, status: int) -> None:
    tests = [
        f"def test_{name}(inject, load):\n    in_the_middle(inject, load, '{name}').window('60s')\n" for name in ("one", "other")
    ]
    session = start(EXPERIMENT + "\n".join(tests), "-p", "xdist", "-n", "2")
    session.middle("one")
    session.middle("other")
    send = os.killpg if number is signal.SIGINT else os.kill
    send(session.process.pid, number)

    assert session.ended() == status, session.output
    session.nothing_stays()


def test_the_stop_switch_ends_the_fault_and_the_wait(start: Start) -> None:
    session = start(WAITS)
    session.middle()
    (session.state / "istio-chaos" / "stop").write_text("sale until Monday")

    assert session.ended() == 1
    assert "was ended early: the stop switch is set: sale until Monday" in session.output
    assert session.events.count("InjectionGone") == 1
    assert "1 inconclusive" in session.output
    session.nothing_stays()

    again = start(WAITS, name="again")
    assert again.ended() == 1
    assert "web -> store: the stop switch is set: sale until Monday" in again.output
    assert "InjectionProven" not in again.events


def test_the_third_signal_during_an_undo_leaves_the_rest_to_the_watchdog(start: Start) -> None:
    body = """
import signal
from chaos.mesh.local.mesh import LocalMesh

def hangs(self, objects):
    for _ in range(3):
        signal.raise_signal(signal.SIGINT)
    raise AssertionError("nobody comes here")

def test_it(inject, load):
    in_the_middle(inject, load)
    LocalMesh.apply = hangs
"""
    session = start(EXPERIMENT + body)

    assert session.ended() == 130
    assert "istio-chaos: undoing" in session.output
    assert "please wait (twice more leaves it to the watchdog)" in session.output
    session.nothing_stays()
