from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.clock import NS
from chaos.load.locust.schedule import Schedule
from chaos.load.port import OpenModel

models = st.builds(
    OpenModel,
    st.floats(0.01, 10_000),
    st.sampled_from(["even", "poisson"]),
    st.integers(0, 5),
)


@given(models, st.integers(0, 200))
def test_an_arrival_is_before_the_moment_after_it(model: OpenModel, index: int) -> None:
    schedule = Schedule.of(model)
    offset = schedule.offset(index)

    assert schedule.before(offset) <= index < schedule.before(offset + 1)


@given(models)
def test_arrivals_never_go_back(model: OpenModel) -> None:
    schedule = Schedule.of(model)

    assert all(a <= b for a, b in pairwise(schedule.offset(i) for i in range(50)))
    assert schedule.offset(0) == schedule.before(0) == schedule.before(-NS) == 0


@pytest.mark.parametrize("rate", [3.0, 7.0, 0.1, 333.333])
def test_even_arrivals_count_exactly_at_the_moments_they_are_due(rate: float) -> None:
    schedule = Schedule.of(OpenModel(rate))

    assert [schedule.before(schedule.offset(i)) for i in range(5_000)] == list(range(5_000))


def test_even_arrivals_keep_the_rate_for_days() -> None:
    schedule = Schedule.of(OpenModel(500.0))

    assert schedule.offset(500 * 86_400 * 3) == 3 * 86_400 * NS
    assert schedule.before(3 * 86_400 * NS) == 500 * 86_400 * 3


def test_poisson_arrivals_are_the_same_on_both_sides_in_whatever_order_they_are_asked_for() -> None:
    child, parent = Schedule.of(OpenModel(50.0, "poisson", 4)), Schedule.of(OpenModel(50.0, "poisson", 4))
    count = parent.before(2 * NS)

    assert [child.offset(i) for i in range(count)] == [parent.offset(i) for i in range(count)]
    assert child.offset(count) >= 2 * NS


def test_poisson_arrivals_have_the_rate_and_the_scatter_of_their_name() -> None:
    schedule = Schedule.of(OpenModel(100.0, "poisson", 1))
    gaps = [b - a for a, b in pairwise(schedule.offset(i) for i in range(10_000))]
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5

    # Mean and standard deviation of an exponential are equal; 10,000 gaps scatter by 1 % and 1.4 %.
    assert mean / (NS / 100) == pytest.approx(1, abs=0.05)
    assert spread / mean == pytest.approx(1, abs=0.07)
