"""What do real sidecars make of a VirtualService's `fault`? It acts before the router: timeouts, retries and mirrors never see it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.calling import TIMER, Callee, Caller, expected

ALWAYS = "percentage: {value: 100}"
CALLEES = (
    Callee(name="plain"),
    Callee(name="no-percentage", http="- fault: {abort: {httpStatus: 503}, delay: {fixedDelay: 9s}}"),
    Callee(name="percentage-0", http="- fault: {abort: {httpStatus: 503, percentage: {value: 0}}}"),
    Callee(name="old-percent", http="- fault: {delay: {fixedDelay: 1ms, percent: 100}}"),
    Callee(
        name="delegating",
        http=f"""
        - {{match: [{{uri: {{prefix: /direct}}}}], delegate: {{name: direct}}, fault: {{abort: {{httpStatus: 418, {ALWAYS}}}}}}}
        - {{match: [{{uri: {{prefix: /redirect}}}}], delegate: {{name: redirect}}, fault: {{abort: {{httpStatus: 418, {ALWAYS}}}}}}}
        """,
    ),
    Callee(name="delayed", http=f"- {{timeout: 500ms, fault: {{delay: {{fixedDelay: 700ms, {ALWAYS}}}}}}}"),
    Callee(name="copied"),
    Callee(
        name="aborted",
        http=f"""
        - fault: {{abort: {{httpStatus: 503, {ALWAYS}}}}}
          retries: {{attempts: 3, retryOn: 5xx}}
          mirror: {{host: copied}}
        """,
    ),
    Callee(name="switched", http=f"- fault: {{abort: {{httpStatus: 503, {ALWAYS}}}}}"),
    Callee(
        name="both",
        http=f"- fault: {{delay: {{fixedDelay: 50ms, {ALWAYS}}}, abort: {{httpStatus: 418, {ALWAYS}}}}}",
    ),
    Callee(
        name="independent",
        http="""
        - fault:
            delay: {fixedDelay: 1ms, percentage: {value: 30}}
            abort: {httpStatus: 418, percentage: {value: 30}}
        """,
    ),
    Callee(name="a-third", http="- fault: {abort: {httpStatus: 500, percentage: {value: 33.3}}}"),
    Callee(name="grpc-on-http", http=f"- fault: {{abort: {{grpcStatus: UNAVAILABLE, {ALWAYS}}}}}"),
    Callee(
        name="for-others",
        http=f"""
        - match: [{{sourceLabels: {{app: stranger}}}}]
          fault: {{abort: {{httpStatus: 503, {ALWAYS}}}}}
        - match: [{{headers: {{x-user: {{exact: tester}}}}}}]
          fault: {{abort: {{httpStatus: 503, {ALWAYS}}}}}
        - {{}}
        """,
    ),
    Callee(
        name="canary",
        http=f"""
        - fault: {{abort: {{httpStatus: 503, {ALWAYS}}}}}
          route:
          - {{destination: {{host: canary, subset: v1}}, weight: 50}}
          - {{destination: {{host: canary, subset: v2}}, weight: 50}}
        """,
    ),
)
# istiod takes no fault beside `directResponse` or `redirect`; a delegating rule brings them together all the same.
MORE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: direct, namespace: shop}
spec: {http: [{directResponse: {status: 204}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: redirect, namespace: shop}
spec: {http: [{redirect: {uri: /elsewhere}}]}
"""
ABORTED = "fault_filter_abort"


# ------------------------------------------------------------------------------------------------------------- shares
@pytest.mark.parametrize("service", ["no-percentage", "percentage-0"])
def test_a_fault_without_percentage_never_fires(caller: Caller, service: str) -> None:
    answers = caller.several(service, "/", 50)

    assert {answer.outcome for answer in answers} == {(200, "", "via_upstream")}


def test_the_old_integer_percent_of_a_delay_still_counts(caller: Caller) -> None:
    assert caller.get("old-percent").outcome == (200, "DI", "via_upstream")


def test_each_request_draws_for_itself(caller: Caller) -> None:
    answers = caller.several("a-third", "/", 400)

    assert sum(answer.outcome == (500, "FI", ABORTED) for answer in answers) == expected(400, 0.333)
    assert sum(answer.outcome == (200, "", "via_upstream") for answer in answers) == expected(400, 0.667)


def test_delay_and_abort_are_drawn_independently(caller: Caller) -> None:
    answers = caller.several("independent", "/", 600)

    shares = {"DI,FI": 0.3 * 0.3, "DI": 0.3 * 0.7, "FI": 0.7 * 0.3, "": 0.7 * 0.7}
    for flags, share in shares.items():
        assert sum(",".join(sorted(answer.flags)) == flags for answer in answers) == expected(600, share), flags


def test_delay_and_abort_of_one_request_come_one_after_the_other(caller: Caller) -> None:
    answer = caller.get("both")

    assert answer.outcome == (418, "DI,FI", ABORTED)
    assert answer.line["duration_ms"] >= TIMER * 50


# ------------------------------------------------------------------------------------------------------ who is touched
@pytest.mark.parametrize("path", ["/direct", "/redirect"])
def test_rules_that_answer_by_themselves_have_faults_too(caller: Caller, path: str) -> None:
    assert caller.get("delegating", path).outcome == (418, "FI", ABORTED)


def test_a_fault_on_a_weighted_rule_hits_every_arm(caller: Caller) -> None:
    assert {answer.outcome for answer in caller.several("canary", "/", 20)} == {(503, "FI", ABORTED)}


def test_only_those_whom_the_rule_matches_are_touched(caller: Caller) -> None:
    assert caller.get("for-others", x_user="tester").outcome == (503, "FI", ABORTED)
    assert caller.get("for-others").outcome == (200, "", "via_upstream")
    assert caller.get("plain").outcome == (200, "", "via_upstream")


# ----------------------------------------------------------------------------------- what the hop's own policy sees of it
def test_no_timeout_ends_an_injected_delay(caller: Caller) -> None:
    answer = caller.get("delayed")

    assert answer.outcome == (200, "DI", "via_upstream")
    assert answer.line["duration_ms"] >= TIMER * 700


def test_an_injected_abort_is_neither_retried_nor_mirrored_nor_sent(caller: Caller) -> None:
    answer = caller.get("aborted")

    assert (answer.outcome, answer.attempts) == ((503, "FI", ABORTED), 0)
    assert caller.counter("aborted", "upstream_rq_retry") == 0
    assert caller.counter("aborted", "upstream_rq_total") == 0
    assert caller.counter("copied", "upstream_rq_total") == 0


def test_a_grpc_status_is_a_good_answer_to_whoever_speaks_no_grpc(caller: Caller) -> None:
    answer = caller.get("grpc-on-http")

    assert answer.outcome == (200, "FI", ABORTED)
    assert answer.body == "fault filter abort"
    assert "grpc-status" not in answer.headers


# -------------------------------------------------------------------------------------------------------- kill switch
@contextmanager
def runtime(caller: Caller, key: str, value: str) -> Iterator[None]:
    """A runtime value of the caller's proxy; only an empty one takes it away again."""
    caller.admin.ask(f"/runtime_modify?{key}={value}", "POST")
    try:
        yield
    finally:
        caller.admin.ask(f"/runtime_modify?{key}=", "POST")


@pytest.mark.parametrize("key", ["fault.http.abort.abort_percent", "fault.http.max_active_faults"])
def test_runtime_values_stop_every_fault_until_they_are_cleared(caller: Caller, key: str) -> None:
    before = caller.several("switched", "/", 10)
    with runtime(caller, key, "0"):
        during = caller.several("switched", "/", 10)
    after = caller.several("switched", "/", 10)

    assert {answer.flags for answer in before} == {answer.flags for answer in after} == {frozenset({"FI"})}
    assert {answer.outcome for answer in during} == {(200, "", "via_upstream")}


def test_runtime_values_make_no_fault_where_none_is_configured(caller: Caller) -> None:
    with runtime(caller, "fault.http.abort.abort_percent", "100"), runtime(caller, "fault.http.abort.http_status", "503"):
        assert caller.get("plain").outcome == (200, "", "via_upstream")
