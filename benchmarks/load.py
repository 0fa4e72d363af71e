"""Is the load generator as fast as the Locust it is made of, and does it keep a rate?

    python -m benchmarks load

Against `benchmarks.origin`, on one machine: two cores are enough, one for the generator and one for the server.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.results import Result
from chaos.clock import NS, Deadline, poll, wait_until
from chaos.load.locust import LocustGenerator
from chaos.load.locust.child import environment
from chaos.load.port import ClosedModel, LoadPlan, OpenModel, Requests
from chaos.model.marks import Mark
from chaos.model.samples import Samples

USERS: Final = 10
SECONDS: Final = 4
ROUNDS: Final = 5
RATE: Final = 500.0

_PLAIN: Final = """
from locust import FastHttpUser, constant, task

class Plain(FastHttpUser):
    wait_time = constant(0)

    @task
    def ask(self):
        self.client.get("/")
"""


def closed_model_against_plain_locust() -> Iterable[Result]:
    """Requests per second of `users=10` over those of plain `locust --headless` with a FastHttpUser, in turns."""
    with origin() as url, tempfile.TemporaryDirectory() as folder, generator(Path(folder)) as ours:
        rounds = [(_ours_per_second(ours, url), _plain_per_second(url, Path(folder))) for _ in range(ROUNDS)]
    mine, plain = (median(column) for column in zip(*rounds, strict=True))
    yield Result("closed model", round(mine), "requests/s", "informative", met=True)
    yield Result("plain locust, FastHttpUser", round(plain), "requests/s", "informative", met=True)
    ratio = mine / plain
    yield Result("closed model against plain locust", round(ratio, 3), "ratio", "at least 0.95", met=ratio >= 0.95)


def offered_rate() -> Iterable[Result]:
    """The rate at which `rate=500` was really sent, and how late the requests went out."""
    with origin() as url, tempfile.TemporaryDirectory() as folder, generator(Path(folder)) as ours:
        flow = ours.start(_plan(url, OpenModel(RATE)))
        until = flow.started + SECONDS * NS
        wait_until(until)
        poll(lambda: flow.resolved(until), deadline=Deadline.after(10))
        flow.stop()
        samples = flow.samples().between(flow.started, until)
    sent = sorted(samples["sent"])
    rate = (len(sent) - 1) * NS / (sent[-1] - sent[0])
    lag = sorted(a - b for a, b in zip(samples["sent"], samples["scheduled"], strict=True))
    p99 = lag[int(0.99 * len(lag))] / 1e6
    yield Result("offered rate", round(rate, 2), "requests/s", f"within 1 % of {RATE:g}", abs(rate / RATE - 1) <= 0.01)
    # Above 2 ms latency claims would be inconclusive, because the generator was late.
    yield Result("start lag, p99", round(p99, 2), "ms", "at most 2", met=p99 <= 2)


BENCHMARKS: Final[tuple[Callable[[], Iterable[Result]], ...]] = (closed_model_against_plain_locust, offered_rate)


@contextmanager
def origin() -> Iterator[str]:
    """The server in a process of its own; its URL."""
    server = subprocess.Popen([sys.executable, "-m", "benchmarks.origin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        server.stdin.close()


@contextmanager
def generator(folder: Path) -> Iterator[LocustGenerator]:
    """Warm: the first load of a process also pays for what is imported late."""
    with closing(LocustGenerator(folder)) as ours, origin() as url:
        flow = ours.start(_plan(url, ClosedModel(1)))
        poll(lambda: len(flow.samples()) > 100, deadline=Deadline.after(10))
        flow.stop()
        yield ours


def _plan(url: str, model: OpenModel | ClosedModel) -> LoadPlan:
    return LoadPlan(what=Requests(url=url + "/"), model=model, timeout=10.0, mark=Mark(Mark.of_run(), 1).flow(1))


def _ours_per_second(ours: LocustGenerator, url: str) -> float:
    flow = ours.start(_plan(url, ClosedModel(USERS)))
    wait_until(flow.started + SECONDS * NS)
    flow.stop()
    return _per_second(flow.samples())


def _per_second(samples: Samples) -> float:
    return len(samples) * NS / (max(samples["ended"]) - min(samples["scheduled"]))


def _plain_per_second(url: str, folder: Path) -> float:
    locustfile = folder / "plain.py"
    locustfile.write_text(_PLAIN)
    users, seconds = str(USERS), f"{SECONDS}s"
    command = ["--headless", "--json", "--only-summary", "-f", str(locustfile), "-u", users, "-r", users, "-t", seconds]
    plain = subprocess.run(
        [sys.executable, "-m", "locust", *command, "--host", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(os.environ),
        check=True,
    )
    (stats,) = json.loads(plain.stdout)
    seconds_sent: float = stats["last_request_timestamp"] - stats["start_time"]
    return float(stats["num_requests"] / seconds_sent)
