from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.istio import durations


@pytest.mark.parametrize(
    ("text", "proto"),
    [
        ("1s", "1s"),
        ("0s", "0s"),
        ("0", "0s"),
        ("1m30s", "90s"),
        ("1h", "3600s"),
        ("400ms", "0.4s"),
        ("1.5s", "1.5s"),
        (".5s", "0.5s"),
        ("250us", "0.00025s"),
        ("-2s", "-2s"),
        ("-100ms", "-0.1s"),
    ],
)
def test_go_spelling_becomes_proto_json(text: str, proto: str) -> None:
    assert durations.to_proto(text) == proto


@pytest.mark.parametrize("text", ["7", "1d", "2w", "1 s", "s", "", "1s2", "1,5s", 5, None, True])
def test_what_go_refuses_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        durations.parse(text)


def test_proto_json_needs_its_unit() -> None:
    assert durations.from_proto("0.4s") == timedelta(milliseconds=400)
    with pytest.raises(ValueError, match="proto JSON"):
        durations.from_proto("400ms")


@given(st.timedeltas(min_value=timedelta(days=-300), max_value=timedelta(days=300)))
def test_proto_json_keeps_the_value(duration: timedelta) -> None:
    assert durations.from_proto(durations.proto(duration)) == duration


@given(st.integers(0, 10_000), st.integers(0, 59), st.integers(0, 999))
def test_units_add_up(minutes: int, seconds: int, millis: int) -> None:
    expected = timedelta(minutes=minutes, seconds=seconds, milliseconds=millis)
    assert durations.parse(f"{minutes}m{seconds}s{millis}ms") == expected
