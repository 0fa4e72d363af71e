from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.envoy.patchmatch import Patch
from chaos.envoy.splicing import inserted, replaced

NEW = {"name": "new"}


def patch(operation: str) -> Patch:
    return Patch(apply_to="HTTP_FILTER", operation=operation, context="ANY", value=NEW)


def items(names: str) -> list[dict[str, Any]]:
    return [{"name": name} for name in names]


def spelled(found: list[dict[str, Any]]) -> str:
    return "".join("N" if item is NEW else item["name"] for item in found)


@pytest.mark.parametrize(
    ("operation", "beside", "result"),
    [
        ("ADD", None, "abcbN"),
        ("ADD", "b", "abcbN"),
        ("INSERT_FIRST", None, "Nabcb"),
        ("INSERT_FIRST", "b", "Nabcb"),
        ("INSERT_BEFORE", None, "Nabcb"),
        ("INSERT_BEFORE", "b", "aNbcb"),
        ("INSERT_BEFORE", "z", "abcb"),
        ("INSERT_AFTER", None, "abcbN"),
        ("INSERT_AFTER", "b", "abNcb"),
        ("INSERT_AFTER", "z", "abcb"),
        ("MERGE", "b", "abcb"),
        ("REPLACE", None, "abcb"),
        ("REPLACE", "b", "aNcb"),
        ("REPLACE", "z", "abcb"),
        ("REMOVE", None, "abcb"),
        ("REMOVE", "b", "ac"),
    ],
)
def test_operations(operation: str, beside: str | None, result: str) -> None:
    start = items("abcb")
    by_name = (lambda item: bool(item["name"] == beside)) if beside else None
    done = replaced(inserted(start, patch(operation), by_name), patch(operation), by_name)
    assert spelled(done) == result
    assert spelled(start) == "abcb"


@given(st.text(alphabet="abc", max_size=6), st.sampled_from(["ADD", "INSERT_FIRST", "INSERT_BEFORE", "INSERT_AFTER"]))
def test_inserting_adds_one_and_keeps_the_order_of_the_rest(names: str, operation: str) -> None:
    done = inserted(items(names), patch(operation), lambda item: bool(item["name"] == "b"))
    assert spelled([item for item in done if item is not NEW]) == names
    assert len(done) - len(names) <= 1
