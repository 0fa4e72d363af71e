import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.injection import fault_filter
from chaos.model.fault import Fault, abort, delay, throttle
from chaos.model.injection import Side

PATH = "istio-chaos.0123456789ab.1"


@given(st.sampled_from([None, 1, 2, 3, 12]), st.integers(0, 15), st.lists(st.integers(1, 99), min_size=1, max_size=3, unique=True))
def test_what_is_counted_as_drawn_is_what_the_filter_draws(replicas: int | None, replica: int, numbers: list[int]) -> None:
    value = fault_filter.instruction(Side.CALLEE, replicas, numbers)
    regex = fault_filter.callee_side(PATH, replica)["typed_config"]["headers"][0]["string_match"]["safe_regex"]["regex"]

    drawn = fault_filter.drawn(value, replica)

    assert bool(re.fullmatch(regex, value)) is bool(drawn)  # Envoy's safe_regex is a full match
    assert drawn == (frozenset(numbers) if replicas is None or replica < replicas else frozenset())
    assert fault_filter.drawn(value, None) == frozenset()


@given(st.integers(0, 5))
def test_a_caller_side_instruction_moves_the_caller_side_filter_only(replica: int) -> None:
    value = fault_filter.instruction(Side.CALLER, None, [7])

    assert value.startswith(fault_filter.caller_side(PATH)["typed_config"]["headers"][0]["string_match"]["prefix"])
    assert fault_filter.drawn(value, None) == {7}
    assert fault_filter.drawn(value, replica) == frozenset()


def test_a_stranger_without_our_header_draws_nothing() -> None:
    assert fault_filter.drawn("", None) == fault_filter.drawn("", 0) == frozenset()


@pytest.mark.parametrize(
    ("fault", "headers"),
    [
        (abort(503), {"x-envoy-fault-abort-request": "503", "x-envoy-fault-abort-request-percentage": "1000000"}),
        # Envoy has one percentage for both kinds of abort.
        (
            abort(grpc="UNAVAILABLE", percent=50),
            {"x-envoy-fault-abort-grpc-request": "14", "x-envoy-fault-abort-request-percentage": "500000"},
        ),
        (
            delay("1.5s", percent=0.57),
            {"x-envoy-fault-delay-request": "1500", "x-envoy-fault-delay-request-percentage": "5699"},
        ),
        (
            throttle("64KiB/s"),
            {"x-envoy-fault-throughput-response": "64", "x-envoy-fault-throughput-response-percentage": "1000000"},
        ),
    ],
)
def test_a_fault_travels_in_headers_that_are_taken_off_again(fault: Fault, headers: dict[str, str]) -> None:
    assert fault_filter.headers(fault) == headers
    assert headers.keys() <= set(fault_filter.strip_headers())
