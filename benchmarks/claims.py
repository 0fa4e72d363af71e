"""How long does a claim take on a million requests?

    python -m benchmarks claims

Each claim judges the whole window by itself; nothing is kept from one to the next.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from random import Random
from typing import Final

from benchmarks.results import Result
from chaos.claims.expect import WindowClaims, expect
from chaos.clock import NS, now
from chaos.model.samples import COLUMNS, Samples
from chaos.model.window import Window
from chaos.testing.evidence import closed, window

REQUESTS: Final = 1_000_000


def judging() -> Iterable[Result]:
    held, other = million("window 2"), million("window 1")
    claims: dict[str, Callable[[WindowClaims], object]] = {
        "to_succeed": lambda claims: claims.to_succeed(),
        "to_respond_within": lambda claims: claims.to_respond_within("1s"),
        "to_return": lambda claims: claims.to_return(status=200),
        "not_to_differ_from (two windows)": lambda claims: claims.not_to_differ_from(other),
    }
    for name, claim in claims.items():
        before = now()
        claim(expect(held, soft=True))
        seconds = (now() - before) / NS
        goal = 3 if "two windows" in name else 1
        yield Result(f"{name} on a million requests", round(seconds, 2), "s", f"at most {goal}", met=seconds <= goal)


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


BENCHMARKS: Final = (judging,)
