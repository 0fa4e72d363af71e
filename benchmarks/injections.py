"""How quickly does a fault come and go, how exact is it, and what does the private path cost?

    python -m benchmarks injections

On the bookinfo of `examples/`, through the very objects an experiment uses.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final, Literal

from benchmarks.results import Result
from chaos.clock import NS, now
from chaos.model.fault import abort, delay
from chaos.model.window import Window, latencies, latency_at
from chaos.run.experiment import Experiment
from chaos.run.loading import LoadRequest, planner
from chaos.run.meshes import open_run
from chaos.run.run import Run, RunOptions, new_id
from chaos.run.topology import load
from chaos.run.traffic import Traffic

TOPOLOGY: Final = Path(__file__).parents[1] / "experiments" / "chaos.yaml"
TARGET: Final = "http://ratings:9080/ratings/0"
EDGE: Final = "istio-chaos-load -> ratings"
ROUNDS: Final = 60
DELAY: Final = 0.2


def on_and_off() -> Iterable[Result]:
    """From `inject.__enter__` to proven in force, and from exit to proven gone; the first time apart, when the path is staged."""
    with running() as (_, experiment):
        first = _milliseconds(lambda: experiment.inject(abort(503), "productpage -> reviews").__enter__())
        experiment.finish()
    on, off = [], []
    with running() as (_, experiment):
        experiment.observe("productpage -> reviews")
        for _ in range(ROUNDS):
            injection = experiment.inject(abort(503), "productpage -> reviews")
            on.append(_milliseconds(injection.__enter__))
            off.append(_milliseconds(injection.undo))
    yield Result("first injection on an edge, staging included", round(first, 1), "ms", "informative", met=True)
    yield Result("injection on, proven", round(median(on), 1), "ms, median", "under 20", met=median(on) < 20)
    yield Result("injection off, proven gone", round(median(off), 1), "ms, median", "under 20", met=median(off) < 20)


def precision_of_a_delay() -> Iterable[Result]:
    """What a delay of 200 ms adds, as the client sees it, against the same path without a fault.

    Once with the jitter that the path has anyway (each request against the usual median), once without (quantile by quantile).
    """
    with running() as (run, experiment), traffic(run, experiment) as own:
        experiment.observe(EDGE)
        plain = own.window("8s")
        with experiment.inject(delay("200ms"), EDGE, at="caller"):
            delayed = own.window("8s")
    usual, slowed = _times(plain), [taken - DELAY for taken in _times(delayed)]
    middle = latency_at(usual, 0.5)
    each = latency_at([abs(taken - middle) for taken in slowed], 0.99) * 1000
    added = max(abs(latency_at(slowed, q / 100) - latency_at(usual, q / 100)) for q in range(1, 100)) * 1000
    jitter = latency_at([abs(taken - middle) for taken in usual], 0.99) * 1000
    yield Result("error of a delay, with the path's own jitter", round(each, 2), "ms, p99", "under 3", met=each < 3)
    yield Result("that jitter alone", round(jitter, 2), "ms, p99", "informative", met=True)
    yield Result("error of a delay, quantiles against those of the path", round(added, 2), "ms", "under 3", met=added < 3)


def cost_of_the_private_path() -> Iterable[Result]:
    """Own traffic on the private path without a fault, and bystanders on the plain one, at the same time.

    Arrivals are random: at an even rate one of the two would always come second, to a path that the other has woken.
    """
    with (
        running() as (run, experiment),
        traffic(run, experiment, arrivals="poisson") as own,
        traffic(run, experiment, own=False, arrivals="poisson") as others,
    ):
        experiment.observe(EDGE)
        with others.recording() as plain:
            private = own.window("15s")
    cost = (latency_at(_times(private), 0.5) - latency_at(_times(plain), 0.5)) * 1000
    yield Result("cost of the private path", round(cost, 3), "ms, p50", "under 0.3", met=cost < 0.3)


BENCHMARKS: Final[tuple[Callable[[], Iterable[Result]], ...]] = (on_and_off, precision_of_a_delay, cost_of_the_private_path)


@contextmanager
def running() -> Iterator[tuple[Run, Experiment]]:
    """A run with the bookinfo mesh up, and an experiment in it."""
    with tempfile.TemporaryDirectory() as folder:
        run = open_run("local", load(TOPOLOGY), RunOptions(id=new_id(), folder=Path(folder)))
        try:
            experiment = run.experiment("benchmark")
            try:
                yield run, experiment
            finally:
                experiment.finish()
        finally:
            run.close()


@contextmanager
def traffic(
    run: Run, experiment: Experiment, *, own: bool = True, arrivals: Literal["even", "poisson"] = "even"
) -> Iterator[Traffic]:
    plan = planner(LoadRequest(target=TARGET, rate=100, own=own, arrivals=arrivals), run.mesh, run.topology)
    with experiment.load(plan, TARGET, []) as flowing:
        yield flowing


def _times(window: Window) -> list[float]:
    return [taken for taken in latencies(window.evidence.samples) if math.isfinite(taken)]


def _milliseconds(step: Callable[[], object]) -> float:
    before = now()
    step()
    return (now() - before) / NS * 1000
