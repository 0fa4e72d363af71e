"""Against SciPy, which computes the same by other means."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import special as oracle
from scipy import stats

from chaos.stats import special

repeatable = settings(deadline=None, derandomize=True, max_examples=50)

shapes = st.floats(0.01, 5e4)
levels = st.floats(1e-9, 0.5)


@repeatable
@given(st.floats(1e-6, 1 - 1e-6), shapes, shapes)
def test_incomplete_beta(x: float, a: float, b: float) -> None:
    expected = float(oracle.betainc(a, b, x))
    assume(expected > 1e-200)

    assert special.beta(x, a, b) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(
    ("x", "a", "b", "expected"),
    [(0.0, 2, 3, 0.0), (1.0, 2, 3, 1.0), (0.5, 0, 3, 1.0), (0.5, 3, 0, 0.0)],
    ids=["x=0", "x=1", "a=0", "b=0"],
)
def test_limits_of_incomplete_beta(x: float, a: float, b: float, expected: float) -> None:
    assert special.beta(x, a, b) == expected


@pytest.mark.parametrize("bad", [9_500, 10_000, 10_600])
def test_tails_of_a_million_requests(bad: int) -> None:
    n, p = 1_000_000, 0.01

    assert special.at_most(bad, n, p) == pytest.approx(stats.binom.cdf(bad, n, p), rel=1e-7)
    assert special.at_least(bad, n, p) == pytest.approx(stats.binom.sf(bad - 1, n, p), rel=1e-7)


@repeatable
@given(st.integers(1, 3_000), st.floats(1e-5, 1 - 1e-5), st.data())
def test_binomial_tails(n: int, p: float, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    below, above = float(stats.binom.cdf(k, n, p)), float(stats.binom.sf(k - 1, n, p))

    assert special.at_most(k, n, p) == pytest.approx(below, rel=1e-7, abs=1e-200)
    assert special.at_least(k, n, p) == pytest.approx(above, rel=1e-7, abs=1e-200)


def test_small_tails_keep_their_precision() -> None:
    assert special.at_least(60, 1_000, 0.01) == pytest.approx(stats.binom.sf(59, 1_000, 0.01), rel=1e-9)
    assert special.at_most(400, 1_000, 0.99) == pytest.approx(stats.binom.cdf(400, 1_000, 0.99), rel=1e-9)


@repeatable
@given(st.integers(1, 2_000), levels, st.data())
def test_bounds_are_those_of_clopper_and_pearson(n: int, alpha: float, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    upper = float(stats.beta.isf(alpha, k + 1, n - k)) if k < n else 1.0
    lower = float(stats.beta.ppf(alpha, k, n - k + 1)) if k else 0.0

    assert special.upper_bound(k, n, alpha) == pytest.approx(upper, rel=1e-7)
    assert special.lower_bound(k, n, alpha) == pytest.approx(lower, rel=1e-7, abs=1e-12)


@pytest.mark.parametrize(("k", "n"), [(0, 60), (1, 299), (37, 400), (400, 400)])
def test_bounds_at_the_printed_level_agree_with_binomtest(k: int, n: int) -> None:
    at_most = stats.binomtest(k, n, alternative="less").proportion_ci(0.95, method="exact")
    at_least = stats.binomtest(k, n, alternative="greater").proportion_ci(0.95, method="exact")

    assert special.upper_bound(k, n, 0.05) == pytest.approx(at_most.high)
    assert special.lower_bound(k, n, 0.05) == pytest.approx(at_least.low)


def test_bounds_of_nothing_are_everything() -> None:
    assert (special.lower_bound(0, 0, 0.05), special.upper_bound(0, 0, 0.05)) == (0.0, 1.0)


@repeatable
@given(levels, st.integers(1, 200))
def test_quantiles_of_student(alpha: float, degrees: int) -> None:
    assume(degrees > 2 or alpha > 1e-6)

    assert special.t_quantile(alpha, degrees) == pytest.approx(float(stats.t.isf(alpha, degrees)), rel=1e-6, abs=1e-9)


@repeatable
@given(st.floats(1e-12, 0.999))
def test_quantiles_and_tail_of_the_normal(alpha: float) -> None:
    assert special.z(alpha) == pytest.approx(float(stats.norm.isf(alpha)), rel=1e-9, abs=1e-9)
    assert special.normal_tail(special.z(alpha)) == pytest.approx(alpha, rel=1e-9)
