"""How long do we wait, and for what? Deadlines, polling and back-off: the only place in the project that waits.

Times are those of the monotonic clock everywhere; `Pairing` turns them into the wall-clock times of Envoy's logs and back.
`chaos.testing` puts a time of its own in place, which passes as fast as it is waited for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

T = TypeVar("T")

NS = 1_000_000_000


class Time(Protocol):
    """Where time comes from."""

    def now(self) -> int:
        """Monotonic ns."""

    def wall(self) -> int:
        """Nanoseconds since 1970."""

    def pause(self, seconds: float, unless: threading.Event | None) -> bool:
        """Let time pass; True when `unless` was set and cut the wait short."""


class RealTime:
    """Of this machine."""

    def now(self) -> int:
        return time.monotonic_ns()

    def wall(self) -> int:
        return time.time_ns()

    def pause(self, seconds: float, unless: threading.Event | None) -> bool:
        if unless is not None:
            return unless.wait(max(0.0, seconds))
        if seconds > 0:
            time.sleep(seconds)  # noqa: TID251 - the one place
        return False


_time: Time = RealTime()


def use(other: Time) -> Time:
    """Take time from somewhere else from now on, in this process. Returns where it came from before."""
    global _time
    before, _time = _time, other
    return before


def now() -> int:
    """Nanoseconds of the monotonic clock, shared by every process of the machine since its boot."""
    return _time.now()


@dataclass(frozen=True, slots=True)
class Pairing:
    """One (monotonic, wall) pair, taken once per process, so that a step of the wall clock cannot bend a window."""

    monotonic: int
    wall: int

    @classmethod
    def taken(cls) -> Pairing:
        before = now()
        wall = _time.wall()
        return cls(monotonic=(before + now()) // 2, wall=wall)

    def monotonic_of(self, wall_ns: int) -> int:
        return wall_ns - self.wall + self.monotonic

    def wall_of(self, monotonic_ns: int) -> int:
        return monotonic_ns - self.monotonic + self.wall


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment after which waiting is over."""

    at: int

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(now() + int(seconds * NS))

    @property
    def left(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, (self.at - now()) / NS)

    @property
    def passed(self) -> bool:
        return now() >= self.at


def pause(seconds: float, *, unless: threading.Event | None = None) -> bool:
    """Wait; True when `unless` was set and cut the wait short."""
    return _time.pause(seconds, unless)


def wait_until(at: int, *, unless: threading.Event | None = None) -> bool:
    """Wait until the monotonic moment `at` (ns); True when `unless` was set first."""
    return pause((at - now()) / NS, unless=unless)


def steps(first: float, *, factor: float = 2.0, most: float = 1.0) -> Iterator[float]:
    """Back-off: first, first*factor, ... never above `most` seconds."""
    step = first
    while True:
        yield step
        step = min(step * factor, most)


def poll(
    probe: Callable[[], T | None],
    *,
    deadline: Deadline,
    first: float = 0.0005,
    most: float = 0.05,
    unless: threading.Event | None = None,
) -> T | None:
    """Call `probe` until it returns something true, with growing pauses; None when the deadline passed first.

    `probe` is called at least once, and once more after the deadline, so that a slow machine never turns a success into a time-out.
    """
    for step in steps(first, most=most):
        over = deadline.passed
        found = probe()
        if found:
            return found
        if over:
            return None
        if pause(min(step, max(deadline.left, 0.0)), unless=unless):
            return None
    return None  # pragma: no cover - steps() is endless
