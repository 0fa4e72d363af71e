"""What is wrong with a manifest? One value for every answer: a refusal of istiod, a finding of `istioctl analyze`, or ours.

`validate` and `analyze` make findings, `lint` collects them, the command line prints them. A finding names the object
as istioctl does, the file and line, and the path inside the object.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from chaos.istio.documents import Document, PathInside

# What the API server keeps outside namespaces; the rest has `default` where a manifest names none.
CLUSTER_SCOPED = frozenset(
    {
        "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "GatewayClass", "IngressClass",
        "MutatingWebhookConfiguration", "Namespace", "Node", "PersistentVolume", "PriorityClass", "StorageClass",
        "ValidatingWebhookConfiguration",
    }
)  # fmt: skip


class Level(StrEnum):
    """Istio's three levels. Error: refused, or broken as it stands. Warning: probably not meant. Info: worth knowing."""

    ERROR = "Error"
    WARNING = "Warning"
    INFO = "Info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing worth a reader's attention.

    `code` is Istio's (`IST0101`) where Istio has one, else ours (`CHAOS0007`). `origin` is the object as istioctl names
    it (`VirtualService default/ratings`), `path` the place inside it (`spec.http[0].timeout`, empty for the whole
    object), `line` the line in `file`, counted from 1.
    """

    code: str
    level: Level
    origin: str
    message: str
    file: Path
    line: int
    path: str = ""

    def as_json(self) -> dict[str, Any]:
        """The finding as `istio-chaos lint -o json` prints it."""
        return {
            "code": self.code,
            "level": self.level.value,
            "origin": self.origin,
            "message": self.message,
            "file": str(self.file),
            "line": self.line,
            "path": self.path,
        }

    def __str__(self) -> str:
        inside = f": {self.path}" if self.path else ""
        return f"{self.file}:{self.line}: {self.level} [{self.code}] {self.origin}{inside}: {self.message}"


def about(document: Document, code: str, level: Level, message: str, *path: str | int) -> Finding:
    """A finding on `document`, at `path` inside it; the line is that of the nearest key that exists."""
    return Finding(
        code=code,
        level=level,
        origin=origin_of(document),
        message=message,
        file=document.file,
        line=document.line_of(*path) if path else document.line,
        path=written(path),
    )


def origin_of(document: Document) -> str:
    """`VirtualService default/ratings`, and `Namespace shop` for what has no namespace."""
    return f"{document.kind} {document.name}" if document.kind in CLUSTER_SCOPED else document.origin


def written(path: PathInside) -> str:
    """`("spec", "http", 0, "timeout")` -> `spec.http[0].timeout`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
