"""Which applications hand the mark of a request on to the calls they make for it? Told from the lines of all sidecars."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chaos.model.marks import trace_in
from chaos.observe.lines import FORMS


@dataclass(slots=True, kw_only=True)
class Hop:
    """One pod, while it served requests with our mark."""

    served: int = 0
    forms: set[str] = field(default_factory=set)
    """In which the mark was on calls it made."""
    lost: set[str] = field(default_factory=set)
    """Clusters that it called meanwhile without any mark."""


def hops(logs: Mapping[str, bytes], prefix: str) -> dict[str, Hop]:
    """By pod, of the traces that begin like this. Requests of others that are under way would be taken for lost marks."""
    found: dict[str, Hop] = {}
    for pod, data in logs.items():
        lines = list(_sidecar_lines(data))
        marked = [line for line in lines if line.get("side") == "inbound" and _forms(line, prefix)]
        if not marked:
            continue
        hop = found.setdefault(pod, Hop(served=len(marked)))
        spans = [_span(line) for line in marked]
        for line in lines:
            if line.get("side") != "outbound":
                continue
            forms = _forms(line, prefix)
            start = _span(line)[0]
            if forms:
                hop.forms |= forms
            elif any(begun <= start <= ended for begun, ended in spans):
                hop.lost.add(str(line.get("cluster", "")))
    return found


def _sidecar_lines(data: bytes) -> Iterator[Mapping[str, Any]]:
    for line in data.splitlines():
        if b'"istio_chaos":"sidecar"' in line:
            yield json.loads(line)


def _forms(line: Mapping[str, Any], prefix: str) -> set[str]:
    return {form for form in FORMS if (trace_in(str(line.get(form) or "")) or "").startswith(prefix)}


def _span(line: Mapping[str, Any]) -> tuple[float, float]:
    """Seconds since 1970."""
    start = float(line["start"])
    return start, start + float(line.get("duration_ms") or 0) / 1000
