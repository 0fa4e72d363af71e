from __future__ import annotations

from collections.abc import Callable

import pytest

Codes = Callable[..., list[str]]


def envoy_filter(name: str, *patches: str, priority: int = 0) -> str:
    return f"""
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {{name: {name}}}
spec: {{priority: {priority}, configPatches: [{", ".join(patches)}]}}
"""


def patch(apply_to: str, operation: str, value: str = "{name: x}", match: str = "{}") -> str:
    return f"{{applyTo: {apply_to}, match: {match}, patch: {{operation: {operation}, value: {value}}}}}"


@pytest.mark.parametrize(
    ("apply_to", "operation", "code"),
    [
        ("HTTP_FILTER", "INSERT_BEFORE", "IST0151"),
        ("HTTP_FILTER", "INSERT_AFTER", "IST0151"),
        ("HTTP_FILTER", "INSERT_FIRST", ""),
        ("HTTP_FILTER", "ADD", ""),
        ("HTTP_FILTER", "REPLACE", "IST0151"),
        ("CLUSTER", "REPLACE", "IST0152"),
        ("CLUSTER", "REMOVE", "IST0151"),
        ("CLUSTER", "MERGE", ""),
        ("HTTP_ROUTE", "ADD", "IST0153"),
        ("HTTP_ROUTE", "REMOVE", "IST0154"),
        ("ROUTE_CONFIGURATION", "ADD", "IST0153"),
        ("VIRTUAL_HOST", "ADD", ""),
    ],
)
def test_operations(codes: Codes, apply_to: str, operation: str, code: str) -> None:
    assert codes(envoy_filter("a", patch(apply_to, operation))) == ([f"{code} EnvoyFilter default/a"] if code else [])


def test_a_priority_settles_relative_operations(codes: Codes) -> None:
    assert codes(envoy_filter("a", patch("HTTP_FILTER", "INSERT_BEFORE"), priority=5)) == []


VERSIONED = "{proxy: {proxyVersion: '1.2'}}"


def test_a_name_bound_to_a_version_before(codes: Codes) -> None:
    first = patch("HTTP_FILTER", "INSERT_BEFORE", match=VERSIONED)
    assert codes(envoy_filter("a", first, patch("HTTP_FILTER", "INSERT_BEFORE"))) == [
        "IST0151 EnvoyFilter default/a",
        "IST0155 EnvoyFilter default/a",
    ]
    assert codes(envoy_filter("a", first) + envoy_filter("b", patch("HTTP_FILTER", "REPLACE"))) == [
        "IST0151 EnvoyFilter default/a",
        "IST0155 EnvoyFilter default/b",
    ]
    other = patch("HTTP_FILTER", "INSERT_BEFORE", "{name: y}")
    assert codes(envoy_filter("a", first, other)) == ["IST0151 EnvoyFilter default/a"]


def test_nothing_behind_a_missing_patch_is_looked_at(codes: Codes) -> None:
    assert codes(envoy_filter("a", "{applyTo: CLUSTER}", patch("CLUSTER", "REMOVE"))) == []
