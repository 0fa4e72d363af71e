import math

import pytest

from chaos.model.bystanders import Bystanders
from chaos.model.edge import Edge

EDGE = Edge.of("reviews -> ratings")


def test_without_a_request_there_is_no_share_and_no_latency() -> None:
    nobody = Bystanders(edge=EDGE)

    assert math.isnan(nobody.error_share)
    assert math.isnan(nobody.latency(0.5))


def test_the_share_of_errors_is_of_all_requests() -> None:
    assert Bystanders(edge=EDGE, requests=200, errors=3).error_share == 0.015


@pytest.mark.parametrize(("q", "seconds"), [(0.5, 0.01), (0.9, 0.01), (0.91, 0.025), (0.99, 0.025), (0.999, math.inf)])
def test_a_quantile_is_the_bound_of_its_bucket(q: float, seconds: float) -> None:
    seen = Bystanders(edge=EDGE, requests=1000, buckets=((0.005, 0), (0.01, 900), (0.025, 990), (math.inf, 1000)))

    assert seen.latency(q) == seconds
