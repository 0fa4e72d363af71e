"""Manifests for tests, without files: from YAML text, or an Istio object from its spec."""

from __future__ import annotations

import copy
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaos.istio.documents import Document, read_text
from chaos.istio.validate.messages import KINDS

FILE = Path("manifests.yaml")


def documents(text: str) -> list[Document]:
    return list(read_text(textwrap.dedent(text), FILE))


def istio(kind: str, spec: Any, *, name: str = "it", namespace: str = "default", **metadata: Any) -> Document:
    """An object of one of Istio's kinds."""
    raw = {
        "apiVersion": f"{KINDS[kind]}/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": spec,
    }
    return Document(raw=raw, file=FILE, lines={})


def changed(spec: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of `spec` with `value` at `http.0.timeout`; what is missing on the way is made, `...` removes."""
    out = copy.deepcopy(dict(spec))
    place: Any = out
    *way, last = (int(step) if step.isdigit() else step for step in path.split("."))
    for step in way:
        place = place.setdefault(step, {}) if isinstance(place, dict) else place[step]
    if value is ...:
        del place[last]
    elif isinstance(place, list) and last == len(place):
        place.append(value)
    else:
        place[last] = value
    return out


def place(path: str, at: str) -> str:
    """Where a finding should be: `at` itself if it begins with `spec`, else that far inside what was `changed` at `path`."""
    here = "".join(f"[{step}]" if step.isdigit() else f".{step}" for step in path.split("."))
    return at if at.startswith("spec") else f"spec{here}{at}"
