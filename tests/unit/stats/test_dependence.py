from __future__ import annotations

import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.stats import dependence
from chaos.stats.quantiles import Latencies

repeatable = settings(deadline=None, derandomize=True, max_examples=50)

bits = st.lists(st.sampled_from(b"\0\0\0\1"), max_size=400).map(bytes)
rare_bits = st.builds(
    lambda size, bad: bytes(i in bad for i in range(size)), st.integers(0, 600), st.sets(st.integers(0, 599), max_size=12)
)
independent = bytes(i % 10 == 0 for i in range(1_000))
"""One of ten, evenly: less variable than chance."""
outage = bytes(900) + b"\1" * 100


def by_definition(values: bytes) -> float:
    size = len(values) // 10
    blocks = [sum(values[size * block : size * (block + 1)]) for block in range(10)]
    if not size or sum(blocks) in (0, 10 * size):
        return 1.0
    share = sum(blocks) / (10 * size)
    return max(1.0, 10 * statistics.variance(blocks) / (10 * size * share * (1 - share)))


def episodes_by_definition(bad: bytes) -> float:
    positions = [i for i, bit in enumerate(bad) if bit]
    if not positions:
        return 1.0
    gap = int(min(10, 0.1 * len(bad) / len(positions)))
    sizes: list[int] = []
    for i, position in enumerate(positions):
        if i and position - positions[i - 1] <= gap:
            sizes[-1] += 1
        else:
            sizes.append(1)
    return sum(size**2 for size in sizes) / sum(sizes)


@repeatable
@given(bits)
def test_block_design_effect_is_the_variance_of_ten_blocks_over_the_binomial_one(values: bytes) -> None:
    assert dependence.block_design_effect(values) == pytest.approx(by_definition(values))


@repeatable
@given(st.one_of(bits, rare_bits))
def test_episode_design_effect(bad: bytes) -> None:
    assert dependence.episode_design_effect(bad) == pytest.approx(episodes_by_definition(bad))


def at(size: int, *positions: int) -> bytes:
    return bytes(i in positions for i in range(size))


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (bytes(1_000), 1.0),
        (at(1_000, 5), 1.0),
        (at(1_000, 5, 15), 2.0),
        (at(1_000, 5, 16), 1.0),
        (at(1_000, 5, 15, 25, 500), 10 / 4),
        (at(60, 10, 13), 2.0),
        (at(60, 10, 14), 1.0),
        (b"\1" * 100, 1.0),
    ],
    ids=["none", "one", "ten apart", "eleven apart", "a chain and one", "a tenth of 30 apart", "a bit more", "all"],
)
def test_episodes_of_neighbouring_failures(bad: bytes, expected: float) -> None:
    assert dependence.episode_design_effect(bad) == pytest.approx(expected)


def test_an_outage_in_one_block_counts_as_few_requests() -> None:
    assert dependence.block_design_effect(outage) == pytest.approx(1_000 / 9)


def test_the_largest_sign_of_dependence_counts() -> None:
    two_pairs = at(10_000, 5, 6, 5_000, 5_001)

    assert dependence.share_design_effect(independent) == 1.0
    assert dependence.share_design_effect(two_pairs) == pytest.approx(1.5 * max(by_definition(two_pairs), 2.0))
    assert dependence.share_design_effect(independent, burst=3) == pytest.approx(1.5 * 5)
    assert dependence.share_design_effect(outage) == pytest.approx(1.5 * by_definition(outage))


def test_a_small_design_effect_is_not_inflated() -> None:
    bad = bytes(i % 10 == 0 and i // 100 != 4 for i in range(1_000)) + bytes(9)
    seen = by_definition(bad)

    assert 1.0 < seen <= 1.5
    assert dependence.share_design_effect(bad) == pytest.approx(seen)
    assert dependence.running_share_design_effect(bad) == 1.0


@pytest.mark.parametrize(
    ("bad", "burst", "expected"),
    [
        (at(1_000, 95, 105), 1.0, 1.0),
        (at(1_000, 95, 105, 115), 1.0, 1.5 * 3),
        (at(1_000, 95, 105, 115, 400, 700), 1.0, 1.5 * 11 / 5),
        (at(1_000, 95, 105, 115), 4.0, 7.0),
        (bytes(1_000), 4.0, 7.0),
    ],
    ids=["2 is not above 2", "above 2", "just above 2", "declared longer", "declared, none seen"],
)
def test_design_effect_at_a_look(bad: bytes, burst: float, expected: float) -> None:
    assert dependence.running_share_design_effect(bad, burst=burst) == pytest.approx(expected)


@repeatable
@given(st.lists(st.floats(0, 10), min_size=20, max_size=300), st.floats(0, 10))
def test_latencies_are_watched_at_their_quantiles_and_at_the_bound(values: list[float], bound: float) -> None:
    latencies = Latencies.of(values)
    quantiles = [latencies.quantile(q) for q in (0.5, 0.75, 0.9)]

    def expected(bounds: list[float]) -> float:
        largest = max(by_definition(bytes(value > bound for value in values)) for bound in bounds)
        return largest * 1.5 if largest > 1.5 else largest

    assert dependence.latency_design_effect(latencies) == pytest.approx(expected(quantiles))
    assert dependence.latency_design_effect(latencies, bound=bound) == pytest.approx(expected([*quantiles, bound]))


def test_no_latencies_depend_on_nothing() -> None:
    assert dependence.latency_design_effect(Latencies.of([])) == 1.0


def test_an_effect_of_one_and_a_half_is_not_seen_yet() -> None:
    """Episodes of 1, 1 and 2 in 100: (1 + 1 + 4) / 4."""
    bad = bytearray(100)
    for at in (5, 45, 85, 86):
        bad[at] = 1

    assert dependence.episode_design_effect(bytes(bad)) == 1.5
    assert dependence.share_design_effect(bytes(bad)) == 1.5
