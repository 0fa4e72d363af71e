"""Does gRPC go through real sidecars as HTTP does? Calls by service address, their retries and faults, and the private path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from chaos.errors import LoadFailure
from chaos.load.port import Flow, Generator, LoadPlan
from chaos.model.fault import abort
from chaos.model.injection import Side
from chaos.run.experiment import Experiment
from chaos.run.run import Run, RunOptions, new_id
from tests import grpc_callee
from tests.calling import PATIENCE, PORT, Callee, Caller, expected
from tests.grpc_calls import GrpcAnswer, call

PROGRAM = Path(grpc_callee.__file__)
OK, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE = 0, 4, 13, 14
GRPC_OF_HTTP = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14, 408: 2, 418: 2, 500: 2}


def grpc(name: str, http: str = "", **more: str) -> Callee:
    return Callee(name=name, http=http, port="grpc", **more)


CALLEES = (
    grpc("greeter"),
    grpc("switched-off", "- retries: {attempts: 0}"),
    grpc("on-internal", "- retries: {attempts: 2, retryOn: internal}"),
    grpc("timeout", "- {timeout: 300ms, retries: {attempts: 0}}"),
    grpc("unavailable", "- fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100}}}"),
    grpc(
        "aborting",
        "\n".join(
            f"- {{match: [{{headers: {{x-abort: {{exact: '{status}'}}}}}}], "
            f"fault: {{abort: {{httpStatus: {status}, percentage: {{value: 100}}}}}}}}"
            for status in GRPC_OF_HTTP
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Called:
    answer: GrpcAnswer
    line: Mapping[str, Any]
    """Of the caller's sidecar."""

    @property
    def outcome(self) -> tuple[int, int]:
        """(grpc-status, attempts)"""
        return self.answer.status, int(self.line["attempts"])


def greet(caller: Caller, service: str, method: str = "/test.Greeter/Greet", **metadata: str) -> Called:
    """One call; metadata is written with underscores."""
    where = caller.endpoint(service)
    written = {name.replace("_", "-"): value for name, value in metadata.items()}
    written.setdefault("traceparent", caller.new_trace())
    answer = call(where.address, where.port, method, authority=f"{service}:{PORT}", metadata=written, timeout=PATIENCE)
    return Called(answer, caller.line(written["traceparent"]))


# ---------------------------------------------------------------------------------------------------------- plain calls
def test_a_unary_call_is_answered_over_http2_on_every_hop(caller: Caller) -> None:
    called = greet(caller, "greeter", x_user="somebody")

    (message,) = called.answer.messages
    assert (called.answer.http_status, called.answer.status, called.answer.trailers["grpc-status"]) == (200, OK, "0")
    assert message["method"] == "/test.Greeter/Greet"
    seen = message["headers"]
    assert (seen[":authority"], seen["te"], seen["x-user"]) == ("greeter:80", "trailers", "somebody")
    assert caller.counter("greeter", "upstream_cx_http2_total") > 0


def test_a_server_stream_is_whole(caller: Caller) -> None:
    called = greet(caller, "greeter", "/test.Greeter/Count", x_count="50")

    assert [message["number"] for message in called.answer.messages] == list(range(50))


# ------------------------------------------------------------------------------------------------------------- retries
@pytest.mark.parametrize(
    ("service", "answers", "status", "attempts"),
    [
        ("greeter", "14,0", OK, 2),
        ("greeter", "14", UNAVAILABLE, 3),
        ("greeter", "1,0", OK, 2),
        ("greeter", "13,0", INTERNAL, 1),
        ("greeter", "4,0", DEADLINE_EXCEEDED, 1),
        ("greeter", "late-14,0", UNAVAILABLE, 1),
        ("switched-off", "14,0", UNAVAILABLE, 1),
        ("on-internal", "13,0", OK, 2),
        ("on-internal", "14,0", UNAVAILABLE, 1),
    ],
)
def test_a_status_is_retried_where_the_conditions_say_so_and_nothing_was_sent_on(
    caller: Caller, service: str, answers: str, status: int, attempts: int
) -> None:
    assert greet(caller, service, x_answer=answers).outcome == (status, attempts)


def test_what_the_callee_says_in_trailers_only_arrives_so(caller: Caller) -> None:
    called = greet(caller, "greeter", x_answer="13")

    assert (called.answer.messages, called.answer.trailers) == ((), {})
    assert called.answer.headers["grpc-message"] == "as told: 13"


def test_a_timeout_of_the_route_holds_at_the_callee_s_sidecar_too(caller: Caller) -> None:
    in_time, late = greet(caller, "timeout"), greet(caller, "timeout", x_answer="hang")

    assert in_time.answer.messages[0]["headers"]["grpc-timeout"] == "300m"
    # Which of the two sidecars answers first is open; their answers differ.
    ends = {("UT", "response_timeout", UNAVAILABLE), ("-", "via_upstream", DEADLINE_EXCEEDED)}
    assert (late.line["flags"], late.line["details"], late.answer.status) in ends
    assert late.answer.http_status == 200


# -------------------------------------------------------------------------------------------------- VirtualService faults
@pytest.mark.parametrize(("http_status", "status"), GRPC_OF_HTTP.items())
def test_an_injected_http_status_becomes_a_grpc_status(caller: Caller, http_status: int, status: int) -> None:
    called = greet(caller, "aborting", x_abort=str(http_status))

    assert (called.answer.http_status, called.outcome) == (200, (status, 0))
    assert called.line["flags"] == "FI"


def test_an_injected_grpc_status(caller: Caller) -> None:
    called = greet(caller, "unavailable")

    assert (called.answer.http_status, called.outcome) == (200, (UNAVAILABLE, 0))


# --------------------------------------------------------------------------------------------------------- private path
class NoLoad(Generator):
    """These tests call by themselves."""

    def start(self, plan: LoadPlan) -> Flow:
        raise LoadFailure(f"no load was expected: {plan}")

    def close(self) -> None:
        """Nothing was started."""


@pytest.fixture(scope="module")
def run(caller: Caller, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        options = RunOptions(id=new_id(), folder=tmp_path_factory.mktemp("run"))
        run = Run.opened(options, caller.topology, mesh=lambda _: caller.mesh, generator=lambda _: NoLoad())
        yield run
        run.close()


@pytest.fixture
def experiment(run: Run) -> Iterator[Experiment]:
    experiment = run.experiment("gRPC")
    yield experiment
    experiment.finish()


class Own:
    """Calls with the mark of an experiment."""

    def __init__(self, caller: Caller, experiment: Experiment) -> None:
        self._caller = caller
        self._mark = experiment.mark.flow(1)
        self._sequence = count(1)

    def greet(self, service: str, method: str = "/test.Greeter/Greet", **metadata: str) -> Called:
        marked = {name.replace("-", "_"): value for name, value in self._mark.headers(next(self._sequence)).items()}
        return greet(self._caller, service, method, **marked, **metadata)

    def statuses(self, service: str, calls: int) -> list[int]:
        with ThreadPoolExecutor(8) as threads:
            return [called.answer.status for called in threads.map(self.greet, [service] * calls)]


@pytest.fixture
def own(caller: Caller, experiment: Experiment) -> Own:
    return Own(caller, experiment)


def test_the_private_path_carries_calls_and_streams_whole(experiment: Experiment, own: Own) -> None:
    experiment.observe("istio-chaos-load -> greeter")

    called, counted = own.greet("greeter"), own.greet("greeter", "/test.Greeter/Count", x_count="50")
    assert called.line["cluster"].startswith("istio-chaos.")
    assert called.answer.status == OK
    assert not [name for name in called.answer.messages[0]["headers"] if name.startswith(("x-istio-chaos", "x-envoy-fault"))]
    assert [message["number"] for message in counted.answer.messages] == list(range(50))
    assert own.greet("greeter", x_answer="14,0").answer.status == OK


def test_an_abort_behind_the_router_is_retried_and_undone(caller: Caller, experiment: Experiment, own: Own) -> None:
    with experiment.inject(abort(grpc="UNAVAILABLE"), "istio-chaos-load -> greeter") as injection:
        during, bystander = own.statuses("greeter", 5), greet(caller, "greeter").answer.status
    after = own.statuses("greeter", 5)

    assert injection.record.side is Side.CALLEE
    assert (during, bystander, after) == ([UNAVAILABLE] * 5, OK, [OK] * 5)
    assert tries(caller, experiment) == [3] * 5


def test_half_of_the_attempts_fail_and_an_eighth_of_the_calls(experiment: Experiment, own: Own) -> None:
    with experiment.inject(abort(grpc="UNAVAILABLE", percent=50), "istio-chaos-load -> greeter"):
        statuses = own.statuses("greeter", 300)

    assert set(statuses) == {OK, UNAVAILABLE}
    assert statuses.count(UNAVAILABLE) == expected(300, 0.5**3)


def test_an_abort_that_no_policy_would_act_on_is_the_callers(caller: Caller, experiment: Experiment, own: Own) -> None:
    with experiment.inject(abort(grpc="INTERNAL"), "istio-chaos-load -> greeter") as injection:
        during = own.statuses("greeter", 5)

    assert injection.record.side is Side.CALLER
    assert during == [INTERNAL] * 5
    assert tries(caller, experiment) == [0] * 5


def tries(caller: Caller, experiment: Experiment) -> list[int]:
    """Of each faulted call of this experiment, as the private path wrote them down."""
    caller.mesh.flush_logs([caller.pod])
    lines = map(json.loads, caller.mesh.read_log(caller.pod, 0)[0].splitlines())
    return [
        line["tries"] for line in lines
        if line["istio_chaos"] == "call" and line["event"] == "DownstreamEnd" and experiment.mark.digits in line["traceparent"]
        and line["chaos"]
    ]  # fmt: skip
