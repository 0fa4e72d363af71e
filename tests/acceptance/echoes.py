"""The files of a project whose experiments run on real Envoys: `web` calls `store`, and both tell what they got (`tests.echo`)."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import chaos
from tests.meshes import ECHO, MANIFESTS

TOPOLOGY = f"""\
local:
  manifests: [shop.yaml]
  workloads:
    shop/echo: {{command: [python, -S, {ECHO}]}}
entry: {{service: web, namespace: shop, port: 8080}}
"""
OPTIONS = ("-p", "pytest_chaos", "-p", "no:cacheprovider", "-W", "error")


def write(folder: Path, tests: str, *, topology: str = TOPOLOGY, manifests: str = MANIFESTS) -> None:
    """The project: what it runs on, and one file of experiments."""
    (folder / "chaos.yaml").write_text(topology)
    (folder / "shop.yaml").write_text(manifests)
    (folder / "test_shop.py").write_text(tests)


def running(state: Path) -> dict[int, str]:
    """Processes that have this state folder in their environment, as all of a session have: pid -> command line."""
    mark = f"XDG_STATE_HOME={state}".encode()
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # another user's, or gone meanwhile
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def environment(state: Path) -> dict[str, str]:
    """Of a pytest in such a folder: this checkout, a state folder of its own, and no other plugin that is installed here."""
    root = Path(chaos.__path__[0]).parent
    told = {"XDG_STATE_HOME": str(state), "PYTHONPATH": f"{root}:{root / 'plugins'}", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return {**os.environ, **told}
