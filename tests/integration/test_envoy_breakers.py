"""How do real sidecars refuse what is too much? A DestinationRule's `connectionPool`: which limit, which flag, which counter.

One request is held by the application, so that what comes meanwhile finds the limit reached.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from chaos.clock import Deadline, poll
from tests.calling import PATIENCE, Callee, Caller

ONE = "{app: callee, version: v1}"
CALLEES = (
    # The first by name of a pod's services decides the limits of the pod's own sidecar: this one sets none.
    Callee(name="a-unlimited"),
    Callee(name="pending", pods=ONE, policy="connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}"),
    Callee(name="requests", pods=ONE, policy="connectionPool: {http: {http2MaxRequests: 1}}"),
    Callee(
        name="retries",
        pods=ONE,
        policy="connectionPool: {http: {maxRetries: 1}}",
        http="- retries: {attempts: 2, retryOn: 5xx}",
    ),
    Callee(
        name="delayed",
        pods=ONE,
        policy="connectionPool: {http: {http2MaxRequests: 1}}",
        http="- {match: [{uri: {prefix: /slow}}], fault: {delay: {fixedDelay: 250ms, percentage: {value: 100}}}}\n- {}",
    ),
    Callee(
        name="subset",
        policy="connectionPool: {http: {http2MaxRequests: 1}}",
        http="- {match: [{uri: {prefix: /v2}}], route: [{destination: {host: subset, subset: v2}}]}\n"
        "- route: [{destination: {host: subset, subset: v1}}]",
    ),
)
OVERFLOW = (503, "UO", "upstream_reset_before_response_started{overflow}")


def test_connections_and_the_queue_for_them(caller: Caller) -> None:
    refused, served = caller.beside_a_held_one("pending", 5, early=4)

    assert [answer.outcome for answer in refused] == [OVERFLOW] * 4
    assert {answer.headers["x-envoy-overloaded"] for answer in refused} == {"true"}
    assert [answer.status for answer in served] == [200, 200]
    assert caller.counter("pending", "upstream_rq_pending_overflow") == 4
    assert caller.counter("pending", "upstream_cx_overflow") >= 1
    assert caller.counter("pending", "upstream_rq_active_overflow") == 0


def test_requests_under_way(caller: Caller) -> None:
    refused, served = caller.beside_a_held_one("requests", 5, early=5)

    assert [answer.outcome for answer in refused] == [OVERFLOW] * 5
    assert [answer.status for answer in served] == [200]
    assert caller.counter("requests", "upstream_rq_active_overflow") == 5
    assert caller.counter("requests", "upstream_rq_pending_overflow") == 0


def test_retries_under_way(caller: Caller) -> None:
    (refused,), (served,) = caller.beside_a_held_one("retries", 1, early=1, path="/503", held="/503,hold")

    assert (refused.outcome, refused.attempts) == ((503, "UO", "via_upstream"), 1)
    assert (served.status, served.attempts) == (200, 2)
    assert caller.counter("retries", "upstream_rq_retry_overflow") == 1


def test_a_subset_has_limits_of_its_own(caller: Caller) -> None:
    (other,), _ = caller.beside_a_held_one("subset", 1, early=1, path="/v2")

    assert other.status == 200


def test_injected_delays_take_nothing_of_a_limit(caller: Caller) -> None:
    def delays() -> int:
        return sum(caller.mesh.counters(caller.pod, r"fault\.delays_injected$").values())

    before = delays()
    with ThreadPoolExecutor(1) as threads:
        delayed = threads.submit(caller.get, "delayed", "/slow")
        assert poll(lambda: delays() > before, deadline=Deadline.after(PATIENCE))
        meanwhile = caller.at_once([("delayed", "/")])[0]

    assert (meanwhile.outcome, delayed.result().outcome) == ((200, "", "via_upstream"), (200, "DI", "via_upstream"))
