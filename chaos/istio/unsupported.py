"""What stands in the manifests and does nothing here? Objects and fields that the translation leaves out, with the reason.

Traffic is translated, what surrounds it is not: certificates, authorization, telemetry backends, WebAssembly, the Gateway API. Who
relies on one of these must know that neither `istio-chaos translate` nor the local mesh shows it. Fields that Istio does not know
are listed as well: istiod drops them without a word, here and on a cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chaos.errors import nearest
from chaos.istio.documents import Document, PathInside
from chaos.istio.findings import written
from chaos.istio.validate import examine
from chaos.istio.validate.decoding import json_name
from chaos.istio.validate.messages import ISTIO

_NO_TLS = "proxies talk in plain text here"
_NO_ACCESS_CONTROL = "nobody is refused here"
_KINDS: Mapping[tuple[str, str], str] = {
    ("security.istio.io", "AuthorizationPolicy"): _NO_ACCESS_CONTROL,
    ("security.istio.io", "PeerAuthentication"): _NO_TLS,
    ("security.istio.io", "RequestAuthentication"): _NO_ACCESS_CONTROL,
    ("extensions.istio.io", "WasmPlugin"): "WebAssembly filters are left out",
    ("networking.istio.io", "ProxyConfig"): "proxies are configured by MeshConfig and the pod's annotation",
    ("networking.istio.io", "WorkloadGroup"): "it only describes workloads that may come",
    ("networking.k8s.io", "Ingress"): "use a Gateway and a VirtualService",
    ("gateway.networking.k8s.io", ""): "the Gateway API is not translated; use Istio's own objects",
}
_EACH = "*"
_DEFAULT_MINOR = 29
# Where a field stands: keys, and `*` for every item of a list.
_POLICIES = (
    ("trafficPolicy",),
    ("trafficPolicy", "portLevelSettings", _EACH),
    ("subsets", _EACH, "trafficPolicy"),
    ("subsets", _EACH, "trafficPolicy", "portLevelSettings", _EACH),
)
_FIELDS: Mapping[str, Iterable[tuple[tuple[str, ...], str]]] = {
    "DestinationRule": [
        *(((*policy, "tls"), _NO_TLS) for policy in _POLICIES),
        *(((*policy, "tunnel"), "connections are not tunnelled") for policy in _POLICIES),
        *(((*policy, "proxyProtocol"), "connections do not say whose they are") for policy in _POLICIES),
        *(((*policy, "loadBalancer", "zoneAwareLbSetting"), "hosts are not chosen by zone") for policy in _POLICIES),
    ],
    "Gateway": [
        (("servers", _EACH, "tls", field), "certificates are not read")
        for field in ("credentialName", "credentialNames", "tlsCertificates", "serverCertificate", "privateKey", "caCertificates")
    ],
    "ServiceEntry": [(("subjectAltNames",), _NO_TLS)],
    "Sidecar": [(("ingress", _EACH, "tls"), _NO_TLS)],
    "EnvoyFilter": [(("targetRefs",), "it means waypoints and the Gateway API only")],
    "Telemetry": [
        (("metrics",), "metrics come from Envoy alone"),
        (("tracing",), "no spans are reported"),
        (("accessLogging",), "access logs are the mesh's own"),
    ],
}
# Field of a DestinationRule's policy -> the minor release that began to read it.
_SINCE = {
    **{(*policy, "retryBudget"): 27 for policy in _POLICIES},
    **{(*policy, "connectionPool", "http", "http2KeepAlive"): 31 for policy in _POLICIES},
    **{(*policy, "outlierDetection", "outlierDetectionHttpErrorCodes"): 31 for policy in _POLICIES},
}
_PATCHES = {
    "EXTENSION_CONFIG": "extension configurations are not discovered",
    "BOOTSTRAP": "proxies start with a bootstrap of ours",
}
_CONTEXTS = {"WAYPOINT": "there are no waypoints"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported:
    """One object or field without effect. `inside` is empty for the whole object."""

    document: Document
    inside: PathInside
    reason: str
    unknown: bool = False
    """Istio has no such field."""

    @property
    def path(self) -> str:
        return written(self.inside)

    def __str__(self) -> str:
        return f"{self.document.place(*self.inside)}: {self.reason}"


def unsupported(documents: Iterable[Document], *, minor: int = _DEFAULT_MINOR) -> list[Unsupported]:
    """In the order of the documents, for Istio 1.`minor`."""
    return [found for document in documents for found in _of(document, minor)]


def _of(document: Document, minor: int) -> Iterator[Unsupported]:
    reason = _KINDS.get((document.group, document.kind)) or _KINDS.get((document.group, ""))
    if reason:
        yield _found(document, (), reason)
        return
    if not document.group.endswith("istio.io"):
        return
    for pattern, why in _FIELDS.get(document.kind, ()):
        for path in _matching(document.spec, pattern, ("spec",)):
            yield _found(document, path, why)
    if document.kind == "DestinationRule":
        for pattern, first in _SINCE.items():
            for path in _matching(document.spec, pattern, ("spec",)) if minor < first else ():
                yield _found(document, path, f"Istio reads it since 1.{first}; this is 1.{minor}")
    if document.kind == "EnvoyFilter":
        yield from _of_patches(document)
    yield from _unknown(document)


def _unknown(document: Document) -> Iterator[Unsupported]:
    for why, path in examine(document).unknown:
        if path[0] != "spec":
            continue  # of the metadata only what Istio reads is known
        fields = map(json_name, ISTIO.fields(why.rpartition(" ")[2]))
        reason = f"Istio has no such field{nearest(str(path[-1]), fields)}"
        yield Unsupported(document=document, inside=path, reason=reason, unknown=True)


def _of_patches(document: Document) -> Iterator[Unsupported]:
    for index, patch in enumerate(document.spec.get("configPatches") or ()):
        path: PathInside = ("spec", "configPatches", index)
        target, context = patch.get("applyTo"), (patch.get("match") or {}).get("context")
        if target in _PATCHES:
            yield _found(document, (*path, "applyTo"), _PATCHES[target])
        if context in _CONTEXTS:
            yield _found(document, (*path, "match", "context"), _CONTEXTS[context])


def _matching(value: Any, pattern: tuple[str, ...], path: PathInside) -> Iterator[PathInside]:
    if not pattern:
        yield path
    elif pattern[0] == _EACH:
        for index, item in enumerate(value if isinstance(value, list) else ()):
            yield from _matching(item, pattern[1:], (*path, index))
    elif isinstance(value, Mapping) and value.get(pattern[0]) is not None:
        yield from _matching(value[pattern[0]], pattern[1:], (*path, pattern[0]))


def _found(document: Document, path: PathInside, reason: str) -> Unsupported:
    return Unsupported(document=document, inside=path, reason=reason)
