from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.errors import InvalidValue
from chaos.stats.mover import Estimate, wilson
from chaos.stats.quantiles import Latencies

repeatable = settings(deadline=None, derandomize=True, max_examples=50)

latencies = st.lists(st.one_of(st.floats(0, 60), st.just(math.inf)), min_size=1, max_size=200)


@pytest.mark.parametrize(("q", "expected"), [(0.5, 50), (0.07, 7), (0.95, 95), (0.951, 96), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_quantile_is_a_measured_value(q: float, expected: float) -> None:
    assert Latencies.of(range(100, 0, -1)).quantile(q) == expected


@repeatable
@given(latencies, st.integers(1, 100))
def test_a_quantile_is_the_smallest_value_that_so_many_do_not_exceed(values: list[float], percent: int) -> None:
    ordered = sorted(values)
    expected = next(x for x in ordered if Fraction(sum(y <= x for y in ordered), len(ordered)) >= Fraction(percent, 100))

    assert Latencies.of(values).quantile(percent / 100) == expected


@repeatable
@given(latencies, st.floats(0, 60))
def test_counts_above_a_bound(values: list[float], bound: float) -> None:
    found = Latencies.of(values)
    size = len(values) // 10

    assert found.above(bound) == sum(value > bound for value in values)
    assert found.above_in_blocks(bound) == [
        sum(value > bound for value in values[block * size : (block + 1) * size]) for block in range(10) if size
    ]


@repeatable
@given(latencies, st.floats(0.01, 0.99), st.floats(1, 200), st.floats(1e-6, 0.4))
def test_limits_contain_the_quantile(values: list[float], q: float, effective: float, alpha: float) -> None:
    estimate = Latencies.of(values).estimate(q, min(effective, len(values)), alpha)

    assert 0 <= estimate.lower <= estimate.value <= estimate.upper


def test_limits_are_order_statistics() -> None:
    low, high = wilson(0.95, 1_000, 0.05)
    estimate = Latencies.of(range(1, 1_001)).estimate(0.95, 1_000, 0.05)

    assert estimate == Estimate(950, math.floor(1_000 * low), math.ceil(1_000 * high) + 1)
    assert (estimate.lower, estimate.upper) == (937, 962)


def test_beyond_the_measured_values_lie_zero_and_infinity() -> None:
    assert Latencies.of([1.0, 2.0, 3.0]).estimate(0.5, 3, 0.001) == Estimate(2.0, 0.0, math.inf)


@pytest.mark.parametrize("n", range(3, 40))
def test_the_first_and_the_last_value_are_limits_like_any_other(n: int) -> None:
    low, high = wilson(0.5, n, 0.05)
    below, above = math.floor(low * n), math.ceil(high * n) + 1

    estimate = Latencies.of(range(1, n + 1)).estimate(0.5, n, 0.05)

    assert estimate.lower == below  # the value of that rank, and 0 if there is none
    assert estimate.upper == (above if above <= n else math.inf)


def test_a_smaller_effective_number_widens_the_limits() -> None:
    found = Latencies.of(range(1, 1_001))

    assert found.estimate(0.95, 100, 0.05).lower < found.estimate(0.95, 1_000, 0.05).lower
    assert found.estimate(0.95, 100, 0.05).upper > found.estimate(0.95, 1_000, 0.05).upper


def test_what_is_not_a_number_is_refused() -> None:
    with pytest.raises(InvalidValue, match="counts as \\+inf"):
        Latencies.of([1.0, math.nan])


def test_no_requests_have_no_quantile() -> None:
    with pytest.raises(InvalidValue, match="no requests"):
        Latencies.of([]).quantile(0.5)
