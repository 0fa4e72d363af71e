"""Does a proxy keep this statistic? The `stats_matcher` of its bootstrap decides, by which Istio prunes most of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def keeps(stats_config: Mapping[str, Any], name: str) -> bool:
    """Is a counter of this name made at all? `stats_config` in proto JSON with snake_case keys; empty: everything is."""
    matcher: Mapping[str, Any] = stats_config.get("stats_matcher") or {}
    if matcher.get("reject_all"):
        return False
    if "inclusion_list" in matcher:
        return _any_of(matcher["inclusion_list"], name)
    if "exclusion_list" in matcher:
        return not _any_of(matcher["exclusion_list"], name)
    return True


def _any_of(patterns: Mapping[str, Any], name: str) -> bool:
    return any(_matches(pattern, name) for pattern in patterns.get("patterns") or ())


def _matches(pattern: Mapping[str, Any], name: str) -> bool:
    if pattern.get("ignore_case"):
        name = name.lower()
        pattern = {key: value.lower() if isinstance(value, str) else value for key, value in pattern.items()}
    if "exact" in pattern:
        return name == str(pattern["exact"])
    if "prefix" in pattern:
        return name.startswith(str(pattern["prefix"]))
    if "suffix" in pattern:
        return name.endswith(str(pattern["suffix"]))
    if "contains" in pattern:
        return str(pattern["contains"]) in name
    # RE2 has nothing that Python spells otherwise in what names of statistics are matched by.
    return re.fullmatch(str((pattern.get("safe_regex") or {}).get("regex", "(?!)")), name) is not None
