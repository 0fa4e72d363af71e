from __future__ import annotations

from typing import Any

import pytest

from chaos.istio.delegates import merge_routes

Match = dict[str, Any]


def merged(root: Match, *leaves: Match) -> list[Any]:
    """The matches that are left of one rule with these matches under a root with that one."""
    rules = merge_routes({"match": [root]}, [{"match": list(leaves)}])
    return [match for rule in rules for match in rule["match"]]


@pytest.mark.parametrize(
    ("root", "leaf", "kept"),
    [
        ({"uri": {"prefix": "/a"}}, {"uri": {"prefix": "/a/b"}}, True),
        ({"uri": {"prefix": "/a"}}, {"uri": {"exact": "/a/b"}}, True),
        ({"uri": {"prefix": "/a"}}, {"uri": {"prefix": "/b"}}, False),
        ({"uri": {"exact": "/a"}}, {"uri": {"exact": "/a"}}, True),
        ({"uri": {"exact": "/a"}}, {"uri": {"prefix": "/a"}}, False),
        ({"uri": {"regex": "/a"}}, {"uri": {"regex": "/a"}}, False),
        ({"uri": {"regex": "/a"}}, {}, True),
        ({}, {"uri": {"regex": "/a"}}, True),
        ({"headers": {"x": {"exact": "1"}}}, {"headers": {"x": {"exact": "2"}}}, False),
        ({"headers": {"x": {"exact": "1"}}}, {"headers": {"y": {"exact": "2"}}}, True),
        ({"withoutHeaders": {"x": {"exact": "1"}}}, {"withoutHeaders": {"x": {"exact": "2"}}}, False),
        ({"queryParams": {"q": {"exact": "1"}}}, {"queryParams": {"q": {"prefix": "1"}}}, False),
        ({"port": 80}, {"port": 81}, False),
        ({"port": 80}, {}, True),
        ({"ignoreUriCase": True}, {}, False),
        ({"sourceNamespace": "a"}, {}, False),
        ({"sourceNamespace": "a"}, {"sourceNamespace": "a"}, True),
        ({}, {"sourceNamespace": "a"}, True),
        ({"sourceLabels": {"v": "1"}}, {"sourceLabels": {"v": "2"}}, False),
        ({"sourceLabels": {"v": "1"}}, {"sourceLabels": {"w": "2"}}, True),
        ({"gateways": ["a", "b"]}, {"gateways": ["a"]}, True),
        ({"gateways": ["a"]}, {"gateways": ["a", "b"]}, False),
        ({"gateways": ["a"]}, {"gateways": ["c"]}, False),
    ],
)
def test_only_a_narrower_match_survives(root: Match, leaf: Match, kept: bool) -> None:
    assert bool(merged(root, leaf)) is kept


def test_matches_are_joined() -> None:
    root = {"name": "r", "uri": {"prefix": "/a"}, "headers": {"x": {"exact": "1"}}, "port": 80, "sourceLabels": {"v": "1"}}
    leaf = {"name": "l", "uri": {"prefix": "/a/b"}, "headers": {"y": {"exact": "2"}}, "method": {"exact": "GET"}}
    assert merged(root, leaf) == [
        {
            "name": "r-l",
            "uri": {"prefix": "/a/b"},
            "headers": {"x": {"exact": "1"}, "y": {"exact": "2"}},
            "method": {"exact": "GET"},
            "port": 80,
            "sourceLabels": {"v": "1"},
        }
    ]


def test_one_match_without_a_root_drops_the_whole_rule() -> None:
    assert merged({"uri": {"prefix": "/a"}}, {"uri": {"prefix": "/a/b"}}, {"uri": {"prefix": "/c"}}) == []


def test_every_pair_that_fits_is_a_match() -> None:
    roots = [{"uri": {"prefix": "/a"}}, {"uri": {"prefix": "/a/b"}}]
    (rule,) = merge_routes({"match": roots}, [{"match": [{"uri": {"prefix": "/a/b/c"}}]}])
    assert len(rule["match"]) == 2


def test_a_side_without_match_takes_the_other_one() -> None:
    one = {"uri": {"prefix": "/a"}}
    assert merge_routes({}, [{"match": [one]}])[0]["match"] == [one]
    assert merge_routes({"match": [one]}, [{}])[0]["match"] == [one]


@pytest.mark.parametrize(("root", "leaf", "name"), [("r", "l", "r-l"), ("r", "", "r"), ("", "l", "l"), ("", "", "")])
def test_names_join(root: str, leaf: str, name: str) -> None:
    assert merge_routes({"name": root}, [{"name": leaf}])[0]["name"] == name


def test_the_delegate_wins_and_the_root_fills() -> None:
    root = {"timeout": "1s", "retries": {"attempts": 1}, "fault": {"abort": {}}, "mirrorPercentage": {"value": 5}, "route": [1]}
    (rule,) = merge_routes(root, [{"timeout": "2s", "mirror": {"host": "m"}}])
    assert rule["timeout"] == "2s"
    assert rule["retries"] == {"attempts": 1}
    assert rule["fault"] == {"abort": {}}
    assert rule["mirrorPercentage"] == {"value": 5}
    assert "route" not in rule
