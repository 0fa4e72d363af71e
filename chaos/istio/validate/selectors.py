"""Whom does an object concern? The checks on selectors, target references and exportTo, which many kinds share.

Sources: istio pkg/config/validation (`ValidateAlphaWorkloadSelector`, `validateWorkloadSelector`,
`validatePolicyTargetReference`, `validateExportTo`).
"""

from __future__ import annotations

from chaos.istio.validate import values
from chaos.istio.validate.checker import Checker
from chaos.istio.validate.decoding import Message

NO_LABELS = "workload selector specified without labels"
_TARGETS = {("", "Service"), ("core", "Service"), ("networking.istio.io", "ServiceEntry"),
            ("gateway.networking.k8s.io", "Gateway"), ("gateway.networking.k8s.io", "GatewayClass")}  # fmt: skip


def labels_selector(check: Checker, selector: Message, subject: str) -> bool:
    """The older `workloadSelector: {labels}`. False if it is refused: Istio then looks no further."""
    if not selector:
        return True
    wrong = list(values.selector(selector["labels"]))
    check.refuse(selector.at("labels"), wrong)
    if not wrong and not selector["labels"]:
        check.warn(selector.path, f"{subject}: {NO_LABELS}, will be applied to all services in namespace")
    return not wrong


def match_labels_selector(check: Checker, selector: Message) -> None:
    """The newer `selector: {matchLabels}`."""
    if selector:
        check.refuse(selector.at("match_labels"), values.selector(selector["match_labels"]))
        if not selector["match_labels"]:
            check.warn(selector.path, NO_LABELS)


def policy_targets(check: Checker, spec: Message) -> None:
    """`selector`, `targetRef` and `targetRefs` of one policy."""
    references = [*([spec["target_ref"]] if spec["target_ref"] else []), *spec["target_refs"]]
    if sum(map(bool, (spec["selector"], spec["target_ref"], spec["target_refs"]))) > 1:
        check.error(spec.path, "only one of targetRefs or workloadSelector can be set")
    match_labels_selector(check, spec["selector"])
    for reference in references:
        target_reference(check, reference)


def target_reference(check: Checker, reference: Message) -> None:
    if not reference["name"]:
        check.error(reference.path, "targetRef name must be set")
    if reference["namespace"]:
        why = "targetRef namespace must not be set; cross namespace referencing is not supported"
        check.error(reference.at("namespace"), why)
    if (reference["group"], reference["kind"]) not in _TARGETS:
        known = ", ".join(sorted({kind for _, kind in _TARGETS}))
        check.error(reference.path, f"targetRef must be to one of {known} but was {reference['group']}/{reference['kind']}")


def export_to(check: Checker, spec: Message, namespace: str, *, service_entry: bool = False, with_selector: bool = False) -> None:
    entries: list[str] = spec["export_to"]
    accepted: set[str] = set()
    for index, entry in enumerate(entries):
        at = spec.at("export_to", index)
        key = namespace if entry == "." else entry
        if key in accepted and key != entry:
            check.error(at, f"duplicate entries in exportTo: . and current namespace {namespace}")
        elif key in accepted:
            check.error(at, f"duplicate entries in exportTo for entry {entry}")
        elif (wrong := values.visibility(key)) and not (service_entry and entry == "~"):
            check.error(at, wrong)
        else:
            accepted.add(key)
    at = spec.at("export_to")
    if with_selector and accepted and namespace not in accepted:
        check.error(at, "destination rule with workload selector cannot have exportTo beyond current namespace")
    elif with_selector and len(accepted) > 1:
        check.error(at, "destination rule with workload selector cannot have multiple entries in exportTo")
    if "*" in accepted and len(entries) > 1:
        check.error(at, "cannot have both public (*) and non-public exportTo values for a resource")
    if "~" in accepted and len(entries) > 1:
        check.error(at, "cannot export service entry to no one (~) and someone")
