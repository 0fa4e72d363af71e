import math
import random

import pytest

from chaos.stats.runs import expected_draws


@pytest.mark.parametrize(
    ("p", "run", "draws"), [(1, 5, 5), (0.5, 1, 2), (0.5, 2, 6), (0.5, 5, 62), (0.1, 3, 1110), (0, 3, math.inf)]
)
def test_known_means(p: float, run: int, draws: float) -> None:
    assert expected_draws(p, run) == pytest.approx(draws)


def test_it_is_what_drawing_comes_to() -> None:
    draw = random.Random(7)

    def until(run: int, p: float) -> int:
        row = count = 0
        while row < run:
            count += 1
            row = row + 1 if draw.random() < p else 0
        return count

    assert sum(until(3, 0.6) for _ in range(20_000)) / 20_000 == pytest.approx(expected_draws(0.6, 3), rel=0.03)


def test_what_can_hardly_happen_takes_for_ever() -> None:
    assert expected_draws(1e-6, 100) == math.inf
