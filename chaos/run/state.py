"""Where does a run keep what must outlive it? The user's state folder, so that the next run finds it from anywhere."""

from __future__ import annotations

import os
from pathlib import Path


def folder() -> Path:
    """`$XDG_STATE_HOME/istio-chaos`, by default `~/.local/state/istio-chaos`; made when needed, readable by its user alone."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = Path(base) / "istio-chaos"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path
