from __future__ import annotations

import pytest

from chaos.stats.blocks import consecutive


def test_ten_blocks_of_one_size_and_the_rest_left_out() -> None:
    assert consecutive(bytes(range(29))) == [bytes([2 * i, 2 * i + 1]) for i in range(10)]


@pytest.mark.parametrize("size", [0, 9])
def test_too_few_for_blocks(size: int) -> None:
    assert consecutive([1.0] * size) == []
