"""Which namespaces are meant? Those that the topology allows, by name or by pattern."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from chaos.errors import Forbidden
from chaos.mesh.cluster import kinds
from chaos.mesh.cluster.client import Client


def resolved(client: Client, patterns: Sequence[str], source: str) -> tuple[str, ...]:
    """By name; listed at the server only where a pattern asks for it. `source` is the file that has the patterns."""
    plain = [pattern for pattern in patterns if not set(pattern) & set("*?[")]
    if len(plain) == len(patterns):
        return tuple(plain)
    try:
        known = [str(item["metadata"]["name"]) for item in client.items(kinds.NAMESPACE)]
    except Forbidden as forbidden:
        raise Forbidden(
            f"{source}: allow.namespaces has patterns, and we may not list namespaces to see which they mean; "
            f"write them out. {forbidden}"
        ) from forbidden
    return tuple(name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns))
