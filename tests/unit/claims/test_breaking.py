"""The arithmetic of breakers, said before a fault is injected."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.claims.breaking import foretold, most_at_once
from chaos.envoy.policy import EdgePolicy, RoutePolicy
from chaos.model.breakers import Breaker
from chaos.model.fault import Fault, abort, delay


def breaker(hosts: int = 2, **policy: Any) -> Breaker:
    known = {"consecutive_5xx": 5, "max_ejection_percent": 50} | policy
    return Breaker(cluster="N.0", name="ratings:9080", proxies=("p",), hosts=tuple(f"h:{i}" for i in range(hosts)), **known)


def policy(timeout: float | None = None) -> EdgePolicy:
    return EdgePolicy(routes=(RoutePolicy(name="default", timeout=timeout, retries=None, clusters=("N.0",)),), clusters=())


@pytest.mark.parametrize(
    ("fault", "grpc", "said"),
    [
        (abort(500), False, "after 5 x 5xx in a row, 5 attempts at it on average; at most 1 of 2 hosts"),
        (abort(503, percent=50), False, "62 attempts"),
        (abort(503, percent=1), False, "1.0e+10 attempts"),
        (abort(404), False, ""),
        (abort(grpc="UNAVAILABLE"), True, "5 attempts"),
        (abort(grpc="NOT_FOUND"), True, ""),
    ],
)
def test_attempts_until_a_host_is_out(fault: Fault, grpc: bool, said: str) -> None:
    lines = foretold([breaker()], policy(), fault, grpc)

    assert [said in line for line in lines] == ([True] if said else [])


@pytest.mark.parametrize(("timeout", "counts"), [(None, False), (3.0, False), (1.0, True)])
def test_a_delay_counts_only_where_something_times_out(timeout: float | None, counts: bool) -> None:
    assert bool(foretold([breaker()], policy(timeout), delay("2s"), False)) is counts


def test_only_gateway_errors_count_as_gateway_errors() -> None:
    only = breaker(consecutive_5xx=0, consecutive_gateway=3)

    assert foretold([only], policy(), abort(500), False) == []
    assert "after 3 gateway errors in a row, 3 attempts" in foretold([only], policy(), abort(503), False)[0]


def test_a_breaker_that_can_never_open_is_told_so() -> None:
    (line,) = foretold([breaker(max_ejection_percent=10)], policy(), abort(500), False)

    assert line.endswith("it can never open; set maxEjectionPercent to 50 or more")


def test_without_outlier_detection_there_is_nothing_to_foretell() -> None:
    assert foretold([breaker(consecutive_5xx=0)], policy(), abort(500), False) == []


@pytest.mark.parametrize(
    ("lives", "most"),
    [([], 0), ([(0, 1)], 1), ([(0, 10), (5, 15), (9, 11)], 3), ([(0, 5), (5, 10)], 1), ([(0, 5), (4, 10)], 2)],
)
def test_how_many_there_were_at_once(lives: list[tuple[int, int]], most: int) -> None:
    assert most_at_once(lives) == most
