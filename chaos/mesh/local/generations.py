"""Which pods are new when a pod template changes? Kubernetes gives them names of their own, by the label `pod-template-hash`.

So it is here, that the old ones can serve until the new ones are ready. The first generation has plain names: `web`, `web-0`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from chaos.errors import ManifestError
from chaos.istio.documents import Document
from chaos.istio.workloads import TEMPLATE_HASH, is_workload

_LENGTH = 8


class Generations:
    """Remembers the first template of every workload."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str, str], str] = {}

    def named(self, documents: Iterable[Document]) -> Iterator[Document]:
        """The documents, with the label on Deployments whose template is another than the first.

        Raises ManifestError for other kinds: their pods keep their names, so that old and new could not stand side by side.
        """
        for document in documents:
            yield self._labelled(document) if is_workload(document) else document

    def _labelled(self, document: Document) -> Document:
        digest = _digest(_template(document))
        first = self._first.setdefault((document.kind, document.namespace, document.name), digest)
        if digest == first:
            return document
        if document.kind != "Deployment":
            raise ManifestError(
                f"{document.place()}: its pods changed, and the local mesh replaces those of Deployments only; "
                "make it a Deployment for the tests, or start the mesh anew"
            )
        template = _template(document)
        metadata = template.get("metadata") or {}
        labels = {**(metadata.get("labels") or {}), TEMPLATE_HASH: digest}
        spec = {**document.spec, "template": {**template, "metadata": {**metadata, "labels": labels}}}
        return Document(raw={**document.raw, "spec": spec}, file=document.file, lines=document.lines)


def _template(document: Document) -> dict[str, Any]:
    """A Pod is its own template, but for what a cluster writes into it."""
    if document.kind == "Pod":
        return {key: value for key, value in document.raw.items() if key != "status"}
    return dict(document.spec.get("template") or {})


def _digest(template: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True, default=str).encode()).hexdigest()[:_LENGTH]
