"""How is a process ended that we started, and only that one? By group, checked by start time, first politely, then for good."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from chaos import clock
from chaos.run.journal import process_start

PROC = Path("/proc")
RUN_VARIABLE = "ISTIO_CHAOS_RUN"
"""In the environment of every process of a mesh, with its runner's name: finds children that were not yet journalled."""


def end_groups(groups: Mapping[int, int], *, grace: float = 2.0) -> list[int]:
    """SIGTERM, up to `grace` seconds, SIGKILL. `groups` maps group -> start time of its leader. Returns those that were alive."""
    living = _living(groups)
    alive = [group for group, started in groups.items() if group in living and _is_same(group, started)]
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 1.0)):
        for group in alive:
            _signal(group, number)
        if clock.poll(lambda: not _living(alive), deadline=clock.Deadline.after(seconds), first=0.005):
            break
    return alive


def stragglers(runner: str) -> dict[int, int]:
    """Process groups of this machine whose environment names this process of a run, and no other of it (Linux; elsewhere none)."""
    mark = f"{RUN_VARIABLE}={runner}".encode()
    found: dict[int, int] = {}
    for entry in _processes():
        with suppress(OSError, ValueError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                group = os.getpgid(int(entry.name))
                if group != os.getpgrp():
                    found[group] = process_start(group)
    return found


def _processes() -> Iterable[Path]:
    return (entry for entry in PROC.iterdir() if entry.name.isdigit()) if PROC.is_dir() else ()


def _is_same(group: int, started: int) -> bool:
    """The leader may have ended while its children live on; then the number cannot have been given to another."""
    now = process_start(group)
    return not started or not now or now == started


def _living(groups: Collection[int]) -> set[int]:
    """Those with a member that runs; a dead process that nobody has waited for yet does not count (where /proc tells)."""
    if not PROC.is_dir():
        return {group for group in groups if _answers(group)}
    found = set()
    for entry in _processes():
        with suppress(OSError, ValueError, IndexError):
            state, _parent, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            if state not in "ZX":
                found.add(int(group))
    return found.intersection(groups)


def _answers(group: int) -> bool:
    with suppress(ProcessLookupError, PermissionError):  # a group of somebody else: the number was reused
        os.killpg(group, 0)
        return True
    return False


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
