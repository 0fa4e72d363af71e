from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from chaos.errors import InvalidValue
from chaos.stats.proof import attempts_needed, prove


@pytest.mark.parametrize(("percent", "attempts"), [(0.1, 6_905), (1, 688), (5, 135), (10, 66), (30, 20), (50, 10), (100, 1)])
def test_attempts_that_a_fault_needs(percent: float, attempts: int) -> None:
    assert attempts_needed(percent / 100) == attempts


@pytest.mark.parametrize(
    ("flagged", "attempts", "probability", "reason"),
    [
        (1, 1, 1.0, ""),
        (500, 500, 1.0, ""),
        (0, 0, 1.0, "only 0 attempts"),
        (499, 500, 1.0, "does not explain"),
        (0, 500, 1.0, "none of 500"),
        (7, 66, 0.1, ""),
        (6, 65, 0.1, "needs 66 attempts"),
        (0, 66, 0.1, "none of 66"),
        (1, 66, 0.1, ""),
        (22, 66, 0.1, "22 of 66 attempts were hit (33.3333%), which a fault of 10.0000% does not explain"),
        (50, 1_000, 0.1, "does not explain"),
        (100, 1_000, 0.1, ""),
        (150, 1_000, 0.1, "does not explain"),
    ],
    ids=str,
)
def test_proof_of_injection(flagged: int, attempts: int, probability: float, reason: str) -> None:
    proof = prove(flagged, attempts, probability)

    assert proof.proven == (not reason)
    assert reason in proof.reason


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.integers(0, 2_000), st.floats(0.001, 0.999), st.data())
def test_the_tail_is_two_sided(attempts: int, probability: float, data: st.DataObject) -> None:
    flagged = data.draw(st.integers(0, attempts))
    below = stats.binom.cdf(flagged, attempts, probability)
    above = stats.binom.sf(flagged - 1, attempts, probability)

    proof = prove(flagged, attempts, probability)

    assert (proof.flagged, proof.attempts, proof.probability) == (flagged, attempts, probability)
    assert proof.needed == attempts_needed(probability)
    assert proof.tail == pytest.approx(min(1.0, 2 * min(below, above)), rel=1e-6, abs=1e-200)
    assert proof.proven == ((1 - probability) ** attempts <= 1e-3 and flagged >= 1 and proof.tail >= 1e-4)


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.1])
def test_probabilities_that_no_fault_has(probability: float) -> None:
    with pytest.raises(InvalidValue, match="above 0"):
        attempts_needed(probability)


@pytest.mark.parametrize(("flagged", "attempts"), [(2, 1), (-1, 1)])
def test_counts_that_cannot_be(flagged: int, attempts: int) -> None:
    with pytest.raises(InvalidValue, match="cannot have been hit"):
        prove(flagged, attempts, 0.5)
