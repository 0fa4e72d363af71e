"""Other people's requests as an experiment reads them: checked like every number of a window."""

import pytest

from chaos.errors import Inconclusive
from chaos.model.bystanders import Bystanders
from chaos.model.edge import Edge
from chaos.model.window import EdgeWindow, describe
from chaos.testing.evidence import closed, edge, window

REVIEWS = "reviews -> ratings"
SEEN = Bystanders(edge=Edge.of(REVIEWS), requests=400, errors=6, buckets=((0.01, 300), (0.1, 400), (float("inf"), 400)))


def on_edge(bystanders: Bystanders | None, **known: object) -> EdgeWindow:
    return closed(window(edges=[edge(REVIEWS, bystanders=bystanders)], **known)).edge(REVIEWS)


def test_they_are_numbers_that_know_what_they_are() -> None:
    others = on_edge(SEEN).bystanders

    assert (others.requests, others.errors, others.error_share, others.latency("p95")) == (400, 6, 0.015, 0.1)
    assert describe(others.latency("p50")).startswith("10 ms (seconds, p50 latency of bystanders on reviews -> ratings in window")


def test_a_mesh_without_telemetry_says_where_it_would_be_named() -> None:
    with pytest.raises(Inconclusive, match="name the mesh's Prometheus in chaos.yaml"):
        _ = on_edge(None).bystanders


def test_too_few_scrapes_are_no_number() -> None:
    doubtful = Bystanders(edge=Edge.of(REVIEWS), doubt="Prometheus scraped only once within 10 s")

    with pytest.raises(Inconclusive, match="scraped only once"):
        _ = on_edge(doubtful).bystanders


def test_a_window_in_doubt_has_none_either() -> None:
    with pytest.raises(Inconclusive, match="the mesh fell over"):
        _ = on_edge(SEEN, doubts=("the mesh fell over",)).bystanders
