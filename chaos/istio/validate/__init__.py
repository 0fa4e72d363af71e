"""Would istiod take this object? What its admission webhook refuses and what it warns of, without a cluster.

`refusals` and `warnings` answer for one document; `examine` gives both at once and the typed `spec`, for those who go on
with it. How: `decoding` reads the manifest into messages, one module per kind applies the rules of Istio's
pkg/config/validation, `values` has the rules for single values. Only Istio's own kinds are examined.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chaos.istio.documents import Document
from chaos.istio.findings import Finding, Level, about
from chaos.istio.validate import (
    destinationrules,
    envoyfilters,
    gateways,
    security,
    serviceentries,
    sidecars,
    telemetry,
    virtualservices,
)
from chaos.istio.validate.checker import Checker, Remark
from chaos.istio.validate.decoding import Decoder, Message, Undecodable
from chaos.istio.validate.messages import ISTIO, KINDS

__all__ = ["UNREADABLE", "Verdict", "examine", "refusals", "warnings"]

# istioctl gives no code to what it cannot read at all.
UNREADABLE = "CHAOS0001"
_DRY_RUN = "istio.io/dry-run"

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


def refusals(document: Document) -> list[Finding]:
    """Why istiod would refuse the object: findings of level Error; empty if it takes it."""
    return list(examine(document).refusals)


def warnings(document: Document) -> list[Finding]:
    """What istiod would answer beside taking (or refusing) the object: findings of level Warning."""
    return list(examine(document).warnings)


def examine(document: Document) -> Verdict:
    """Read the object as istiod does and apply its rules."""
    if KINDS.get(document.kind) != document.group:
        return Verdict()
    decoder = Decoder(ISTIO)
    try:
        meta = decoder.message("ObjectMeta", document.raw.get("metadata"), ("metadata",))
        spec = decoder.message(document.kind, document.raw.get("spec"), ("spec",))
    except Undecodable as error:
        why = f"cannot parse proto message for {document.name}: {error.why}"
        return Verdict(refusals=(about(document, UNREADABLE, Level.ERROR, why, *error.path),))
    check = Checker()
    _RULES[document.kind](check, spec, meta, document.namespace)
    _check_dry_run(check, document, meta)
    return Verdict(
        refusals=tuple(_finding(document, Level.ERROR, remark) for remark in check.errors),
        warnings=tuple(_finding(document, Level.WARNING, remark) for remark in check.warnings),
        spec=spec,
    )


def _check_dry_run(check: Checker, document: Document, meta: Message) -> None:
    if _DRY_RUN in meta["annotations"] and document.kind != "AuthorizationPolicy":
        why = f"{document.namespace}/{document.name} has unsupported annotation {_DRY_RUN}, please remove the annotation"
        check.error(meta.at("annotations", _DRY_RUN), why)


def _finding(document: Document, level: Level, remark: Remark) -> Finding:
    return about(document, remark.code, level, remark.message, *remark.path)
