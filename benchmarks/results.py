"""What does a benchmark say? One figure, its goal, and whether it is met."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """`name` is what was measured, `goal` what was hoped for, in words; `met` compares `value` (in `unit`) with it."""

    name: str
    value: float
    unit: str
    goal: str
    met: bool

    def __str__(self) -> str:
        return f"{self.name}: {self.value:g} {self.unit} (goal: {self.goal}{'' if self.met else ', NOT MET'})"
