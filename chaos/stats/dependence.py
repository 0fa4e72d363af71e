"""How many independent requests is a window worth? The design effect D: n requests count as n/D.

Requests behind one queue, or in one outage, fail together; intervals that take them for independent call 30 to 78 % of
boundary cases "held" (measured behind a queue at a load of .5 to .9). D is the largest of what shows itself: a share that
varies more between ten consecutive blocks than chance would have it, episodes of neighbouring failures, and the burst
length that the author declares. No formula sees bursts that did not happen: `shares` says how long they may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress, pairwise
from typing import Final

from chaos.stats.blocks import BLOCKS, consecutive
from chaos.stats.quantiles import Latencies

_INFLATION: Final = 1.5
"""Ten blocks estimate a variance roughly: one that is seen at all is taken for half as large again."""
_SEEN: Final = 1.5
_SEEN_RUNNING: Final = 2.0  # looks are many, and each has its chance of a large estimate
_WATCHED_QUANTILES: Final = (0.5, 0.75, 0.9)
_LONGEST_GAP: Final = 10
_GAP_TO_SPACING: Final = 0.1


def share_design_effect(bad: bytes, *, burst: float = 1.0) -> float:
    """D of a share over a whole window. `bad`: one byte per request, 1 = bad; `burst`: declared mean length of bursts."""
    return _inflated(max(block_design_effect(bad), episode_design_effect(bad), declared_design_effect(burst)))


def running_share_design_effect(bad: bytes, *, burst: float = 1.0) -> float:
    """D of a share at one look of a sequential judgement."""
    seen = max(block_design_effect(bad), episode_design_effect(bad))
    return max(declared_design_effect(burst), _INFLATION * seen if seen > _SEEN_RUNNING else 1.0)


def latency_design_effect(latencies: Latencies, *, bound: float | None = None) -> float:
    """D of latencies; with `bound`, also that of the share above it (comparisons have none)."""
    if not len(latencies):
        return 1.0
    bounds = [latencies.quantile(q) for q in _WATCHED_QUANTILES] + ([] if bound is None else [bound])
    size = len(latencies) // BLOCKS
    return _inflated(max(_block_design_effect(latencies.above_in_blocks(bound), size) for bound in bounds))


def declared_design_effect(burst: float) -> float:
    """D of failures that come in bursts of geometric length with this mean."""
    return 2 * burst - 1


def block_design_effect(bits: bytes) -> float:
    """How many times more a share varies between ten consecutive blocks than that of independent requests would."""
    return _block_design_effect([block.count(1) for block in consecutive(bits)], len(bits) // BLOCKS)


def episode_design_effect(bad: bytes) -> float:
    """The size of the episode that the average bad request is in; neighbours a tenth of the mean spacing apart belong together."""
    count = bad.count(1)
    gap = int(min(_LONGEST_GAP, _GAP_TO_SPACING * len(bad) / count)) if count else 0
    if gap == 0:  # none, or so many that neighbours say nothing
        return 1.0
    sizes = [1]
    for before, after in pairwise(compress(range(len(bad)), bad)):
        if after - before <= gap:
            sizes[-1] += 1
        else:
            sizes.append(1)
    return sum(size * size for size in sizes) / count


def _block_design_effect(counts: Sequence[int], size: int) -> float:
    total, all_of_them = sum(counts), BLOCKS * size
    if not 0 < total < all_of_them:
        return 1.0
    share = total / all_of_them
    variance = sum((count - size * share) ** 2 for count in counts) / (BLOCKS - 1)
    return max(1.0, variance / (size * share * (1 - share)))


def _inflated(design_effect: float) -> float:
    return _INFLATION * design_effect if design_effect > _SEEN else design_effect
