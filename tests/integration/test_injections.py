"""Does a fault do what the policies of the edge make of it? Real Envoys, real Locust load, and counts checked against the policy.

The caller is the load workload's sidecar; behind every service stand the same two pods (`tests.calling`). Warm-up and steady window are
cut short: what is looked at here are counts and codes, which need no steady latencies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chaos import Window, abort, clock, delay, expect, throttle
from chaos.errors import Aborted, ExperimentError, Inconclusive, LoadFailure, MeshFailure
from chaos.injection.names import faults_key
from chaos.model.fault import Fault
from chaos.run import traffic
from chaos.run.view import Inject, Load
from tests.calling import Callee, expected
from tests.running import Running, edge, opened, url

CALLEES = (
    Callee(name="plain"),
    Callee(name="retried", http="[{retries: {attempts: 2, retryOn: 5xx, backoff: 1ms}}]"),
    Callee(name="hasty", http="[{retries: {attempts: 1, perTryTimeout: 200ms, retryOn: 5xx, backoff: 1ms}}]"),
    Callee(name="patient", http="[{timeout: 400ms, retries: {attempts: 0}}]"),
    Callee(
        name="ejecting",
        http="[{retries: {attempts: 0}}]",
        policy="{outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 60s, maxEjectionPercent: 50}}",
    ),
)
"""By what their owner wrote for their callers."""
BARE = """\
apiVersion: v1
kind: Service
metadata: {name: bare, namespace: shop}
spec: {selector: {app: bare}, ports: [{name: http, port: 80, targetPort: 9000}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: bare, namespace: shop}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: bare}, annotations: {sidecar.istio.io/inject: "false"}}
    spec: {containers: [{name: callee, image: callee, ports: [{containerPort: 9000}]}]}
"""
"""Two replicas without sidecars: when one dies, its callers' own connections are refused."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with opened(tmp_path_factory.mktemp("run"), CALLEES) as running:
        yield running


@pytest.fixture
def experiment(running: Running) -> Iterator[tuple[Inject, Load]]:
    """`inject` and `load` of one test; and when it is over the proxies are as they were."""
    with running.experiment() as (inject, load, _):
        yield inject, load
    assert running.holds_nothing_of_ours()


@pytest.fixture
def inject(experiment: tuple[Inject, Load]) -> Inject:
    return experiment[0]


@pytest.fixture
def load(experiment: tuple[Inject, Load]) -> Load:
    return experiment[1]


# ------------------------------------------------------------------------------------------------------- faults and policies
def test_a_fault_at_the_caller_never_meets_the_retries(inject: Inject, load: Load) -> None:
    with load(url("retried"), rate="200/s") as traffic, inject(abort(503, percent=50), edge("retried"), at="caller"):
        window = traffic.window("1s")

    calls = window.edge(edge("retried"))
    assert calls.requests == 200
    assert window.errors == calls.faults == expected(200, 0.5)
    assert (calls.retries, calls.attempts) == (0, 200 - calls.faults)
    assert calls.flags() == {"FI": calls.faults, "-": 200 - calls.faults}
    assert (window.hit.error_share, window.spared.error_share) == (1, 0)


def test_a_fault_at_the_callee_is_drawn_anew_for_each_try(inject: Inject, load: Load) -> None:
    """Half of all tries fail, up to three are made: one call in eight fails."""
    with load(url("retried"), rate="200/s") as traffic, inject(abort(503, percent=50), edge("retried")) as injection:
        window = traffic.window("1s")

    calls = window.edge(edge("retried"))
    assert injection.record.side == "callee"  # by itself: a policy acts on it
    assert window.errors == expected(200, 0.125)
    assert calls.flags() == {"URX": window.errors, "-": 200 - window.errors}
    assert calls.attempts - calls.faults == 200 - window.errors  # what was not faulted was answered
    assert calls.faults == expected(int(calls.attempts), 0.5)
    expect(calls).to_retry(at_most=2, at_least=1)


def test_each_try_that_takes_too_long_is_given_up(inject: Inject, load: Load) -> None:
    with (
        load(url("hasty"), rate="50/s") as traffic,
        load(url("hasty"), rate="20/s", own=False) as bystanders,
        inject(delay("5s"), edge("hasty")),
        bystanders.recording() as theirs,
    ):
        window = traffic.window("1s")

    calls = window.edge(edge("hasty"))
    assert (calls.requests, calls.attempts, calls.timeouts) == (50, 100, 50)
    assert calls.flags() == {"URX,UT": 50}
    assert window.error_share == 1
    assert 0.4 <= window.latency("p50") < 4
    assert (theirs.errors, theirs.requests > 10) == (0, True)


def test_the_timeout_of_the_route_ends_a_delayed_call(inject: Inject, load: Load) -> None:
    with load(url("patient"), rate="50/s") as traffic, inject(delay("5s"), edge("patient")):
        window = traffic.window("1s")

    calls = window.edge(edge("patient"))
    assert (calls.requests, calls.attempts, calls.timeouts, calls.flags()) == (50, 50, 50, {"UT": 50})
    assert 0.4 <= window.latency("p50") < 4


def test_one_bad_replica_is_ejected_from_the_private_path_alone(running: Running, inject: Inject, load: Load) -> None:
    with (
        load(url("ejecting"), rate="20/s") as traffic,
        load(url("ejecting"), rate="40/s", own=False) as bystanders,
        inject(abort(503), edge("ejecting"), replicas=1),
        bystanders.recording() as theirs,
    ):
        window = traffic.window("2s")
        ejected = [
            host.ejected
            for host in running.run.mesh.hosts(running.pod("istio-chaos-load"), "outbound|80||ejecting.shop.svc.cluster.local")
        ]

    calls = window.edge(edge("ejecting"))
    assert calls.ejections == 1
    assert 1 <= calls.faults <= 3  # then it was out
    assert window.errors == calls.faults
    assert ejected == [False, False]
    assert (theirs.errors, theirs.requests > 10) == (0, True)


def test_delay_and_abort_are_drawn_apart(inject: Inject, load: Load) -> None:
    with load(url("plain"), rate="100/s") as traffic, inject(delay("200ms") + abort(503, percent=50), edge("plain")):
        window = traffic.window("1s")

    assert window.errors == expected(100, 0.5)
    assert window.edge(edge("plain")).flags() == {"DI,FI": window.errors, "DI": 100 - window.errors}
    assert window.latency("p50") >= 0.2


def test_a_throttled_body_takes_its_time(inject: Inject, load: Load) -> None:
    """More than 300 bytes at 1 KiB/s."""
    with load(url("plain"), rate="20/s") as traffic, inject(throttle("1KiB/s"), edge("plain")) as injection:
        window = traffic.window("1s")

    assert injection.record.side == "callee"
    assert window.errors == 0
    assert window.latency("p50") > 0.2


@pytest.mark.parametrize("side", ["caller", "callee"])
@pytest.mark.parametrize(
    ("fault", "shown"),
    [
        (abort(503), lambda window: window.errors > 0),
        (delay("300ms"), lambda window: window.latency("p50") >= 0.3),
        (throttle("1KiB/s"), lambda window: window.latency("p50") > 0.2),
    ],
    ids=["abort", "delay", "throttle"],
)
def test_the_runtime_of_a_proxy_switches_every_fault_off_and_on_again(
    running: Running, inject: Inject, load: Load, fault: Fault, shown: Callable[[Window], bool], side: str
) -> None:
    """What the last resort relies on: one key limits active faults, those of this path alone."""
    if fault.throttle and side == "caller":
        side = "callee"  # there is no other
    with (
        load(url("plain"), rate="50/s") as traffic,
        inject(fault, edge("plain"), at=side) as injection,
        inject(fault, edge("retried"), at=side),
        load(url("retried"), rate="50/s") as elsewhere,
    ):
        [path] = injection._paths.of(injection._ends)
        pod, key = path.callers.pods[0], faults_key(path.name)
        before = traffic.window("500ms").raw
        running.run.mesh.set_runtime(pod.namespace, pod.name, key, "0")
        silenced, others = traffic.window("500ms").raw, elsewhere.window("500ms").raw
        running.run.mesh.set_runtime(pod.namespace, pod.name, key, "")
        after = traffic.window("500ms").raw

    assert [shown(window) for window in (before, silenced, after)] == [True, False, True]
    assert shown(others) or not injection.record.request.fault.delay


# ---------------------------------------------------------------------------------------------------------- several at once
def test_two_injections_on_one_edge_are_one_and_part_again(inject: Inject, load: Load) -> None:
    with load(url("plain"), rate="50/s") as traffic, inject(delay("200ms"), edge("plain")):
        with inject(abort(503), edge("plain")) as second:
            both = traffic.window("500ms")
        traffic.settle(after=second)
        one = traffic.window("500ms")

    assert (both.error_share, both.latency("p50") >= 0.2) == (1, True)
    assert (one.error_share, one.latency("p50") >= 0.2) == (0, True)


def test_a_match_hits_the_requests_that_carry_it(inject: Inject, load: Load) -> None:
    with (
        load(url("plain"), rate="50/s", headers={"end-user": "jason"}) as jason,
        load(url("plain"), rate="50/s", headers={"End-User": "alice"}) as alice,
        inject(abort(503), edge("plain"), match={"End-User": "jason"}),
        inject(abort(418), edge("plain"), match={"end-user": "alice"}),
        alice.recording() as hers,
    ):
        his = jason.window("500ms")

    expect(his).to_return(status=503, at_least="80%")
    expect(hers).to_return(status=418, at_least="80%")


def test_a_load_is_a_bystander_of_a_fault_where_it_does_not_call(inject: Inject, load: Load) -> None:
    with (
        load(url("plain"), rate="50/s") as one,
        load(url("retried"), rate="50/s") as other,
        inject(abort(503), edge("plain")),
        ThreadPoolExecutor() as threads,
    ):
        at_plain, at_retried = (each.result() for each in [threads.submit(t.window, "500ms") for t in (one, other)])

    assert (at_plain.error_share, at_plain.evidence.kind) == (1, "fault")
    assert (at_retried.error_share, at_retried.evidence.kind) == (0, "bystander")


def test_a_fault_that_nobody_meets_is_not_proven(inject: Inject, load: Load) -> None:
    with load(url("retried"), rate="50/s") as traffic, inject(abort(503), edge("plain")):
        window = traffic.window("500ms")

    with pytest.raises(
        Inconclusive,
        match="is not proven: no call of this window's requests went over it; their mark was seen in istio-chaos-load.shop",
    ):
        assert window.errors


def test_each_of_two_edges_has_a_fault_of_its_own(inject: Inject, load: Load) -> None:
    """Without a loop in this thread, and with one."""

    async def both() -> tuple[traffic.Window, traffic.Window]:
        async with (
            load(url("plain"), rate="50/s") as one,
            load(url("retried"), rate="50/s") as other,
            inject(abort(418), edge("plain")),
            inject(delay("200ms"), edge("retried")),
        ):
            return await asyncio.gather(one.window_async("500ms"), other.window_async("500ms"))

    at_plain, at_retried = asyncio.run(both())

    assert (at_plain.error_share, at_plain.latency("p50") < 0.2) == (1, True)
    assert (at_retried.error_share, at_retried.latency("p50") >= 0.2) == (0, True)


def test_everybody_is_hit_when_that_is_asked_for(inject: Inject, load: Load) -> None:
    with load(url("plain"), rate="50/s", own=False) as bystanders, inject(abort(503), edge("plain"), traffic="all"):
        window = bystanders.window("500ms")

    assert (window.error_share, window.evidence.kind) == (1, "fault")


def test_an_edge_from_anybody_has_the_entry_among_its_callers(inject: Inject, load: Load) -> None:
    with load(url("plain"), rate="50/s") as traffic, inject(abort(503), "-> plain") as injection:
        window = traffic.window("500ms")

    assert injection.record.callers == ("istio-chaos-load.shop", "v1.shop", "v2.shop")
    assert window.error_share == 1


# ------------------------------------------------------------------------------------------------------------ early ends
def test_an_injection_ends_by_itself_and_wakes_who_waits(inject: Inject, load: Load) -> None:
    with load(url("plain"), rate="50/s") as traffic:
        with (
            pytest.raises(Aborted, match=r"abort 503 on .* was ended early: it reached its end of 1 s"),
            inject(abort(503), edge("plain"), expires="1s") as injection,
        ):
            traffic.window("60s")
        traffic.settle(after=injection)
        after = traffic.window("500ms")

    assert after.errors == 0


def test_an_injection_has_one_life_and_a_load_one_block(inject: Inject, load: Load) -> None:
    traffic = load(url("plain"), rate="50/s")
    with traffic:
        injection = inject(abort(503), edge("plain"))
        with injection:
            assert injection.on
        with pytest.raises(ExperimentError, match="has been on already"):
            injection.__enter__()
    with pytest.raises(ExperimentError, match="has flowed already"):
        traffic.__enter__()
    with pytest.raises(ExperimentError, match="has ended: take its windows inside its block"):
        traffic.window("1s")


def test_a_dead_load_generator_is_told_and_the_next_experiment_has_another(running: Running) -> None:
    with (
        running.experiment() as (inject, load, _),
        pytest.raises(LoadFailure, match=r"(?s)Locust's process \(\d+\) has ended; its log .* ends with"),
        load(url("plain"), rate="50/s") as traffic,
        inject(abort(503), edge("plain")),
    ):
        running.kill("load generator")
        traffic.window("60s")

    with running.experiment() as (_, load, _), load(url("plain"), rate="50/s") as traffic:
        assert traffic.window("500ms").errors == 0


@pytest.mark.parametrize("victim", ["istio-chaos-load.shop", "v1.shop"], ids=["caller", "callee"])
def test_a_proxy_that_dies_ends_the_injection_and_keeps_nobody_waiting(tmp_path: Path, victim: str) -> None:
    with opened(tmp_path, CALLEES) as running:
        started = clock.now()
        with (
            running.experiment() as (inject, load, _),
            load(url("plain"), rate="50/s", timeout="1s") as traffic,
            pytest.raises(Aborted, match=rf"(?s)was ended early: sidecar of {victim} was ended by SIGKILL; its last lines"),
            inject(abort(503), edge("plain")),
        ):
            running.kill(f"sidecar of {victim}")
            traffic.window("60s")

        assert clock.now() - started < 30 * clock.NS
        with (
            running.experiment() as (_, load, _),
            pytest.raises(MeshFailure, match=f"sidecar of {victim} was ended by SIGKILL"),
        ):
            load(url("plain"), rate="50/s")


def test_a_refused_connection_is_retried_on_the_private_path_as_on_the_plain_one(tmp_path: Path) -> None:
    """Istio's default policy: two retries on connect-failure."""
    with opened(tmp_path, CALLEES, BARE) as running, running.experiment() as (_, load, _):
        with (
            load(url("bare"), rate="50/s", observe=edge("bare")) as own,
            load(url("bare"), rate="50/s", own=False) as bystanders,
        ):
            running.kill("bare-1.shop")
            own.settle()  # what it was answering is lost on either path
            bystanders.settle()
            with bystanders.recording() as plain:
                private = own.window("1s")

        assert (private.errors, plain.errors) == (0, 0)
        for window, source in ((private, "private path"), (plain, "access log")):
            calls = window.edge(edge("bare"))
            assert (calls.evidence.source, calls.flags()) == (source, {"-": calls.requests})
            # One replica in two is dead: about every second call is tried again.
            assert 0.2 < calls.retries / calls.requests < 0.9
