from __future__ import annotations

from typing import Any

import pytest

from chaos.envoy.headers import operations


def test_set_overwrites_add_appends_each_by_name() -> None:
    found = operations(
        {"request": {"add": {"c": "3"}, "set": {"b": "2", "a": "1"}, "remove": ["d"]}, "response": {"add": {"e": None}}}
    )
    assert found.fields == {
        "request_headers_to_add": [
            {"header": {"key": "a", "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"},
            {"header": {"key": "b", "value": "2"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"},
            {"header": {"key": "c", "value": "3"}},
        ],
        "request_headers_to_remove": ["d"],
        "response_headers_to_add": [{"header": {"key": "e", "value": ""}}],
    }


@pytest.mark.parametrize(
    ("request_", "authority"),
    [
        ({"set": {"Host": "a"}}, "a"),
        ({"set": {":authority": "a"}}, "a"),
        ({"add": {"host": "a"}}, "a"),
        ({"add": {"host": "a"}, "set": {"host": "b"}}, "b"),
        ({"set": {"x-host": "a"}}, ""),
    ],
)
def test_the_host_is_rewritten_not_set(request_: dict[str, Any], authority: str) -> None:
    found = operations({"request": request_})
    assert found.authority == authority
    assert bool(found.fields) is (not authority)


def test_pseudo_headers_are_left_out() -> None:
    assert operations({"request": {"set": {":path": "/"}, "remove": [":method", "host"]}}).fields == {}


def test_nothing_written_is_nothing_done() -> None:
    assert operations(None).fields == {}
    assert operations({"request": {}, "response": None}).fields == {}


def test_they_join_what_stands_there() -> None:
    route: dict[str, Any] = {"request_headers_to_remove": ["a"]}
    before = route["request_headers_to_remove"]
    operations({"request": {"remove": ["b"]}}).apply_to(route)
    assert route == {"request_headers_to_remove": ["a", "b"]}
    assert before == ["a"]
