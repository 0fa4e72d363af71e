"""Time passes when it is waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from chaos import clock
from chaos.clock import NS, Deadline, Pairing, poll, use
from chaos.testing.passing_time import PassingTime


@pytest.fixture(autouse=True)
def passing() -> Iterator[PassingTime]:
    passing = PassingTime()
    before = use(passing)
    yield passing
    assert use(before) is passing


def test_it_stands_still() -> None:
    assert clock.now() == clock.now()


def test_an_hour_takes_no_time() -> None:
    real, virtual = time.monotonic(), clock.now()
    assert clock.pause(3600) is False

    assert clock.now() - virtual == 3600 * NS
    assert time.monotonic() - real < 5


def test_the_wall_goes_with_it() -> None:
    before = Pairing.taken()
    clock.pause(60)
    after = Pairing.taken()

    assert after.wall - before.wall == after.monotonic - before.monotonic == 60 * NS


def test_deadlines_pass() -> None:
    asked: list[int] = []
    assert poll(lambda: asked.append(clock.now()), deadline=Deadline.after(1), most=0.1) is None

    assert asked[-1] - asked[0] == NS


def test_what_cuts_a_wait_short_is_looked_at_first() -> None:
    bell = threading.Event()
    bell.set()
    before = clock.now()

    assert clock.pause(60, unless=bell) is True
    assert clock.now() == before


def test_threads_in_the_background_follow() -> None:
    seen: list[int] = []
    start = clock.now()
    watch = threading.Thread(target=lambda: (clock.pause(5), seen.append(clock.now())), daemon=True)
    watch.start()
    assert seen == []
    clock.pause(10)
    watch.join(timeout=5)

    assert seen == [start + 10 * NS]


def test_threads_in_the_background_can_be_called_off() -> None:
    bell, ended = threading.Event(), []
    watch = threading.Thread(target=lambda: ended.append(clock.pause(5, unless=bell)), daemon=True)
    watch.start()
    bell.set()
    watch.join(timeout=5)

    assert ended == [True]
