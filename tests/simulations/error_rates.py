"""How often is a verdict false? Every rule of `chaos.stats`, judged at the boundary, where each "held" or "violated" is an error.

    python tests/simulations/error_rates.py --runs 20000

prints one line per cell: the rates of both errors and the bar (the count that the stated rate exceeds once in twenty times).
Cells without a bar are beyond what a rule claims to stand, and only printed. The exit status is 1 if a cell is over its bar.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from scipy.stats import binom

from chaos.model.outcome import Outcome
from chaos.stats.arms import Arm
from chaos.stats.canary import Advice, Cells, judge_canary
from chaos.stats.equivalence import compare
from chaos.stats.means import judge_mean
from chaos.stats.proof import attempts_needed, prove
from chaos.stats.quantiles import Latencies
from chaos.stats.sequential import LatencyWatch, ShareWatch
from chaos.stats.shares import decide, judge, judge_latencies

NOMINAL = 0.05
SIZES = (400, 2_400, 12_000)
LOADS = (0.5, 0.7, 0.9)
BURSTS = (5, 20)
CONFIDENCE = 0.95

Random = np.random.Generator
Trial = Callable[[Random], Outcome]


@dataclass(frozen=True, slots=True)
class Cell:
    """One situation at the boundary, and how often each outcome may be seen in it (None: only printed)."""

    name: str
    trial: Trial
    held: float | None = NOMINAL
    violated: float | None = NOMINAL


@dataclass(frozen=True, slots=True)
class Result:
    cell: Cell
    runs: int
    counts: Counter[Outcome]

    def over(self, outcome: Outcome) -> bool:
        """Seen more often than the stated rate explains."""
        rate = self.cell.held if outcome is Outcome.HELD else self.cell.violated
        return rate is not None and self.counts[outcome] > bar(self.runs, rate)

    @property
    def passed(self) -> bool:
        return not (self.over(Outcome.HELD) or self.over(Outcome.VIOLATED))


def bar(runs: int, rate: float) -> int:
    """The largest count of false verdicts that a true rate of `rate` explains: exceeded once in twenty times at most."""
    return int(binom.ppf(CONFIDENCE, runs, rate))


def run(cell: Cell, runs: int, seed: int) -> Result:
    """The outcomes of `runs` trials. Each cell has random numbers of its own, so that cells can be selected freely."""
    random = np.random.default_rng([seed, *cell.name.encode()])
    return Result(cell, runs, Counter(cell.trial(random) for _ in range(runs)))


# Traffic


def independent(random: Random, n: int, share: float) -> bytes:
    return (random.random(n) < share).astype(np.uint8).tobytes()


def bursts(random: Random, n: int, share: float, length: float) -> bytes:
    """A stationary Markov chain: failures in runs of geometric length with this mean."""
    cycles = int(2 * n * share / length) + 50  # twice as many as are expected, and more than enough of long ones
    good = random.geometric(share / (length * (1 - share)), cycles)
    bad = random.geometric(1 / length, cycles)
    starts_bad = random.random() < share
    runs = np.stack((bad, good) if starts_bad else (good, bad), axis=1).ravel()
    states = np.tile(np.array([1, 0] if starts_bad else [0, 1], dtype=np.uint8), cycles)
    return np.repeat(states, runs)[:n].tobytes()


def queue(random: Random, n: int, load: float) -> np.ndarray:
    """Response times of an M/M/1 queue (service rate 1), stationary from the start: exponential with mean 1/(1 - load)."""
    service = random.exponential(1, n)
    first_wait = random.exponential(1 / (1 - load)) if random.random() < load else 0.0
    steps = service[:-1] - random.exponential(1 / load, n - 1)
    walk = np.concatenate(([0.0], np.cumsum(steps)))
    waiting = walk + np.maximum(first_wait, -np.minimum.accumulate(walk))  # Lindley's recursion, unrolled
    return waiting + service


def queue_quantile(load: float, q: float) -> float:
    return -log(1 - q) / (1 - load)


def lognormal_arm(random: Random, n: int, *, bad: float = 0.0, slower: float = 1.0, offset: float = 0.0) -> Arm:
    """Latencies around 135 ms with a sigma of 0.5, and independent failures."""
    latencies = slower * random.lognormal(-2, 0.5, n) + offset
    return Arm.of(independent(random, n, bad), Latencies.of(latencies.tolist()))


def queue_arm(random: Random, n: int, load: float, slower: float = 1.0) -> Arm:
    return Arm.of(bytes(n), Latencies.of((slower * queue(random, n, load)).tolist()))


# Cells


def fixed_windows() -> Iterator[Cell]:
    """Rule 3. The rates that it states for dependent requests are their bars."""
    for n in SIZES:
        for share in (0.01, 0.05):
            yield Cell(
                f"share {share:.0%} n={n} independent",
                lambda random, n=n, share=share: _judged(independent(random, n, share), share),
            )
            for length in BURSTS:
                claimed = length <= n * share / 4.8
                yield Cell(
                    f"share {share:.0%} n={n} bursts of {length}",
                    lambda random, n=n, share=share, length=length: _judged(bursts(random, n, share, length), share),
                    held=0.075 if claimed else None,
                )
        for load in LOADS:
            yield Cell(f"p95 n={n} queue at {load}", lambda random, n=n, load=load: _judged_queue(random, n, load), held=0.056)


def sequential() -> Iterator[Cell]:
    """Rule 5, up to 12,000 requests; a declared burst length is what makes it stand bursts."""
    most = SIZES[-1]
    for share in (0.01, 0.05):
        yield Cell(
            f"sequential share {share:.0%} independent",
            lambda random, share=share: ShareWatch(share, alpha_violated=NOMINAL).close(independent(random, most, share)).outcome,
        )
        for burst in (1.0, 5.0):
            yield Cell(
                f"sequential share {share:.0%} bursts of 5, declared {burst:g}",
                lambda random, share=share, burst=burst: (
                    ShareWatch(share, alpha_violated=NOMINAL, burst=burst).close(bursts(random, most, share, 5)).outcome
                ),
                held=NOMINAL if burst > 1 else None,
                violated=NOMINAL if burst > 1 else None,
            )
    for load in LOADS:
        yield Cell(f"sequential p95 queue at {load}", lambda random, load=load: _watched_queue(random, most, load))


def comparisons() -> Iterator[Cell]:
    """Rules 6 and 7, with B exactly on a margin: neither outcome is right."""
    for n in SIZES[:2]:
        yield Cell(
            f"comparison n={n} 1.25 times slower",
            lambda random, n=n: _compared(lognormal_arm(random, n, slower=1.25), lognormal_arm(random, n)),
        )
        yield Cell(
            f"comparison n={n} 1 % more failures",
            lambda random, n=n: _compared(lognormal_arm(random, n, bad=0.02), lognormal_arm(random, n, bad=0.01)),
        )
        yield Cell(f"canary n={n} p95 on its margin", lambda random, n=n: _canary(random, n))
    for load in LOADS[:2]:
        yield Cell(
            f"comparison n={SIZES[1]} 1.25 times slower, queue at {load}",
            lambda random, load=load: _compared(queue_arm(random, SIZES[1], load, 1.25), queue_arm(random, SIZES[1], load)),
        )


def others() -> Iterator[Cell]:
    """Rules 8 and 9: proof of injection (not proven counts as violated), and mean attempts per request."""
    for probability in (0.01, 0.3):
        yield Cell(
            f"proof of {probability:.0%}",
            lambda random, probability=probability: _proven(random, probability),
            held=None,
            violated=0.0015,
        )
    for n in SIZES:
        yield Cell(f"attempts per request n={n}", lambda random, n=n: _amplified(random.geometric(0.8, n).tolist()))


def cells() -> list[Cell]:
    return [*fixed_windows(), *sequential(), *comparisons(), *others()]


def naive() -> list[Cell]:
    """Rules without their care for dependence and for looking: they must be found false, or the simulation finds nothing."""
    most = SIZES[1]
    return [
        Cell("naive: a queue taken for independent requests", lambda random: _naive_queue(random, most, 0.9)),
        Cell("naive: rule 3 at every look", lambda random: _peeked(independent(random, most, 0.05), 0.05)),
    ]


def _judged(bad: bytes, share: float) -> Outcome:
    return judge(bad, allowed=share, alpha_violated=NOMINAL).outcome


def _judged_queue(random: Random, n: int, load: float) -> Outcome:
    latencies = Latencies.of(queue(random, n, load).tolist())
    return judge_latencies(latencies, queue_quantile(load, 0.95), allowed=0.05, alpha_violated=NOMINAL).outcome


def _watched_queue(random: Random, n: int, load: float) -> Outcome:
    watch = LatencyWatch(queue_quantile(load, 0.95), allowed=0.05, alpha_violated=NOMINAL)
    return watch.close(queue(random, n, load).tolist()).outcome


def _naive_queue(random: Random, n: int, load: float) -> Outcome:
    above = int((queue(random, n, load) > queue_quantile(load, 0.95)).sum())
    return decide(above, n, allowed=0.05, alpha_violated=NOMINAL).outcome


def _peeked(bad: bytes, share: float) -> Outcome:
    looks = range(50, len(bad) + 1, 50)
    outcomes = (judge(bad[:look], allowed=share, alpha_violated=NOMINAL).outcome for look in looks)
    return next((outcome for outcome in outcomes if outcome is not Outcome.INCONCLUSIVE), Outcome.INCONCLUSIVE)


def _compared(b: Arm, a: Arm) -> Outcome:
    return compare(b, a, alpha_violated=NOMINAL).outcome


def _canary(random: Random, n: int) -> Outcome:
    """The candidate's p95 under the fault lies 25 % of the stable one's above it; promote counts as held."""
    cells = Cells(
        candidate_fault=lognormal_arm(random, n, slower=1.25),
        candidate_steady=lognormal_arm(random, n),
        stable_fault=lognormal_arm(random, n),
        stable_steady=lognormal_arm(random, n),
    )
    advice = judge_canary(cells, alpha_violated=NOMINAL).advice
    return {Advice.PROMOTE: Outcome.HELD, Advice.ROLL_BACK: Outcome.VIOLATED}.get(advice, Outcome.INCONCLUSIVE)


def _proven(random: Random, probability: float) -> Outcome:
    attempts = attempts_needed(probability)
    proof = prove(int(random.binomial(attempts, probability)), attempts, probability)
    return Outcome.HELD if proof.proven else Outcome.VIOLATED


def _amplified(attempts: Sequence[float]) -> Outcome:
    return judge_mean(attempts, at_most=1.25, alpha_violated=NOMINAL).outcome


# Command


def line(result: Result) -> str:
    columns = [f"{result.cell.name:<50}{result.runs:>7}"]
    for outcome, rate in ((Outcome.HELD, result.cell.held), (Outcome.VIOLATED, result.cell.violated)):
        limit = "-" if rate is None else str(bar(result.runs, rate))
        columns.append(f"{result.counts[outcome] / result.runs:>9.2%}{result.counts[outcome]:>7} /{limit:>6}")
    return "".join([*columns, "" if result.passed else "  OVER"])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Error rates of the statistical rules at their boundaries.")
    parser.add_argument("--runs", type=int, default=2_000, help="trials per cell")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="cells whose name contains this")
    options = parser.parse_args(arguments)
    print(f"{'cell':<50}{'runs':>7}{'held':>9}{'':>7}  {'bar':>6}{'violated':>9}{'':>7}  {'bar':>6}")
    start = time.process_time()
    passed = True
    for cell in cells():
        if options.only in cell.name:
            result = run(cell, options.runs, options.seed)
            passed = passed and result.passed
            print(line(result), flush=True)
    print(f"{time.process_time() - start:.0f} s of processor time")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
