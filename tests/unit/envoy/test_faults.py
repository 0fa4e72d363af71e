from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.envoy.faults import http_fault, hundredths, millionths

ABORT_ALL = {"percentage": {"value": 100}}


def fault(**written: Any) -> dict[str, Any]:
    return {key: value for key, value in http_fault(written).items() if key != "@type"}


@pytest.mark.parametrize(
    ("value", "numerator"), [(100, 1000000), (33.3, 333000), (0.57, 5699), (0.0003, 2), (1.13, 11299), (0.1, 1000)]
)
def test_percentages_are_cut_off_after_four_digits(value: float, numerator: int) -> None:
    assert millionths({"value": value}) == {"numerator": numerator, "denominator": "MILLION"}


def test_zero_is_left_out() -> None:
    assert millionths({}) == {"denominator": "MILLION"}
    assert hundredths(0) == {}
    assert hundredths(7) == {"numerator": 7}


@given(st.floats(0.0001, 100))
def test_never_more_than_was_asked_for(value: float) -> None:
    numerator = millionths({"value": value}).get("numerator", 0)
    assert 0 <= value * 10000 - numerator < 1


@pytest.mark.parametrize(
    ("delay", "made"),
    [
        (
            {"fixedDelay": "2s", "percentage": {"value": 10}},
            {"fixed_delay": "2s", "percentage": {"numerator": 100000, "denominator": "MILLION"}},
        ),
        ({"fixedDelay": "2s", "percent": 10}, {"fixed_delay": "2s", "percentage": {"numerator": 10}}),
        (
            {"fixedDelay": "2s", "percent": 10, "percentage": {"value": 0}},
            {"fixed_delay": "2s", "percentage": {"denominator": "MILLION"}},
        ),
        ({"fixedDelay": "2s"}, {"fixed_delay": "2s", "percentage": {}}),
        ({"percentage": {"value": 10}}, None),
        ({"exponentialDelay": "2s"}, None),
    ],
)
def test_delays(delay: dict[str, Any], made: dict[str, Any] | None) -> None:
    assert fault(delay=delay).get("delay") == made


@pytest.mark.parametrize(
    ("abort", "made"),
    [
        ({"httpStatus": 503}, {"http_status": 503}),
        ({"httpStatus": "503"}, {"http_status": 503}),
        ({"grpcStatus": "UNAVAILABLE"}, {"grpc_status": 14}),
        ({"grpcStatus": "OK"}, {"grpc_status": 0}),
        ({"grpcStatus": "NOT_FOUND", "httpStatus": 503}, {"grpc_status": 5}),
        ({}, None),
        (ABORT_ALL, None),
    ],
)
def test_aborts(abort: dict[str, Any], made: dict[str, Any] | None) -> None:
    assert fault(abort=abort).get("abort") == made


def test_an_abort_keeps_its_share() -> None:
    assert fault(abort={"httpStatus": 500, **ABORT_ALL})["abort"]["percentage"] == millionths({"value": 100})


def test_what_cannot_act_leaves_an_empty_filter() -> None:
    assert http_fault({"delay": {}, "abort": {}}) == http_fault()
