from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from chaos.stats.mover import Estimate, contrast, mover, wilson

repeatable = settings(deadline=None, derandomize=True, max_examples=50)
inf = math.inf

estimates = st.tuples(*[st.floats(0, 100)] * 3).map(lambda three: Estimate(sorted(three)[1], min(three), max(three)))
terms = st.lists(st.tuples(st.sampled_from([-1, 1]), estimates), min_size=1, max_size=4)


@repeatable
@given(st.integers(1, 5_000), st.floats(1e-9, 0.4), st.data())
def test_wilson(n: int, alpha: float, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    two_sided = stats.binomtest(k, n).proportion_ci(1 - 2 * alpha, method="wilson")

    assert wilson(k / n, n, alpha) == pytest.approx((two_sided.low, two_sided.high), rel=1e-6, abs=1e-9)


def test_limits_of_a_difference() -> None:
    b, a = Estimate(10.0, 7.0, 12.0), Estimate(6.0, 5.0, 10.0)

    found = mover([(1, b), (-1, a)])

    assert found == Estimate(4.0, 4.0 - math.hypot(3.0, 4.0), 4.0 + math.hypot(2.0, 1.0))


def test_limits_of_a_difference_in_differences() -> None:
    cells = [Estimate(10.0, 9.0, 12.0), Estimate(1.0, 0.0, 3.0), Estimate(5.0, 4.0, 7.0), Estimate(2.0, 1.0, 4.0)]

    found = mover(list(zip((1, -1, -1, 1), cells, strict=True)))

    assert found.value == 6.0
    assert found.lower == pytest.approx(6.0 - math.sqrt(1 + 4 + 4 + 1))
    assert found.upper == pytest.approx(6.0 + math.sqrt(4 + 1 + 1 + 4))


@repeatable
@given(terms)
def test_limits_contain_the_sum_and_mirror_it(sums: list[tuple[int, Estimate]]) -> None:
    found = mover(sums)
    mirrored = mover([(-sign, estimate) for sign, estimate in sums])

    assert found.lower <= found.value <= found.upper
    assert (mirrored.lower, mirrored.value, mirrored.upper) == pytest.approx((-found.upper, -found.value, -found.lower))


@pytest.mark.parametrize(
    ("b", "a", "lower", "upper"),
    [
        (Estimate(5.0, 4.0, inf), Estimate(3.0, 3.0, 3.0), 1.0, inf),
        (Estimate(5.0, 4.0, 6.0), Estimate(3.0, 3.0, inf), -inf, 3.0),
        (Estimate(inf, 4.0, inf), Estimate(3.0, 3.0, 3.0), -inf, inf),
        (Estimate(inf, inf, inf), Estimate(3.0, 2.0, 4.0), inf, inf),
        (Estimate(3.0, 2.0, 4.0), Estimate(inf, inf, inf), -inf, -inf),
        (Estimate(inf, inf, inf), Estimate(inf, inf, inf), -inf, inf),
        (Estimate(inf, 1.0, inf), Estimate(inf, 1.0, inf), -inf, inf),
    ],
    ids=[
        "no upper limit",
        "none of the other",
        "may be infinite",
        "surely infinite",
        "surely minus infinite",
        "both",
        "both perhaps",
    ],
)
def test_infinite_values(b: Estimate, a: Estimate, lower: float, upper: float) -> None:
    found = mover([(1, b), (-1, a)])

    assert (found.lower, found.upper) == (lower, upper)


def test_logarithms_of_nothing_and_everything() -> None:
    assert Estimate(1.0, 0.0, inf).log() == Estimate(0.0, -inf, inf)


def test_a_contrast_has_its_limits_at_both_levels() -> None:
    found = contrast(
        "bad share",
        "share",
        [(1, lambda alpha: Estimate(0.5, 0.5 - 1 / alpha, 0.5 + 1 / alpha)), (-1, lambda alpha: Estimate(0.2, 0.2, 0.2))],
        margin=0.01,
        alpha_held=0.5,
        alpha_violated=0.1,
    )

    assert found.parts == (0.5, 0.2)
    assert found.value == pytest.approx(0.3)
    assert (found.at_held.lower, found.at_held.upper) == pytest.approx((0.3 - 2, 0.3 + 2))
    assert (found.at_violated.lower, found.at_violated.upper) == pytest.approx((0.3 - 10, 0.3 + 10))


@pytest.mark.parametrize(
    ("held", "violated", "shown"),
    [
        (Estimate(0, -1, 1), Estimate(0, -2, 2), {"not_worse", "not_better"}),
        (Estimate(0, -1.1, 1), Estimate(0, -2, 2), {"not_worse"}),
        (Estimate(0, -1, 1.1), Estimate(0, -2, 2), {"not_better"}),
        (Estimate(3, 2, 4), Estimate(3, 1.1, 5), {"worse", "not_better"}),
        (Estimate(3, 2, 4), Estimate(3, 1, 5), {"not_better"}),
        (Estimate(-3, -4, -2), Estimate(-3, -5, -1.1), {"better", "not_worse"}),
        (Estimate(-3, -4, -2), Estimate(-3, -5, -1), {"not_worse"}),
    ],
)
def test_what_a_contrast_shows_against_its_margin(held: Estimate, violated: Estimate, shown: set[str]) -> None:
    levels = {0.05: held, 0.01: violated}
    found = contrast("p50", "s", [(1, levels.__getitem__)], margin=1.0, alpha_held=0.05, alpha_violated=0.01)

    assert {name for name in ("worse", "better", "not_worse", "not_better") if getattr(found, name)} == shown
