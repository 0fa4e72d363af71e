"""When do real sidecars stop using a host? A DestinationRule's `outlierDetection`: what counts, how many, and what is left then."""

from __future__ import annotations

import pytest

from chaos.clock import Deadline, poll
from tests.calling import PATIENCE, Callee, Caller, expected

ONE, BOTH = "{app: callee, version: v1}", "app: callee"
ALWAYS = "percentage: {value: 100}"


def ejecting(more: str = "consecutive5xxErrors: 3", percent: int = 100) -> str:
    """A policy whose ejections outlast the tests."""
    return f"outlierDetection: {{maxEjectionPercent: {percent}, baseEjectionTime: 10m, {more}}}"


CALLEES = (
    Callee(name="no-block"),
    Callee(name="default-percent", policy="outlierDetection: {consecutive5xxErrors: 3, baseEjectionTime: 10m}"),
    Callee(name="one-of-one", pods=ONE, policy=ejecting()),
    Callee(name="none-of-one", pods=ONE, policy=ejecting(percent=99)),
    Callee(name="one-of-two", policy=ejecting(percent=50)),
    Callee(name="none-of-two", policy=ejecting(percent=49)),
    Callee(name="all-of-two", policy=ejecting()),
    Callee(name="both-gone", policy=ejecting()),
    Callee(name="panicking", policy=ejecting("consecutive5xxErrors: 3, minHealthPercent: 50")),
    Callee(name="interrupted", pods=ONE, policy=ejecting()),
    Callee(name="gateway-errors", pods=ONE, policy=ejecting("consecutiveGatewayErrors: 3, consecutive5xxErrors: 0")),
    Callee(name="timed", pods=ONE, policy=ejecting(), http="- timeout: 20ms"),
    Callee(name="aborted", pods=ONE, policy=ejecting(), http=f"- fault: {{abort: {{httpStatus: 503, {ALWAYS}}}}}"),
    Callee(
        name="retried",
        policy=ejecting(percent=50) + "\nloadBalancer: {simple: ROUND_ROBIN}",
        http="- retries: {attempts: 2, retryOn: 5xx}",
    ),
    *(
        Callee(name=f"of-{n}", pods=f"app: gone-{n}", policy="outlierDetection: {consecutive5xxErrors: 1, baseEjectionTime: 10m}")
        for n in (9, 10)
    ),
    Callee(name="subset-only", http="- route: [{destination: {host: subset-only, subset: v1}}]", policy=ejecting()),
)
# Pods where nothing listens: refused connections count like any 5xx.
GONE = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: gone-{0}, namespace: shop}}
spec:
  replicas: {0}
  template:
    metadata: {{labels: {{app: gone-{0}, sidecar.istio.io/inject: "false"}}}}
    spec: {{containers: []}}
"""
MORE = "---".join(GONE.format(replicas) for replicas in (9, 10))
NOBODY_LEFT = (503, "UH", "no_healthy_upstream")


# --------------------------------------------------------------------------------------------------------- what counts
def test_without_a_block_nobody_is_ever_ejected(caller: Caller) -> None:
    caller.several("no-block", "/503", 20)

    assert caller.ejected("no-block") == 0


def test_failures_count_in_a_row_and_one_success_begins_anew(caller: Caller) -> None:
    for path in ("/500", "/503", "/", "/503", "/503", "/"):
        caller.get("interrupted", path)
    before = caller.ejected("interrupted")
    caller.several("interrupted", "/503", 3)

    assert (before, caller.ejected("interrupted")) == (0, 1)


def test_each_host_has_a_count_of_its_own(caller: Caller) -> None:
    answers = caller.several("one-of-two", "/503?at=v1", 40)

    assert [answer.status for answer in answers].count(503) == 3
    assert caller.ejected("one-of-two") == 1
    assert {answer.pod for answer in caller.several("one-of-two", "/", 20)} == {"v2"}


def test_gateway_errors_alone(caller: Caller) -> None:
    caller.several("gateway-errors", "/500", 10)
    before = caller.ejected("gateway-errors")
    caller.several("gateway-errors", "/504", 3)

    assert (before, caller.ejected("gateway-errors")) == (0, 1)


def test_the_routers_own_timeouts_count(caller: Caller) -> None:
    answers = caller.several("timed", "/hang", 3)

    assert {answer.flags for answer in answers} == {frozenset({"UT"})}
    assert caller.ejected("timed") == 1


def test_injected_aborts_never_count(caller: Caller) -> None:
    answers = caller.several("aborted", "/", 10)

    assert {answer.flags for answer in answers} == {frozenset({"FI"})}
    assert caller.ejected("aborted") == 0


def test_attempts_count_where_requests_do_not_show_it(caller: Caller) -> None:
    answers = caller.several("retried", "/503?at=v1", 30)

    assert {answer.status for answer in answers} == {200}
    assert caller.ejected("retried") == 1


# ------------------------------------------------------------------------------------------------------- how many hosts
@pytest.mark.parametrize(
    ("service", "ejected"),
    [("one-of-one", 1), ("none-of-one", 0), ("none-of-two", 0), ("all-of-two", 2), ("default-percent", 0)],
)
def test_the_percentage_is_never_exceeded(caller: Caller, service: str, ejected: int) -> None:
    caller.several(service, "/503", 30)

    assert caller.ejected(service) == ejected
    assert (caller.counter(service, "outlier_detection.ejections_overflow") > 0) == (ejected == 0)


@pytest.mark.parametrize(("service", "ejected"), [("of-9", 0), ("of-10", 1)])
def test_the_default_of_ten_percent_ejects_nobody_of_less_than_ten(caller: Caller, service: str, ejected: int) -> None:
    answers = caller.several(service, "/", 20)

    assert {answer.flags for answer in answers} == {frozenset({"UF", "URX"})}
    assert caller.ejected(service) == ejected


# --------------------------------------------------------------------------------------------------------- what is left
# Envoy tells its workers of the first ejection at once and gathers what comes within a second of it (`update_merge_window`): the
# second host of two is still used for a while.
def test_without_a_host_the_sidecar_answers(caller: Caller) -> None:
    caller.several("both-gone", "/503", 30)

    assert caller.ejected("both-gone") == 2
    assert poll(lambda: caller.get("both-gone").outcome == NOBODY_LEFT, deadline=Deadline.after(PATIENCE))


def test_in_a_panic_ejected_hosts_are_used_again(caller: Caller) -> None:
    caller.several("panicking", "/503", 30)

    def panics() -> bool:
        return caller.get("panicking").status == 200 and caller.counter("panicking", "lb_healthy_panic") > 0

    assert caller.ejected("panicking") == 2
    assert poll(panics, deadline=Deadline.after(PATIENCE))
    answers = caller.several("panicking", "/", 60)
    assert {answer.status for answer in answers} == {200}
    assert sum(answer.pod == "v1" for answer in answers) == expected(60, 0.5)


def test_a_subset_is_a_cluster_of_its_own(caller: Caller) -> None:
    caller.several("subset-only", "/503", 3)

    assert caller.get("subset-only").outcome == NOBODY_LEFT
    assert caller.ejected("subset-only") == 0
