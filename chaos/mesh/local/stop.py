"""May anybody inject on this machine? The stop switch of local meshes: a file, and what it says."""

from __future__ import annotations

from pathlib import Path


def stopped(file: Path | None) -> str:
    """Why nobody may inject now; empty if the file is not there."""
    if file is None or not file.exists():
        return ""
    try:
        reason = file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        reason = str(error)
    return f"the stop switch is set{f': {reason}' if reason else ''} ({file}; remove the file to go on)"
