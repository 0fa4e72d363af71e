from __future__ import annotations

import pytest
from scipy import stats

from chaos.errors import InvalidValue
from chaos.stats.planning import planned_requests


@pytest.mark.parametrize(("allowed", "requests"), [(0.05, 59), (0.01, 299), (0.001, 2_995), (0.0, 299)])
def test_no_failures_expected(allowed: float, requests: int) -> None:
    assert planned_requests(allowed) == requests


def test_dependence_multiplies() -> None:
    assert planned_requests(0.05, design_effect=1.5) == 89


@pytest.mark.parametrize(("expected", "power", "requests"), [(0.002, 0.9, 773), (0.002, 0.95, 913), (0.005, 0.95, 3_137)])
def test_failures_expected_of_a_claim_of_99_percent(expected: float, power: float, requests: int) -> None:
    assert planned_requests(0.01, expected=expected, power=power) == requests


@pytest.mark.parametrize(
    ("allowed", "expected"), [(0.01, 0.0001), (0.01, 0.004), (0.01, 0.008), (0.05, 0.02), (0.3, 0.1), (0.001, 0.0002)]
)
def test_the_exact_rule_has_the_power(allowed: float, expected: float) -> None:
    n = planned_requests(allowed, expected=expected)
    most_bad = int(stats.binom.ppf(0.05, n, allowed))
    while stats.binom.cdf(most_bad, n, allowed) > 0.05:
        most_bad -= 1

    assert stats.binom.cdf(most_bad, n, expected) >= 0.9
    spread = stats.norm.isf(0.05) * (allowed * (1 - allowed)) ** 0.5 + stats.norm.isf(0.1) * (expected * (1 - expected)) ** 0.5
    normal = (spread / (allowed - expected)) ** 2
    assert normal <= n
    assert n <= 1.5 * normal + 300 * 0.01 / allowed


@pytest.mark.parametrize("expected", [0.01, 0.02, -0.1])
def test_what_is_not_better_than_allowed_cannot_be_shown(expected: float) -> None:
    with pytest.raises(InvalidValue, match="no load can show"):
        planned_requests(0.01, expected=expected)


@pytest.mark.parametrize(
    ("expected", "alpha_held", "requests"),
    [(0.0, 0.05, 59), (0.0001, 0.05, 59), (0.0005, 0.05, 62), (0.0, 0.01, 90), (0.0001, 0.01, 109), (0.005, 0.01, 177)],
)
def test_few_failures_expected_of_a_claim_of_95_percent(expected: float, alpha_held: float, requests: int) -> None:
    assert planned_requests(0.05, expected=expected, alpha_held=alpha_held) == requests
