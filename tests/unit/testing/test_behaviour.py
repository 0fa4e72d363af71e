"""Whose behaviour is it?"""

from __future__ import annotations

import pytest

from chaos.errors import InvalidValue
from chaos.model.inventory import Pod
from chaos.testing.behaviour import Behaviour, of

ALL, SECOND = Behaviour(takes="1s"), Behaviour(takes="2s")


def pod(version: str) -> Pod:
    return Pod(
        name="reviews-0",
        namespace="shop",
        workload=f"reviews-{version}",
        labels={"app": "reviews", "version": version},
        ip="10.0.0.1",
    )


@pytest.mark.parametrize(
    ("behaviours", "found"),
    [
        ({}, Behaviour()),
        ({"reviews": ALL}, ALL),
        ({"reviews": ALL, "reviews:v2": SECOND}, SECOND),
        ({"reviews": ALL, "reviews:v3": SECOND}, ALL),
        ({"reviews-v2": SECOND}, SECOND),
        ({"ratings": ALL}, Behaviour()),
    ],
)
def test_the_most_exact_counts(behaviours: dict[str, Behaviour], found: Behaviour) -> None:
    assert of(pod("v2"), behaviours) == found


def test_durations_are_those_of_everywhere() -> None:
    assert (Behaviour(takes="5ms").work, Behaviour().waits, Behaviour(patience="1m30s").waits) == (5_000_000, None, 90_000_000_000)
    with pytest.raises(InvalidValue, match="unit"):
        _ = Behaviour(takes="5").work
