"""Services at work: what applications and proxies do with a request, and what they write down of it."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from chaos import clock
from chaos.errors import Unreachable
from chaos.model.marks import Mark
from chaos.testing.behaviour import Behaviour
from chaos.testing.mesh import FakeMesh
from chaos.testing.system import NEVER, Answer, Question
from tests.unit.testing.conftest import Shop

FLOW = Mark("0123456789ab", 1).flow(1)
CALLS = Behaviour(calls=("back",))
POLICY = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: back, namespace: shop}
spec:
  hosts: [back]
  http:
  - route: [{destination: {host: back}}]
"""


def ask(mesh: FakeMesh, *, patience: float | None = None, number: int = 0) -> tuple[Answer, float]:
    """The answer to one request at the entry, and how many seconds it took."""
    pod, service, port = mesh.entry
    begun = clock.now()
    asked = Question(trace=FLOW.trace_id(number), headers=FLOW.headers(number))
    got: list[Answer] = []

    def steps() -> Generator[int, None, None]:
        cut = NEVER if patience is None else begun + int(patience * clock.NS)
        answer = yield from mesh.system.call(mesh.system.proxies[pod.id], service.host, port, asked, cut)
        got.append(answer)
        ended.append(mesh.system.now)

    ended: list[int] = []
    mesh.system.begin(begun, steps())
    clock.pause(60)
    mesh.system.advance()
    return got[0], (ended[0] - begun) / clock.NS


def log(mesh: FakeMesh, workload: str, what: str = "outbound") -> list[dict[str, Any]]:
    """Lines of ends, of one direction, of all pods of a workload."""
    lines = [json.loads(line) for pod in mesh.pods() if pod.workload == workload for line in mesh.read_log(pod, 0)[0].splitlines()]
    return [line for line in lines if line["event"] == "DownstreamEnd" and line.get("side", line["istio_chaos"]) == what]


def test_a_request_takes_the_time_of_everybody_on_its_way(shop: Shop) -> None:
    mesh = shop({"front": replace(CALLS, takes="10ms"), "back": Behaviour(takes="30ms")})
    answer, seconds = ask(mesh)

    assert (answer.status, answer.body, seconds) == (200, "ok", pytest.approx(0.04))
    assert [(line["code"], line["duration_us"]) for line in log(mesh, "front")] == [("200", "30000")]
    assert [line["duration_us"] for line in log(mesh, "front", "inbound")] == ["40000"]


def test_replicas_take_turns(shop: Shop) -> None:
    mesh = shop({"front": CALLS})
    for number in range(4):
        ask(mesh, number=number)

    assert [len(mesh.read_log(pod, 0)[0].splitlines()) for pod in mesh.pods() if pod.workload == "back"] == [2, 2]


@pytest.mark.parametrize(
    ("front", "status", "body", "seconds", "calls"),
    [
        (CALLS, 200, "ok", 10.005, 1),
        (replace(CALLS, patience="1s"), 502, "a call failed", 1.005, 1),
        (replace(CALLS, patience="1s", tries=2), 502, "a call failed", 2.005, 2),
        (replace(CALLS, patience="1s", tries=2, fallback="sorry"), 200, "sorry", 2.005, 2),
    ],
    ids=["waits", "gives up", "tries again", "falls back"],
)
def test_applications_have_patience(shop: Shop, front: Behaviour, status: int, body: str, seconds: float, calls: int) -> None:
    mesh = shop({"front": front, "back": Behaviour(takes="10s")})
    answer, took = ask(mesh)

    assert (answer.status, answer.body, took) == (status, body, pytest.approx(seconds))
    assert len(log(mesh, "front")) == calls
    assert {line["flags"] for line in log(mesh, "front")} == ({"-"} if front.patience is None else {"DC"})


def test_who_gives_up_takes_everybody_below_along(shop: Shop) -> None:
    mesh = shop({"front": CALLS, "back": Behaviour(takes="10s")})
    answer, seconds = ask(mesh, patience=2)

    assert (answer.lost, seconds) == (True, pytest.approx(2))
    assert [(line["flags"], line["code"]) for line in (*log(mesh, "front"), *log(mesh, "back", "inbound"))] == [("DC", "0")] * 2


@pytest.mark.parametrize(
    ("policy", "back", "status", "flags", "tries", "seconds"),
    [
        ("", Behaviour(status=503), "503", "-", "1", 0.005),
        ("    timeout: 3s\n", Behaviour(takes="10s"), "504", "UT", "1", 3.0),
        ("    retries: {attempts: 2, retryOn: 5xx}\n", Behaviour(status=503), "503", "URX", "3", 0.065),
        ("    retries: {attempts: 2, retryOn: 5xx, perTryTimeout: 1s}\n", Behaviour(takes="10s"), "504", "UT,URX", "3", 3.05),
        (
            "    timeout: 2s\n    retries: {attempts: 9, retryOn: 5xx, perTryTimeout: 1s}\n",
            Behaviour(takes="10s"),
            "504",
            "UT",
            "2",
            2.0,
        ),
        ("    retries: {attempts: 2, retryOn: 5xx}\n", Behaviour(status=404), "404", "-", "1", 0.005),
    ],
    ids=["default", "timeout", "retries", "per try", "timeout over retries", "not retriable"],
)
def test_proxies_do_what_their_configuration_says(
    shop: Shop, policy: str, back: Behaviour, status: str, flags: str, tries: str, seconds: float
) -> None:
    mesh = shop({"front": CALLS, "back": back}, POLICY + policy)
    ask(mesh)

    (line,) = log(mesh, "front")
    assert (line["code"], line["flags"], line["attempts"]) == (status, flags, tries)
    assert int(line["duration_us"]) == pytest.approx(seconds * 1e6)


def test_routes_are_matched_and_weighed(shop: Shop) -> None:
    subsets = """\
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: back, namespace: shop}
spec: {host: back, subsets: [{name: all, labels: {app: back}}, {name: none, labels: {app: nobody}}]}
"""
    weights = POLICY.replace(
        "[{destination: {host: back}}]",
        "[{destination: {host: back, subset: all}, weight: 50}, {destination: {host: back, subset: none}, weight: 50}]",
    )
    mesh = shop({"front": CALLS}, weights + subsets)
    for number in range(40):
        ask(mesh, number=number)
    clusters = [line["cluster"].split("|")[2] for line in log(mesh, "front")]

    assert 8 < clusters.count("all") < 32
    assert {line["flags"] for line in log(mesh, "front") if "|none|" in line["cluster"]} == {"UH"}


def test_who_does_not_forward_headers_loses_the_mark(shop: Shop) -> None:
    mesh = shop({"front": replace(CALLS, forwards=False)})
    ask(mesh)

    assert [line["traceparent"] for line in log(mesh, "front", "inbound")] != ["-"]
    assert [line["traceparent"] for line in log(mesh, "front")] == ["-"]


def test_nothing_happens_before_its_time(shop: Shop) -> None:
    mesh = shop({"front": CALLS, "back": Behaviour(takes="10s")})
    pod, service, port = mesh.entry
    asked = Question(trace=FLOW.trace_id(0), headers=FLOW.headers(0))
    mesh.system.begin(clock.now() + clock.NS, mesh.system.call(mesh.system.proxies[pod.id], service.host, port, asked))

    clock.pause(0.5)
    assert mesh.read_log(pod, 0) == (b"", 0)
    clock.pause(5)
    assert log(mesh, "front", "inbound") == []
    clock.pause(10)
    assert len(log(mesh, "front", "inbound")) == 1


def test_a_behaviour_that_calls_nobody_is_named(shop: Shop) -> None:
    mesh = shop({"front": Behaviour(calls=("bakc",))})

    with pytest.raises(Unreachable, match=r'front.* calls "bakc", which is no service of the fake mesh'):
        ask(mesh)
