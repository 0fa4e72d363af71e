from __future__ import annotations

from typing import Any

import pytest

from chaos.envoy.matches import is_catch_all, route_match

ANY_CASE = {"case_sensitive": True}


def test_no_match_is_every_request() -> None:
    assert route_match(None) == {"prefix": "/"}


@pytest.mark.parametrize(
    ("written", "made"),
    [
        ({}, {"prefix": "/"}),
        ({"uri": {"exact": "/a"}}, {"path": "/a"}),
        ({"uri": {"prefix": "/a"}}, {"prefix": "/a"}),
        ({"uri": {"prefix": ""}}, {"prefix": ""}),
        ({"uri": {"regex": "/a.*"}}, {"safe_regex": {"regex": "/a.*"}}),
        ({"uri": None}, {"prefix": "/"}),
    ],
)
def test_paths(written: dict[str, Any], made: dict[str, Any]) -> None:
    assert route_match(written) == {**made, **ANY_CASE}


def test_the_case_of_a_path_may_not_matter() -> None:
    assert route_match({"uri": {"exact": "/a"}, "ignoreUriCase": True})["case_sensitive"] is False


@pytest.mark.parametrize(
    ("condition", "made"),
    [
        ({"exact": "1"}, {"string_match": {"exact": "1"}}),
        ({"exact": ""}, {"string_match": {"exact": ""}}),
        ({"prefix": "1"}, {"string_match": {"prefix": "1"}}),
        ({"regex": "1+"}, {"string_match": {"safe_regex": {"regex": "1+"}}}),
        ({"regex": "*"}, {"present_match": True}),
        ({}, {"present_match": True}),
        (None, {"present_match": True}),
        ({"exact": "1", "regex": "2"}, {"string_match": {"safe_regex": {"regex": "2"}}}),
    ],
)
def test_conditions_on_headers_and_query(condition: dict[str, str] | None, made: dict[str, Any]) -> None:
    assert route_match({"headers": {"x": condition}})["headers"] == [{"name": "x", **made}]
    assert route_match({"queryParams": {"x": condition}})["query_parameters"] == [{"name": "x", **made}]
    without = route_match({"withoutHeaders": {"x": condition}})["headers"]
    missing = {} if "present_match" in made else {"treat_missing_header_as_empty": True}
    assert without == [{"name": "x", **made, "invert_match": True, **missing}]


def test_headers_are_sorted_and_pseudo_headers_stand_behind_them() -> None:
    found = route_match(
        {
            "headers": {"z": {"exact": "1"}, "b": {"exact": "1"}},
            "withoutHeaders": {"c": {"exact": "1"}},
            "method": {"exact": "GET"},
            "authority": {"prefix": "a"},
            "scheme": {"exact": "http"},
        }
    )
    assert [header["name"] for header in found["headers"]] == ["b", "c", "z", ":method", ":authority", ":scheme"]


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("@request.auth.claims.group", ["group"]),
        ("@request.auth.claims.a.b", ["a", "b"]),
        ("@request.auth.claims[a.b][c]", ["a.b", "c"]),
        ("@Request.Auth.Claims.group", ["group"]),
    ],
)
def test_claims_are_looked_up_in_the_token(name: str, keys: list[str]) -> None:
    found = route_match({"headers": {name: {"exact": "x"}}, "withoutHeaders": {name: {"exact": "y"}}})
    assert "headers" not in found
    one, other = found["dynamic_metadata"]
    assert one["path"] == [{"key": "payload"}, *({"key": key} for key in keys)]
    assert other["invert"] is True
    assert one["value"]["or_match"]["value_matchers"][1] == {"string_match": {"exact": "x"}}


@pytest.mark.parametrize(
    ("written", "everything"),
    [
        (None, True),
        ({}, True),
        ({"uri": {"prefix": "/"}}, True),
        ({"uri": {"regex": ".*"}}, True),
        ({"uri": {"prefix": ""}}, False),
        ({"uri": {"prefix": "/a"}}, False),
        ({"uri": {"regex": "/.*"}}, False),
        ({"headers": {"x": {}}}, False),
        ({"method": {"exact": "GET"}}, False),
        ({"queryParams": {"q": {"exact": "1"}}}, False),
        ({"headers": {"@request.auth.claims.a": {"exact": "b"}}}, False),
        ({"sourceLabels": {"a": "b"}}, True),
    ],
)
def test_what_takes_every_request(written: dict[str, Any] | None, everything: bool) -> None:
    assert is_catch_all(route_match(written)) is everything
