"""Kill a runner in every way there is and look for what is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from chaos import clock
from chaos.run import watchdog
from chaos.run.ending import stragglers
from chaos.run.journal import left, process_start
from chaos.run.journal import runner as runner_name

ROOT = Path(__file__).parents[2]

RUNNER = """
import os, signal, subprocess, sys
from pathlib import Path
from chaos.run import watchdog
from chaos.run.journal import Journal

run = sys.argv[1]
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which a parent under nohup hands on as ignored
journal = Journal.opened(run)
dog = watchdog.start(journal.path)
env = {**os.environ, "ISTIO_CHAOS_RUN": journal.runner}
sleep = [sys.executable, "-c", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"]
known = subprocess.Popen(sleep, start_new_session=True, env=env, stdout=subprocess.PIPE)
journal.spawned(known.pid, "known")
unknown = subprocess.Popen(sleep, start_new_session=True, env=env, stdout=subprocess.PIPE)  # died before it was journalled
for child in (known, unknown):
    child.stdout.readline()
print(known.pid, unknown.pid, dog.pid, journal.path, flush=True)
signal.pause()
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def start(run: str) -> tuple[subprocess.Popen[str], list[int], Path]:
    runner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(RUNNER), run],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    assert runner.stdout is not None
    *pids, journal = runner.stdout.readline().split()
    return runner, [int(pid) for pid in pids], Path(journal)


def gone(pid: int, started: int) -> bool:
    """Ended, whether or not somebody has waited for it."""
    stat = Path(f"/proc/{pid}/stat")
    return process_start(pid) != started or stat.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGSEGV])
def test_whatever_ends_the_runner_nothing_of_it_is_left(state: Path, number: signal.Signals) -> None:
    run = f"{number:012x}"
    runner, pids, journal = start(run)
    started = {pid: process_start(pid) for pid in pids}

    runner.send_signal(number)
    runner.wait()
    assert runner.stdout is not None
    runner.stdout.close()

    deadline = clock.Deadline.after(15)
    assert clock.poll(lambda: all(gone(pid, at) for pid, at in started.items()), deadline=deadline)
    assert not journal.exists()
    assert stragglers(runner_name(run, runner.pid)) == {}


def test_a_next_run_sweeps_what_a_dead_watchdog_left(state: Path) -> None:
    runner, (known, unknown, dog), journal = start("00000000abcd")
    started = process_start(known), process_start(unknown)
    os.kill(dog, signal.SIGKILL)
    assert list(watchdog.orphans()) == []  # its owner lives

    runner.kill()
    runner.wait()
    assert runner.stdout is not None
    runner.stdout.close()
    assert list(watchdog.orphans()) == [journal]

    found = watchdog.undo(journal)

    assert set(found.groups) == {known, unknown}
    assert gone(known, started[0]) and gone(unknown, started[1])
    assert list(watchdog.orphans()) == []


def test_a_journal_never_ends_a_process_that_only_has_the_number(state: Path) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
    try:
        journal = state / "old.journal"
        journal.write_text(
            '{"run": "ffffffffffff", "pid": 1, "started": 1}\n'
            f'{{"spawned": {bystander.pid}, "started": {process_start(bystander.pid) - 1}, "what": "envoy"}}\n'
        )
        assert bystander.pid in left(journal).groups

        assert watchdog.undo(journal).groups == {}
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
