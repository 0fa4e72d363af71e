"""What is wrong with these manifests? Everything we can say without a cluster, in one list.

Refusals and warnings of istiod's admission webhook (`validate`), the findings of `istioctl analyze` (`analyze`), and our own
(`advice`, codes CHAOS...), which are about resilience and never of level Error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chaos.istio.advice import advise
from chaos.istio.analyze import Cluster, Object, analyze
from chaos.istio.analyze.cluster import texts
from chaos.istio.documents import Document
from chaos.istio.findings import Finding, Level, about, origin_of
from chaos.istio.unsupported import Unsupported, unsupported
from chaos.istio.validate import Verdict, examine
from chaos.istio.validate.messages import KINDS
from chaos.istio.world import World

SUPPRESS = "galley.istio.io/analyze-suppress"
_Key = tuple[str, str, str, str]


def lint(documents: Sequence[Document], *, mesh_config: Mapping[str, Any] | None = None) -> list[Finding]:
    """Every finding on `documents`, by file and line. What istiod cannot read or would refuse gets no advice on top."""
    verdicts = [(document, examine(document)) for document in documents]
    applied = {_key(document): (document, verdict) for document, verdict in verdicts}.values()
    # Analyzers look at Istio's objects as they were read, not as the World has them: some are refused.
    others = [document for document in documents if KINDS.get(document.kind) != document.group]
    readable = Cluster(World.of(others, mesh_config=mesh_config), _objects(applied))
    taken = [(document, verdict) for document, verdict in applied if not verdict.refusals]
    sound = Cluster(World.of([document for document, _ in taken], mesh_config=mesh_config), _objects(taken))
    ours = [*advise(sound), *map(_without_effect, unsupported(document for document, _ in taken)), *_rivals(taken)]
    said = [*(warning for _, verdict in verdicts for warning in verdict.warnings), *analyze(readable), *ours]
    refused = [refusal for _, verdict in verdicts for refusal in verdict.refusals]
    return _in_order([*refused, *_without_suppressed(said, documents, readable)], documents)


def _without_effect(remark: Unsupported) -> Finding:
    """CHAOS0012, CHAOS0013"""
    if remark.unknown:
        return about(remark.document, "CHAOS0012", Level.WARNING, f"{remark.reason}: it is dropped", *remark.inside)
    return about(remark.document, "CHAOS0013", Level.INFO, f"no effect on the local mesh: {remark.reason}", *remark.inside)


def _rivals(taken: Iterable[tuple[Document, Verdict]]) -> Iterable[Finding]:
    """CHAOS0014"""
    for document, verdict in taken:
        for said, path in verdict.rivals:
            why = f"{said}: an API server refuses that; an istiod without one takes the last"
            yield about(document, "CHAOS0014", Level.WARNING, why, *path)


def _key(document: Document) -> _Key:
    return (document.group, document.kind, document.namespace, document.name)


def _objects(examined: Iterable[tuple[Document, Verdict]]) -> Iterable[Object]:
    return (Object(document=document, spec=verdict.spec) for document, verdict in examined if verdict.spec is not None)


def _without_suppressed(findings: Iterable[Finding], documents: Iterable[Document], cluster: Cluster) -> list[Finding]:
    """An object's annotation can ask not to hear of codes, `*` for all; a refusal cannot be wished away."""
    annotated = {origin_of(document): document.metadata.get("annotations") for document in documents}
    annotated |= {f"Pod {pod.namespace}/{pod.name}": pod.annotations for pod in cluster.pods}
    unwanted = {origin: texts(annotations).get(SUPPRESS, "") for origin, annotations in annotated.items()}
    return [f for f in findings if not {f.code, "*"} & set(map(str.strip, unwanted.get(f.origin, "").split(",")))]


def _in_order(findings: list[Finding], documents: Iterable[Document]) -> list[Finding]:
    files: dict[Path, int] = {}
    for document in documents:
        files.setdefault(document.file, len(files))
    return sorted(dict.fromkeys(findings), key=lambda finding: (files[finding.file], finding.line, finding.code))
