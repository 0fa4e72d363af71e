from __future__ import annotations

from typing import Any

import pytest

from chaos.envoy.retries import inbound_retry_policy, retry_policy

DEFAULT_CONDITIONS = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"


def policy(written: dict[str, Any] | None, *, consistent_hash: bool = False, minor: int = 29) -> dict[str, Any]:
    found = retry_policy(written, consistent_hash=consistent_hash, minor=minor)
    assert found is not None
    return found


def test_the_default_is_two_retries_on_other_hosts() -> None:
    found = policy(None)
    assert (found["num_retries"], found["retry_on"]) == (2, DEFAULT_CONDITIONS)
    assert found["host_selection_retry_max_attempts"] == 5
    assert [p["name"] for p in found["retry_host_predicate"]] == ["envoy.retry_host_predicates.previous_hosts"]
    assert "per_try_timeout" not in found
    assert "retriable_status_codes" not in found


def test_up_to_1_23_the_default_retried_503() -> None:
    assert policy(None, minor=23)["retriable_status_codes"] == [503]
    assert "retriable_status_codes" not in policy(None, minor=24)


@pytest.mark.parametrize("written", [{}, {"attempts": 0}, {"attempts": 0, "retryOn": "5xx"}, {"perTryTimeout": "1s"}])
def test_no_attempts_are_no_retries(written: dict[str, Any]) -> None:
    assert retry_policy(written, consistent_hash=False, minor=29) is None


def test_consistent_hashing_stays_with_its_host() -> None:
    assert "retry_host_predicate" not in policy(None, consistent_hash=True)
    assert "retry_host_predicate" in policy({"attempts": 1, "retryIgnorePreviousHosts": True}, consistent_hash=True)
    assert "retry_host_predicate" not in policy({"attempts": 1, "retryIgnorePreviousHosts": False})


@pytest.mark.parametrize(
    ("retry_on", "conditions", "codes"),
    [
        ("5xx", "5xx", None),
        ("5xx,reset", "5xx,reset", None),
        ("503", ",retriable-status-codes", [503]),
        ("5xx,503,504", "5xx,retriable-status-codes", [503, 504]),
        ("retriable-status-codes,429", "retriable-status-codes", [429]),
        ("999", "999", None),
    ],
)
def test_codes_move_out_of_the_conditions(retry_on: str, conditions: str, codes: list[int] | None) -> None:
    found = policy({"attempts": 3, "retryOn": retry_on}, minor=23)
    assert (found["retry_on"], found.get("retriable_status_codes")) == (conditions, codes)


def test_every_other_field() -> None:
    found = policy({"attempts": "4", "perTryTimeout": "250ms", "backoff": "1s", "retryRemoteLocalities": True})
    assert found["num_retries"] == 4
    assert found["retry_on"] == DEFAULT_CONDITIONS
    assert found["per_try_timeout"] == "0.25s"
    assert found["retry_back_off"] == {"base_interval": "1s"}
    assert found["retry_priority"]["typed_config"]["update_frequency"] == 2


@pytest.mark.parametrize(("minor", "retried"), [(23, False), (24, True), (29, True)])
def test_the_callee_retries_what_never_reached_the_application(minor: int, retried: bool) -> None:
    assert (inbound_retry_policy(minor) is not None) is retried
