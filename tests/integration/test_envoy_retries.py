"""What do real sidecars try again, how often, and what ends a request? Retries and timeouts as VirtualServices ask for them."""

from __future__ import annotations

import pytest

from chaos.clock import Deadline, poll
from tests.calling import PATIENCE, TIMER, Callee, Caller

CALLEES = (
    Callee(name="default-policy"),
    Callee(name="attempts-only", http="- retries: {attempts: 5}"),
    Callee(name="switched-off", http="- retries: {attempts: 0}"),
    Callee(name="on-5xx", http="- retries: {attempts: 2, retryOn: 5xx}"),
    Callee(name="on-gateway-error", http="- retries: {attempts: 2, retryOn: gateway-error}"),
    Callee(name="on-4xx", http="- retries: {attempts: 2, retryOn: retriable-4xx}"),
    Callee(name="on-code", http='- retries: {attempts: 2, retryOn: "reset,500"}'),
    Callee(name="on-reset", http="- retries: {attempts: 2, retryOn: reset}"),
    Callee(name="timed-default", http="- retries: {attempts: 2, perTryTimeout: 300ms}"),
    Callee(name="timed-5xx", http="- retries: {attempts: 2, perTryTimeout: 300ms, retryOn: 5xx}"),
    Callee(name="timed-gateway-error", http="- retries: {attempts: 2, perTryTimeout: 300ms, retryOn: gateway-error}"),
    Callee(name="timed-reset", http="- retries: {attempts: 2, perTryTimeout: 300ms, retryOn: reset}"),
    Callee(name="timed-refused", http="- retries: {attempts: 2, perTryTimeout: 300ms, retryOn: refused-stream}"),
    Callee(name="timeout", http="- {timeout: 300ms, retries: {attempts: 2, retryOn: 5xx}}"),
    Callee(name="both-timeouts", http="- {timeout: 1s, retries: {attempts: 9, perTryTimeout: 300ms, retryOn: 5xx}}"),
    Callee(name="one-gone", pods="version: v1", policy="loadBalancer: {simple: ROUND_ROBIN}"),
    Callee(
        name="one-gone-no-retries",
        pods="version: v1",
        policy="loadBalancer: {simple: ROUND_ROBIN}",
        http="- retries: {attempts: 0}",
    ),
    Callee(name="all-gone", pods="app: gone"),
)
# Nothing listens at a pod without containers: its host refuses connections. `version: v1` selects it beside the callee's v1. Behind
# port 9001 of v1 there is a sidecar, but no application.
MORE = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: gone, namespace: shop}
spec:
  template:
    metadata: {labels: {app: gone, version: v1, sidecar.istio.io/inject: "false"}}
    spec: {containers: []}
---
apiVersion: v1
kind: Service
metadata: {name: closed, namespace: shop}
spec: {selector: {app: callee, version: v1}, ports: [{name: http, port: 80, targetPort: 9001}]}
"""


# --------------------------------------------------------------------------------------------------- what was answered
@pytest.mark.parametrize(
    ("service", "path", "status", "attempts"),
    [
        ("default-policy", "/503,200", 503, 1),
        ("attempts-only", "/503,200", 503, 1),
        ("switched-off", "/503,200", 503, 1),
        ("on-5xx", "/500,200", 200, 2),
        ("on-5xx", "/503,502,200", 200, 3),
        ("on-5xx", "/404,200", 404, 1),
        ("on-gateway-error", "/504,200", 200, 2),
        ("on-gateway-error", "/500,200", 500, 1),
        ("on-4xx", "/409,200", 200, 2),
        ("on-4xx", "/404,200", 404, 1),
        ("on-code", "/500,200", 200, 2),
        ("on-code", "/503,200", 503, 1),
    ],
)
def test_an_answer_is_retried_where_the_conditions_say_so(
    caller: Caller, service: str, path: str, status: int, attempts: int
) -> None:
    answer = caller.get(service, path)

    assert (answer.outcome, answer.attempts) == ((status, "", "via_upstream"), attempts)
    assert answer.body["headers"]["x-envoy-attempt-count"] == str(attempts)


def test_the_last_answer_stands_when_retries_are_used_up(caller: Caller) -> None:
    answer = caller.get("on-5xx", "/500,502,503,200")

    assert (answer.outcome, answer.attempts) == ((503, "URX", "via_upstream"), 3)


def test_what_the_application_cuts_off_is_a_503_of_its_own_sidecar_and_no_reset(caller: Caller) -> None:
    answer = caller.get("on-reset", "/close,200")

    assert (answer.outcome, answer.attempts) == ((503, "", "via_upstream"), 1)


# ------------------------------------------------------------------------------------------------------------ timeouts
def test_a_try_that_takes_too_long_is_not_retried_for_other_conditions(caller: Caller) -> None:
    answers = caller.at_once([("timed-default", "/hang,200"), ("timed-refused", "/hang,200")])

    for answer in answers:
        assert (answer.outcome, answer.attempts) == ((504, "UT", "upstream_per_try_timeout"), 1)


def test_a_try_that_takes_too_long_is_retried_for_any_of_these_conditions(caller: Caller) -> None:
    services = ("timed-5xx", "timed-gateway-error", "timed-reset")
    recovered = caller.at_once([(service, "/hang,200") for service in services])
    given_up = caller.at_once([(service, "/hang") for service in services])

    assert [(a.outcome, a.attempts) for a in recovered] == [((200, "", "via_upstream"), 2)] * 3
    assert [(a.outcome, a.attempts) for a in given_up] == [((504, "URX,UT", "upstream_per_try_timeout"), 3)] * 3
    assert min(a.line["duration_ms"] for a in given_up) >= TIMER * 3 * 300


def test_the_timeout_of_the_whole_request_is_never_retried(caller: Caller) -> None:
    alone, with_tries = caller.at_once([("timeout", "/hang,200"), ("both-timeouts", "/hang")])

    assert (alone.outcome, alone.attempts) == ((504, "UT", "response_timeout"), 1)
    assert with_tries.outcome == (504, "UT", "response_timeout")
    assert 2 <= with_tries.attempts <= 4


# --------------------------------------------------------------------------------------------------- failed connections
def test_a_refused_connection_is_retried_at_another_host_and_nobody_notices(caller: Caller) -> None:
    answers = caller.several("one-gone", "/", 6)

    assert {(answer.outcome, answer.pod) for answer in answers} == {((200, "", "via_upstream"), "v1")}
    assert {answer.attempts for answer in answers} in ({2}, {1, 2})
    assert caller.counter("one-gone", "upstream_rq_retry") == sum(answer.attempts - 1 for answer in answers)


def test_a_refused_connection_shows_where_there_are_no_retries(caller: Caller) -> None:
    answers = caller.several("one-gone-no-retries", "/", 6)

    refused = [answer for answer in answers if answer.status != 200]
    assert [(answer.status, answer.flags, answer.attempts) for answer in refused] == [(503, {"UF"}, 1)] * 3


def test_what_refuses_behind_its_own_sidecar_is_tried_again_by_that_and_no_refusal_to_others(caller: Caller) -> None:
    answer = caller.get("closed")
    line = poll(lambda: caller.callee_line("v1", answer.line["traceparent"]), deadline=Deadline.after(PATIENCE))

    assert (answer.outcome, answer.attempts) == ((503, "", "via_upstream"), 1)
    assert line is not None
    assert (set(line["flags"].split(",")), line["attempts"]) == ({"UF", "URX"}, 3)


def test_no_host_that_takes_connections(caller: Caller) -> None:
    answer = caller.get("all-gone")

    assert (answer.status, answer.flags, answer.attempts) == (503, {"UF", "URX"}, 3)
    assert answer.line["details"].startswith("upstream_reset_before_response_started{")
