from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.istio import hosts

LABEL = st.text(alphabet="abc", min_size=1, max_size=3)
HOST = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
NAME = st.one_of(HOST, HOST.map(lambda host: f"*.{host}"), st.just("*"))


@pytest.mark.parametrize(
    ("host", "full"),
    [
        ("reviews", "reviews.shop.svc.cluster.local"),
        ("reviews.other", "reviews.other"),
        ("reviews.other.svc.cluster.local", "reviews.other.svc.cluster.local"),
        ("*.example.com", "*.example.com"),
        ("*", "*"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("Reviews", "Reviews.shop.svc.cluster.local"),
        ("", ""),
    ],
)
def test_only_names_without_a_dot_are_completed(host: str, full: str) -> None:
    assert hosts.fully_qualified(host, "shop") == full


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        ("a.com", "a.com", True),
        ("a.com", "b.com", False),
        ("*.com", "a.com", True),
        ("a.com", "*.com", True),
        ("*.a.com", "*.com", True),
        ("*.a.com", "*.b.com", False),
        ("*", "anything", True),
        ("*.com", "com", False),
    ],
)
def test_wildcards_match_both_ways(one: str, other: str, common: bool) -> None:
    assert hosts.matches(one, other) is common
    assert hosts.matches(other, one) is common


@pytest.mark.parametrize(
    ("pattern", "host", "covered"),
    [
        ("*.com", "a.com", True),
        ("a.com", "*.com", False),
        ("*.com", "*.a.com", True),
        ("*.a.com", "*.com", False),
        ("*", "*.com", True),
        ("*", "*", True),
        ("a", "a", True),
    ],
)
def test_covering_goes_one_way(pattern: str, host: str, covered: bool) -> None:
    assert hosts.covers(pattern, host) is covered


def test_the_longest_wildcard_is_the_most_specific() -> None:
    patterns = ["*", "*.com", "*.example.com", "other.com"]
    assert hosts.most_specific("api.example.com", patterns) == "*.example.com"
    assert hosts.most_specific("api.example.com", [*patterns, "api.example.com"]) == "api.example.com"
    assert hosts.most_specific("x.org", ["*.com"]) is None
    assert sorted(["*", "b.com", "a.com", "*.com", "long.a.com"], key=hosts.specificity) == [
        "long.a.com",
        "a.com",
        "b.com",
        "*.com",
        "*",
    ]


@given(HOST, st.lists(NAME, max_size=6))
def test_walking_up_the_dots_finds_what_searching_finds(host: str, patterns: list[str]) -> None:
    walked = next((p for p in (host, *hosts.wildcards_over(host)) if p in patterns), None)
    assert walked == hosts.most_specific(host, patterns)


@given(NAME, NAME)
def test_what_covers_also_matches(pattern: str, host: str) -> None:
    if hosts.covers(pattern, host):
        assert hosts.matches(pattern, host)


@pytest.mark.parametrize(
    ("export_to", "own", "other"),
    [
        (["*"], True, True),
        (["."], True, False),
        (["~"], False, False),
        (["other"], False, True),
        ([".", "other"], True, True),
        ([".", "*"], True, True),
        (["~", "*"], True, True),
        (["third"], False, False),
    ],
)
def test_export_to(export_to: list[str], own: bool, other: bool) -> None:
    assert hosts.exported(export_to, "own", "own") is own
    assert hosts.exported(export_to, "own", "other") is other
