from __future__ import annotations

import pytest

from chaos.errors import InvalidValue
from chaos.stats.levels import ALPHA_HELD, ALPHA_RUN, alpha_violated


def test_held_and_shown_bounds_are_wrong_once_in_twenty_times() -> None:
    assert (ALPHA_HELD, ALPHA_RUN) == (0.05, 0.05)


@pytest.mark.parametrize(("experiments", "claim", "level"), [(1, 1, 0.025), (1, 2, 0.05 / 6), (10, 1, 0.0025), (72, 3, 0.05 / 864)])
def test_level_of_a_claim(experiments: int, claim: int, level: float) -> None:
    assert alpha_violated(experiments=experiments, claim=claim) == pytest.approx(level)


def test_levels_of_all_claims_of_a_run_add_up_to_five_percent() -> None:
    levels = [alpha_violated(experiments=7, claim=claim) for claim in range(1, 10_000)] * 7

    assert 0.0499 < sum(levels) < 0.05


@pytest.mark.parametrize(("experiments", "claim"), [(0, 1), (1, 0)])
def test_counting_starts_at_one(experiments: int, claim: int) -> None:
    with pytest.raises(InvalidValue, match="counted from 1"):
        alpha_violated(experiments=experiments, claim=claim)
