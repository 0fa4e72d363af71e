"""How long does a claim take on a million requests, and after how many is one of 99 % decided while they arrive?

    python -m benchmarks claims

The first four judge a window that nobody has judged yet; the ten judge one window together, as those of one experiment do.
"""

from __future__ import annotations

import tracemalloc
from array import array
from collections.abc import Callable, Iterable
from random import Random
from typing import Final

from benchmarks.results import Result
from chaos.claims.expect import WindowClaims, expect
from chaos.clock import NS, now
from chaos.model.samples import COLUMNS, Samples
from chaos.model.window import Window
from chaos.stats.levels import alpha_violated
from chaos.stats.sequential import SHARE_LOOKS, ShareWatch
from chaos.testing.evidence import closed, window

REQUESTS: Final = 1_000_000
RUNS: Final = 101
LONGEST: Final = 20_000
MEDIANS: Final = {0: 367, 0.2: 721, 0.5: 2504, 2: 1282, 10: 50}
"""Of verdicts.md rule 5, by percent of errors."""
FIXED: Final = {0: 299, 0.2: 913, 0.5: 3137, 2: 1567, 10: 61}
"""The fixed window with the same error rates."""


def judging() -> Iterable[Result]:
    other = million("window 1")
    claims: dict[str, Callable[[WindowClaims], object]] = {
        "to_succeed": lambda claims: claims.to_succeed(),
        "to_respond_within": lambda claims: claims.to_respond_within("1s"),
        "to_return": lambda claims: claims.to_return(status=200),
        "not_to_differ_from (two windows)": lambda claims: claims.not_to_differ_from(other),
    }
    for name, claim in claims.items():
        held = million("window 2")
        before = now()
        claim(expect(held, soft=True))
        seconds = (now() - before) / NS
        goal = 3 if "two windows" in name else 1
        yield Result(f"{name} on a million requests", round(seconds, 2), "s", f"at most {goal}", met=seconds <= goal)


TEN: Final[tuple[Callable[[WindowClaims], object], ...]] = (
    lambda claims: claims.to_succeed("99%"),
    lambda claims: claims.to_succeed("99.9%", burst=5),
    lambda claims: claims.to_sustain("990/s"),
    lambda claims: claims.to_respond_within("1s"),
    lambda claims: claims.to_respond_within("2s", at="p99"),
    lambda claims: claims.to_respond_within("200ms", at="p50"),
    lambda claims: claims.to_respond_within("1s", of="ok"),
    lambda claims: claims.to_return(status=200),
    lambda claims: claims.to_return(status=(200, 204), at_least="99.9%"),
)


def ten_claims() -> Iterable[Result]:
    """Nine on the window alone and a comparison; memory is what judging takes beyond the samples themselves."""
    held, other = million("window 2"), million("window 1")
    tracemalloc.start()
    _judge_ten(held, other)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    held, other = million("window 2"), million("window 1")
    before = now()
    _judge_ten(held, other)
    seconds = (now() - before) / NS
    yield Result("ten claims on a million requests", round(seconds, 2), "s", "at most 10", met=seconds <= 10)
    yield Result("memory for that, beside the samples", round(peak), "MiB at most", "informative", met=True)


def _judge_ten(held: Window, other: Window) -> None:
    for claim in TEN:
        claim(expect(held, soft=True))
    expect(held, soft=True).not_to_differ_from(other)


def million(name: str) -> Window:
    """1,000 requests per second with exponential latencies, 50 ms on average."""
    random = Random(7)
    scheduled = array("q", range(0, REQUESTS * NS // 1000, NS // 1000))
    columns = {column: array("q", bytes(8 * REQUESTS)) for column in COLUMNS} | {
        "sequence": array("q", range(REQUESTS)),
        "scheduled": scheduled,
        "sent": array("q", (at + 1 for at in scheduled)),
        "ended": array("q", (at + int(random.expovariate(20) * NS) for at in scheduled)),
        "status": array("q", [200]) * REQUESTS,
        "grpc": array("q", [-1]) * REQUESTS,
    }
    return closed(window(Samples(columns), name=name))


def deciding() -> Iterable[Result]:
    """Median request at which `until_decided` ends for a claim of 99 %, by the true share of errors."""
    random = Random(11)
    for percent, expected in MEDIANS.items():
        ends = sorted(_decided_after(percent / 100, random) for _ in range(RUNS))
        median = ends[RUNS // 2]
        yield Result(
            f"until_decided, 99 % claimed, {percent:g} % errors",
            median,
            "requests",
            f"about {expected} (fixed window: {FIXED[percent]})",
            met=median <= 1.2 * expected,
        )


def _decided_after(share: float, random: Random) -> int:
    watch = ShareWatch(0.01, alpha_violated=alpha_violated(experiments=1, claim=1))
    bad = bytes(random.random() < share for _ in range(LONGEST))
    due = SHARE_LOOKS.first
    while due < LONGEST and not watch.advance(bad[:due]).decided:
        due = SHARE_LOOKS.after(due)
    return due


BENCHMARKS: Final = (judging, ten_claims, deciding)
