"""How much of old runs is kept? Reports and events of all, raw logs and samples (some 100 MB a run) of the newest only."""

from __future__ import annotations

import shutil
from pathlib import Path

from chaos.run import state

RAW_KEPT = 5
"""Runs whose proxy logs and samples stay."""


def prune(runs: Path, keep: int = RAW_KEPT) -> list[Path]:
    """Remove the raw folders of all but the newest runs in `runs`, never of one that has a journal. Returns what went."""
    folders = [folder for folder in runs.glob("*") if (folder / "report.json").is_file() and _raw(folder)]
    old = sorted(folders, key=lambda folder: folder.stat().st_mtime, reverse=True)[keep:]
    gone = [raw for run in old if not _in_use(run.name) for raw in _raw(run)]
    for raw in gone:
        shutil.rmtree(raw, ignore_errors=True)
    return gone


def _raw(run: Path) -> list[Path]:
    """Plans, and runs that were pruned, have none."""
    return [path for path in run.iterdir() if path.is_dir()]


def _in_use(run: str) -> bool:
    return any(state.folder().glob(f"{run}-*.journal"))
