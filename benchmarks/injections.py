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
from typing import Final

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
    """What a delay of 200 ms adds, as the client sees it, against the same path without a fault."""
    with running() as (run, experiment), traffic(run, experiment) as own:
        experiment.observe(EDGE)
        plain = own.window("8s")
        with experiment.inject(delay("200ms"), EDGE, at="caller"):
            delayed = own.window("8s")
    usual = latency_at(_times(plain), 0.5)
    errors = [abs(taken - DELAY - usual) for taken in _times(delayed)]
    p99 = latency_at(errors, 0.99) * 1000
    yield Result("error of an injected delay", round(p99, 2), "ms, p99", "under 3", met=p99 < 3)


def cost_of_the_private_path() -> Iterable[Result]:
    """Own traffic on the private path without a fault, and bystanders on the plain one, at the same time."""
    with running() as (run, experiment), traffic(run, experiment) as own, traffic(run, experiment, own=False) as others:
        experiment.observe(EDGE)
        with others.recording() as plain:
            private = own.window("10s")
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
def traffic(run: Run, experiment: Experiment, *, own: bool = True) -> Iterator[Traffic]:
    plan = planner(LoadRequest(target=TARGET, rate=100, own=own), run.mesh, run.topology)
    with experiment.load(plan, TARGET, []) as flowing:
        yield flowing


def _times(window: Window) -> list[float]:
    return [taken for taken in latencies(window.evidence.samples) if math.isfinite(taken)]


def _milliseconds(step: Callable[[], object]) -> float:
    before = now()
    step()
    return (now() - before) / NS * 1000
