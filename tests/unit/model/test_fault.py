import pytest

from chaos.errors import InvalidValue
from chaos.model.fault import GRPC_STATUS, abort, delay, throttle


@pytest.mark.parametrize(
    ("fault", "identity"),
    [
        (delay("2s"), "delay-2s"),
        (delay("500ms", percent=10), "delay-500ms-10%"),
        (abort(503), "abort-503"),
        (abort(grpc="UNAVAILABLE"), "abort-UNAVAILABLE"),
        (throttle("64KiB/s"), "throttle-64KiB/s"),
        (delay("2s") + abort(503, percent=50), "delay-2s+abort-503-50%"),
    ],
)
def test_ids_are_readable(fault: object, identity: str) -> None:
    assert fault.id == identity


@pytest.mark.parametrize("status", [700, 600, 199, 0, "503", 503.0, True, None])
def test_statuses_envoy_cannot_answer_are_refused(status: object) -> None:
    with pytest.raises(InvalidValue):
        abort(status)


@pytest.mark.parametrize("name", ["unavailable", "UNAVAILABEL", "14", 3])
def test_grpc_statuses_are_canonical_names(name: object) -> None:
    with pytest.raises(InvalidValue, match="UNAVAILABLE|ABORTED|there are"):
        abort(grpc=name)


def test_both_kinds_of_status_at_once_are_refused() -> None:
    with pytest.raises(InvalidValue, match="one of them"):
        abort(503, grpc="UNAVAILABLE")


def test_numbers_of_grpc_statuses() -> None:
    assert (GRPC_STATUS["OK"], GRPC_STATUS["UNAVAILABLE"], GRPC_STATUS["UNAUTHENTICATED"]) == (0, 14, 16)


@pytest.mark.parametrize("value", ["500", "1.5ms", "0s", 2])
def test_delays_are_whole_milliseconds_with_a_unit(value: object) -> None:
    with pytest.raises(InvalidValue):
        delay(value)


@pytest.mark.parametrize("percent", [0, 101, -3])
def test_percentages_are_checked_when_a_fault_is_built(percent: float) -> None:
    with pytest.raises(InvalidValue):
        abort(503, percent=percent)


def test_faults_are_combined_once_of_each_kind() -> None:
    both = delay("2s") + abort(503)

    assert both == abort(503) + delay("2s")
    with pytest.raises(InvalidValue, match="at most one delay"):
        both + delay("1s")


def test_only_a_delay_outlives_its_fault() -> None:
    assert (delay("2s") + abort(503)).longest == 2.0
    assert abort(503).longest == 0.0
