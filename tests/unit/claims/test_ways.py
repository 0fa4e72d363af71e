from __future__ import annotations

import pytest

from chaos.claims.ways import before, behind, directly_before
from chaos.model.edge import Edge

BOOKINFO = [
    "-> productpage",
    "productpage -> details",
    "productpage -> reviews",
    "reviews:v2 -> ratings",
    "reviews:v3 -> ratings",
    "ratings -> db.data",
    "reviews.other -> ratings",
]


@pytest.mark.parametrize(
    ("edge", "found"),
    [
        ("reviews:v2 -> ratings", ["productpage -> reviews", "-> productpage"]),
        ("ratings -> db.data", [*BOOKINFO[3:5], "reviews.other -> ratings", "productpage -> reviews", "-> productpage"]),
        ("-> productpage", []),
        ("nobody -> ratings", []),
    ],
)
def test_before_an_edge_are_the_calls_that_wait_for_it(edge: str, found: list[str]):
    assert before(Edge.of(edge), list(map(Edge.of, BOOKINFO))) == list(map(Edge.of, found))


@pytest.mark.parametrize(
    ("edge", "found"),
    [
        ("productpage -> reviews", ["reviews:v2 -> ratings", "reviews:v3 -> ratings", "ratings -> db.data"]),
        ("reviews:v3 -> ratings", ["ratings -> db.data"]),
        ("ratings -> db.data", []),
    ],
)
def test_behind_it_are_those_it_waits_for(edge: str, found: list[str]):
    assert behind(Edge.of(edge), list(map(Edge.of, BOOKINFO))) == list(map(Edge.of, found))


def test_directly_before_is_one_hop():
    assert directly_before(Edge.of("ratings -> db.data"), map(Edge.of, BOOKINFO[:5])) == list(map(Edge.of, BOOKINFO[3:5]))


def test_services_that_call_each_other_are_followed_once():
    circle = list(map(Edge.of, ["a -> b", "b -> a"]))

    assert before(circle[0], circle) == behind(circle[0], circle) == [circle[1]]
