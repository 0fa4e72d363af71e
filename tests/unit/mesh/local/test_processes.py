"""Are children started in sessions of their own, and does ending them leave nothing of them? With real, small processes."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.clock import Deadline, poll
from chaos.errors import MeshFailure
from chaos.mesh.local import processes
from chaos.mesh.local.processes import Child, end, last_lines

_started: list[Child] = []


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    yield
    end(_started, grace=0)
    _started.clear()


def start(folder: Path, script: str, **options: object) -> Child:
    child = processes.start(
        ["/bin/sh", "-c", script],
        what="a child",
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        output=folder / "out.log",
        spawned=lambda *_: None,
        **options,  # type: ignore[arg-type]
    )
    _started.append(child)
    return child


def written(log: Path, text: str) -> None:
    assert poll(lambda: log.exists() and text in log.read_text(), deadline=Deadline.after(5))


def gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_child_has_a_session_of_its_own(tmp_path: Path) -> None:
    child = start(tmp_path, "exec cat; exec sleep 60")

    assert os.getsid(child.pid) == child.pid != os.getsid(0)


def test_it_is_told_of_at_once_and_ended_if_nobody_will_listen(tmp_path: Path) -> None:
    told: list[int] = []

    def refuses(group: int, _what: str) -> None:
        told.append(group)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        processes.start(
            ["/bin/sh", "-c", "exec sleep 60"],
            what="a child", cwd=tmp_path, env={}, output=tmp_path / "log", spawned=refuses,
        )  # fmt: skip
    assert gone(told[0])


@pytest.fixture
def held() -> Iterator[tuple[int, int]]:
    """(read, write): reading ends when nobody holds the other end any more, a process that waits to be reaped included."""
    read, write = os.pipe()
    yield read, write
    os.close(read)


def nobody_holds(read: int) -> bool:
    return bool(select.select([read], [], [], 5)[0]) and os.read(read, 1) == b""


def test_its_own_children_end_with_it(tmp_path: Path, held: tuple[int, int]) -> None:
    read, write = held
    child = start(tmp_path, "sleep 60 & echo up; wait", inherit=[write])
    os.close(write)
    written(tmp_path / "out.log", "up")
    assert not select.select([read], [], [], 0)[0]

    end([child])
    end([child])

    assert child.exited() == -signal.SIGTERM
    assert nobody_holds(read)


def test_what_it_leaves_behind_when_it_exits_is_ended_when_that_is_seen(tmp_path: Path, held: tuple[int, int]) -> None:
    read, write = held
    child = start(tmp_path, "sleep 60 & echo bye", inherit=[write])
    os.close(write)

    assert poll(lambda: child.exited() == 0, deadline=Deadline.after(5))
    assert nobody_holds(read)


def test_one_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    child = start(tmp_path, "trap '' TERM; echo up; while :; do sleep 60; done")
    written(tmp_path / "out.log", "up")

    end([child], grace=0.05)

    assert child.exited() == -signal.SIGKILL


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo one; echo two >&2; exit 3", r"a child exited with status 3; its last lines \(.*out.log\):\n    one\n    two$"),
        ("kill -9 $$", r"a child was ended by SIGKILL; .*\n    \(it wrote nothing\)$"),
    ],
)
def test_a_dead_child_is_reported_with_its_last_words(tmp_path: Path, script: str, message: str) -> None:
    child = start(tmp_path, script)
    assert poll(lambda: child.exited() is not None, deadline=Deadline.after(5))

    with pytest.raises(MeshFailure, match=message):
        child.check()


def test_standard_error_may_have_a_file_of_its_own(tmp_path: Path) -> None:
    child = start(tmp_path, "echo out; echo err >&2", errors=tmp_path / "err.log")
    assert poll(lambda: child.exited() == 0, deadline=Deadline.after(5))

    assert ((tmp_path / "out.log").read_text(), (tmp_path / "err.log").read_text()) == ("out\n", "err\n")


def test_only_the_end_of_a_long_log_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(str(n) for n in range(100_000)))

    assert last_lines(log, 2) == "    99998\n    99999"
