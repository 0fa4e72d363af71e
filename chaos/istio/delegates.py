"""What do a delegating rule and its delegate mean together? The merge of a root VirtualService's rule with a delegate's.

Facts: istio pilot/pkg/model/virtualservice.go (`mergeHTTPRoutes`, `hasConflict`). A delegate's rule survives only when
each of its matches is a subset of some match of the root; what it leaves unset comes from the root.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Rule = Mapping[str, Any]
Match = Mapping[str, Any]

_INHERITED = (
    "rewrite",
    "directResponse",
    "timeout",
    "retries",
    "fault",
    "mirror",
    "mirrorPercent",
    "mirrorPercentage",
    "corsPolicy",
    "mirrors",
    "headers",
)
_SINGLE = ("uri", "scheme", "method", "authority")
_BY_NAME = ("headers", "withoutHeaders", "queryParams")


def merge_routes(root: Rule, delegate: Sequence[Rule]) -> list[Rule]:
    """The delegate's rules, each narrowed and completed by the root's; those in conflict with it are dropped."""
    merged = (_merge(root, rule) for rule in delegate)
    return [rule for rule in merged if rule is not None]


def _merge(root: Rule, leaf: Rule) -> Rule | None:
    matches = _merge_matches(root.get("match") or [], leaf.get("match") or [])
    if matches is None:
        return None
    out = dict(leaf)
    out["match"] = matches
    out["name"] = _joined(root.get("name"), leaf.get("name"))
    for key in _INHERITED:
        if out.get(key) is None and root.get(key) is not None:
            out[key] = root[key]
    return out


def _joined(root: Any, leaf: Any) -> str:
    return "-".join(str(name) for name in (root, leaf) if name)


def _merge_matches(roots: Sequence[Match], leaves: Sequence[Match]) -> list[Match] | None:
    """Every pair without conflict; None when a leaf has no root that covers it."""
    if not roots or not leaves:
        return list(roots or leaves)
    out: list[Match] = []
    for leaf in leaves:
        fitting = [_merge_match(root, leaf) for root in roots if not _conflict(root, leaf)]
        if not fitting:
            return None
        out += fitting
    return out


def _merge_match(root: Match, leaf: Match) -> Match:
    out = dict(leaf)
    out["name"] = _joined(root.get("name"), leaf.get("name"))
    for key in _SINGLE:
        if out.get(key) is None and root.get(key) is not None:
            out[key] = root[key]
    for key in (*_BY_NAME, "sourceLabels"):
        both = {**(root.get(key) or {}), **(leaf.get(key) or {})}
        if both:
            out[key] = both
    for key in ("port", "sourceNamespace", "gateways", "statPrefix"):
        if not out.get(key) and root.get(key):
            out[key] = root[key]
    return out


def _conflict(root: Match, leaf: Match) -> bool:
    if any(_strings_conflict(root.get(key), leaf.get(key)) for key in _SINGLE):
        return True
    for key in _BY_NAME:
        known = root.get(key) or {}
        if any(_strings_conflict(known.get(name), value) for name, value in (leaf.get(key) or {}).items()):
            return True
    if bool(root.get("ignoreUriCase")) != bool(leaf.get("ignoreUriCase")):
        return True
    if root.get("port") and leaf.get("port") and root["port"] != leaf["port"]:
        return True
    if root.get("sourceNamespace") and leaf.get("sourceNamespace") != root["sourceNamespace"]:
        return True
    labels = root.get("sourceLabels") or {}
    if any(key in labels and labels[key] != value for key, value in (leaf.get("sourceLabels") or {}).items()):
        return True
    mine, theirs = root.get("gateways") or [], leaf.get("gateways") or []
    return bool(mine and theirs) and (len(mine) < len(theirs) or not set(theirs) <= set(mine))


def _strings_conflict(root: Mapping[str, str] | None, leaf: Mapping[str, str] | None) -> bool:
    """Is the leaf's condition anything but a narrowing of the root's? A regular expression cannot be compared at all."""
    if root is None or leaf is None:
        return False
    if root.get("regex") or leaf.get("regex"):
        return True
    if root.get("exact"):
        return bool(leaf.get("prefix")) or leaf.get("exact", "") != root["exact"]
    narrower = leaf.get("prefix") or leaf.get("exact")
    if root.get("prefix") and narrower:
        return not narrower.startswith(root["prefix"])
    return True
