"""What changes slowly? Ten consecutive blocks of a window: neighbours depend on each other, blocks hardly do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

BLOCKS: Final = 10

S = TypeVar("S", bound=Sequence[object])


def consecutive(values: S) -> list[S]:
    """The first `BLOCKS` slices of equal size; what does not fill another one is left out (under 10 values: all)."""
    size = len(values) // BLOCKS
    return [values[start : start + size] for start in range(0, size * BLOCKS, size)] if size else []  # type: ignore[misc]
