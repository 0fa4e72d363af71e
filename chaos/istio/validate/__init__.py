"""Would istiod take this object? What its admission webhook refuses and what it warns of, without a cluster.

`refusals` and `warnings` answer for one document; `examine` gives both at once and the typed `spec`, for those who go on
with it. How: `decoding` reads the manifest into messages, one module per kind applies the rules of Istio's
pkg/config/validation, `values` has the rules for single values. Only Istio's own kinds are examined.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from chaos.istio.documents import Document, PathInside
from chaos.istio.findings import Finding, Level, about
from chaos.istio.validate import (
    destinationrules,
    envoyfilters,
    gateways,
    security,
    serviceentries,
    sidecars,
    telemetry,
    values,
    virtualservices,
)
from chaos.istio.validate.checker import Checker, Remark
from chaos.istio.validate.decoding import Decoder, Message, Undecodable
from chaos.istio.validate.messages import KINDS, istio

__all__ = ["UNREADABLE", "Verdict", "examine", "refusals", "warnings"]

# istioctl gives no code to what it cannot read at all.
UNREADABLE = "CHAOS0001"
DEFAULT_MINOR = 29
_DRY_RUN = "istio.io/dry-run"
_RESERVED = {
    "internal.istio.io/webhook-always-reject": "rejecting",
    "internal.istio.io/parent-namespace": "this may not be set by users",
    "internal.istio.io/parents": "this may not be set by users",
}

_RULES: dict[str, Callable[[Checker, Message, Message, str], None]] = {
    "AuthorizationPolicy": lambda check, spec, _meta, _namespace: security.check_authorization_policy(check, spec),
    "DestinationRule": lambda check, spec, _meta, namespace: destinationrules.check_destination_rule(check, spec, namespace),
    "EnvoyFilter": lambda check, spec, _meta, _namespace: envoyfilters.check_envoy_filter(check, spec),
    "Gateway": lambda check, spec, meta, _namespace: gateways.check_gateway(check, spec, meta["name"]),
    "PeerAuthentication": lambda check, spec, _meta, _namespace: security.check_peer_authentication(check, spec),
    "ProxyConfig": lambda check, spec, _meta, _namespace: telemetry.check_proxy_config(check, spec),
    "RequestAuthentication": lambda check, spec, _meta, _namespace: security.check_request_authentication(check, spec),
    "ServiceEntry": lambda check, spec, meta, namespace: serviceentries.check_service_entry(check, spec, namespace, meta["labels"]),
    "Sidecar": lambda check, spec, _meta, namespace: sidecars.check_sidecar(check, spec, namespace),
    "Telemetry": lambda check, spec, _meta, _namespace: telemetry.check_telemetry(check, spec),
    "VirtualService": lambda check, spec, _meta, namespace: virtualservices.check_virtual_service(check, spec, namespace),
    "WorkloadEntry": lambda check, spec, _meta, _namespace: serviceentries.check_workload(check, spec),
    "WorkloadGroup": lambda check, spec, _meta, _namespace: serviceentries.check_workload_group(check, spec),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What istiod says of one object. `spec` is None for what it cannot read and for kinds that are not Istio's."""

    refusals: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    spec: Message | None = None
    unknown: tuple[tuple[str, PathInside], ...] = ()
    """Fields that Istio does not have: what is said of each, and its path."""
    rivals: tuple[tuple[str, PathInside], ...] = ()
    """Fields of which istiod takes the last, where an API server takes none."""


def refusals(document: Document, *, minor: int = DEFAULT_MINOR) -> list[Finding]:
    """Why istiod 1.`minor` would refuse the object: findings of level Error; empty if it takes it."""
    return list(examine(document, minor=minor).refusals)


def warnings(document: Document) -> list[Finding]:
    """What istiod would answer beside taking (or refusing) the object: findings of level Warning."""
    return list(examine(document).warnings)


def examine(document: Document, *, minor: int = DEFAULT_MINOR) -> Verdict:
    """Read the object as istiod 1.`minor` does and apply its rules."""
    return _examined(document, minor)


@lru_cache(maxsize=8192)
def _examined(document: Document, minor: int) -> Verdict:
    """Kept: lint, the check before a start and every change of one manifest among many ask for the same objects again."""
    if KINDS.get(document.kind) != document.group:
        return Verdict()
    decoder = Decoder(istio(minor))
    try:
        meta = decoder.message("ObjectMeta", document.raw.get("metadata"), ("metadata",))
        spec = decoder.message(document.kind, document.raw.get("spec"), ("spec",))
    except Undecodable as error:
        why = f"cannot parse proto message for {document.name}: {error.why}"
        return Verdict(refusals=(about(document, UNREADABLE, Level.ERROR, why, *error.path),))
    check = Checker()
    if not _annotations_refused(check, document, meta, spec):
        _RULES[document.kind](check, spec, meta, document.namespace)
    return Verdict(
        refusals=tuple(_finding(document, Level.ERROR, remark) for remark in check.errors),
        warnings=tuple(_finding(document, Level.WARNING, remark) for remark in check.warnings),
        spec=spec,
        unknown=tuple(decoder.unknown),
        rivals=tuple(decoder.rivals),
    )


def _annotations_refused(check: Checker, document: Document, meta: Message, spec: Message) -> bool:
    """Istio looks no further where an annotation is not for users, or a dry run is asked of what cannot have one."""
    annotations, origin = meta["annotations"], f"{document.namespace}/{document.name}"
    if (dry_run := annotations.get(_DRY_RUN)) is not None:
        at = meta.at("annotations", _DRY_RUN)
        if document.kind != "AuthorizationPolicy":
            check.error(at, f"{origin} has unsupported annotation {_DRY_RUN}, please remove the annotation")
        elif spec["action"] not in ("ALLOW", "DENY"):
            why = f"the annotation {_DRY_RUN} currently only supports action ALLOW/DENY, found action {spec['action']} in {origin}"
            check.error(at, why)
        elif dry_run not in values.TRUTH:
            check.error(at, f"{origin} has annotation {_DRY_RUN} with invalid value ({dry_run})")
    for name, why in _RESERVED.items():
        if name in annotations:
            check.error(meta.at("annotations", name), f"{values.quoted(name)} annotation found, {why}")
    return bool(check.errors)


def _finding(document: Document, level: Level, remark: Remark) -> Finding:
    return about(document, remark.code, level, remark.message, *remark.path)
