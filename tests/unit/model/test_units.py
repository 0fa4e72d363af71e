from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.errors import InvalidValue
from chaos.model import units


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("2s", 2000),
        ("500ms", 500),
        ("1m30s", 90_000),
        ("1.5s", 1500),
        (" 1ms ", 1),
        (timedelta(seconds=3), 3000),
        ("1h", 3_600_000),
    ],
)
def test_durations_are_read_as_istio_writes_them(text: object, milliseconds: int) -> None:
    assert units.duration(text) == timedelta(milliseconds=milliseconds)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("500", 'did you mean "500ms" or "500s"'),
        (5, "with a unit"),
        ("1d", "the units are h, m, s, ms"),
        ("-2s", "not negative"),
        ("0s", "the shortest duration is 1 ms"),
        ("0.5ms", "the shortest duration is 1 ms"),
        ("soon", "which is no duration"),
        (timedelta(0), "the shortest duration is 1 ms"),
    ],
)
def test_a_duration_that_cannot_be_meant_is_refused_with_a_remedy(value: object, says: str) -> None:
    with pytest.raises(InvalidValue, match=says):
        units.duration(value, name="delay")


@pytest.mark.parametrize(("value", "number"), [("99%", 0.99), ("100%", 1.0), ("0.1 %", 0.001), (0.5, 0.5)])
def test_shares(value: str | float, number: float) -> None:
    assert units.share(value) == pytest.approx(number)


@pytest.mark.parametrize("value", ["99", "0%", "101%", 0, 1, 1.0, 98, True, "high"])
def test_a_share_says_whether_it_is_a_percentage(value: object) -> None:
    with pytest.raises(InvalidValue):
        units.share(value)


@pytest.mark.parametrize("value", [0, 101, -1, 0.00001, float("nan"), float("inf"), True, "50"])
def test_percentages_that_would_inject_nothing_or_too_much_are_refused(value: object) -> None:
    with pytest.raises(InvalidValue, match="percent is"):
        units.percentage(value)


def test_zero_percent_is_explained() -> None:
    with pytest.raises(InvalidValue, match="everything would look well"):
        units.percentage(0)


@pytest.mark.parametrize(("percent", "numerator"), [(33.3, 333000), (0.57, 5699), (0.0003, 2), (1.13, 11299), (100, 1_000_000)])
def test_probabilities_are_truncated_as_istiod_truncates(percent: float, numerator: int) -> None:
    assert units.probability(percent) == numerator / 1_000_000


@pytest.mark.parametrize(("value", "number"), [("100/s", 100), ("30/m", 0.5), (12.5, 12.5), ("2 / second", 2)])
def test_rates(value: str | float, number: float) -> None:
    assert units.rate(value) == number


@pytest.mark.parametrize("value", ["100", 0, -1, "100/h", 1_000_000, True])
def test_rates_need_a_unit_and_a_bound(value: object) -> None:
    with pytest.raises(InvalidValue):
        units.rate(value)


@pytest.mark.parametrize(("value", "kib"), [("64KiB/s", 64), ("2MiB/s", 2048), ("1GiB/s", 1024 * 1024)])
def test_byte_rates(value: str, kib: int) -> None:
    assert units.byte_rate(value) == kib


@pytest.mark.parametrize("value", ["64KB/s", "0.5KiB/s", "64", 65, "1.3KiB/s"])
def test_byte_rates_are_whole_kibibytes(value: object) -> None:
    with pytest.raises(InvalidValue):
        units.byte_rate(value)


@given(st.integers(min_value=1, max_value=10**9))
def test_what_is_printed_is_read_back(milliseconds: int) -> None:
    value = timedelta(milliseconds=milliseconds)

    assert units.duration(units.text_of(value)) == value


@pytest.mark.parametrize(("value", "text"), [(1.2345, "1.23 s"), (0.0456, "45.6 ms"), (float("inf"), "never"), (10, "10 s")])
def test_measured_times_for_people(value: float, text: str) -> None:
    assert units.seconds(value) == text
