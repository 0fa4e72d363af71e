"""How often is a request tried again? From a VirtualService's `retries`, or the mesh's default, to Envoy's RetryPolicy.

Facts: istio pilot/pkg/networking/core/route/retry/retry.go. Backoff stays unset unless said, which is Envoy's 25 ms base.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from chaos.istio.durations import to_proto

_STATUS_CODES_TOKEN = "retriable-status-codes"
_RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
_CODES = frozenset(int(status) for status in HTTPStatus)
_TYPE = "type.googleapis.com/envoy.extensions.retry"


def retry_policy(written: Mapping[str, Any] | None, *, consistent_hash: bool, minor: int) -> dict[str, Any] | None:
    """Envoy's policy, or None where retries are off (`attempts` 0 or unset).

    `written` None means nobody said anything: Istio's default of two retries. Up to 1.23 that default retried on 503 too;
    from 1.24 on it does not (istio#50506), since the request may have been processed.
    """
    policy: dict[str, Any] = {"num_retries": 2, "retry_on": _RETRY_ON, "host_selection_retry_max_attempts": 5}
    if minor < 24:
        policy["retriable_status_codes"] = [503]
    if not consistent_hash:
        policy["retry_host_predicate"] = [_previous_hosts()]
    if written is None:
        return policy
    attempts = int(written.get("attempts") or 0)
    if attempts <= 0:
        return None
    policy["num_retries"] = attempts
    if written.get("retryOn"):
        _retry_on(policy, str(written["retryOn"]))
    if written.get("perTryTimeout") is not None:
        policy["per_try_timeout"] = to_proto(written["perTryTimeout"])
    if written.get("retryIgnorePreviousHosts") is not None:
        policy.pop("retry_host_predicate", None)
        if written["retryIgnorePreviousHosts"]:
            policy["retry_host_predicate"] = [_previous_hosts()]
    if written.get("retryRemoteLocalities"):
        policy["retry_priority"] = {
            "name": "envoy.retry_priorities.previous_priorities",
            "typed_config": {
                "@type": f"{_TYPE}.priority.previous_priorities.v3.PreviousPrioritiesConfig",
                "update_frequency": 2,
            },
        }
    if written.get("backoff") is not None:
        policy["retry_back_off"] = {"base_interval": to_proto(written["backoff"])}
    return policy


def inbound_retry_policy(minor: int, written: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """At the callee: once more when the application closed the connection before it read the request (since 1.24).

    `written` is MeshConfig's defaultInboundHttpRetryPolicy, which Istio reads since 1.32.
    """
    if minor < 24:
        return None
    policy: dict[str, Any] = {"retry_on": "reset-before-request", "num_retries": 2}
    if written is None or minor < 32:
        return policy
    policy["num_retries"] = int(written.get("attempts") or 0)
    if written.get("retryOn"):
        _retry_on(policy, str(written["retryOn"]))
    if written.get("perTryTimeout") is not None:
        policy["per_try_timeout"] = to_proto(written["perTryTimeout"])
    if written.get("backoff") is not None:
        policy["retry_back_off"] = {"base_interval": to_proto(written["backoff"])}
    return policy if policy["num_retries"] > 0 else None


def _retry_on(policy: dict[str, Any], text: str) -> None:
    """Codes in `retryOn` move to retriable_status_codes, and the token that makes Envoy look at them is added."""
    tokens, codes = [], []
    for part in filter(None, map(str.strip, text.split(","))):
        if part.isdigit() and int(part) in _CODES:
            codes.append(int(part))
        else:
            tokens.append(part)
    conditions = ",".join(tokens)
    policy.pop("retriable_status_codes", None)
    if codes:
        policy["retriable_status_codes"] = codes
        if _STATUS_CODES_TOKEN not in conditions:
            conditions += f",{_STATUS_CODES_TOKEN}"
    policy["retry_on"] = conditions


def _previous_hosts() -> dict[str, Any]:
    return {
        "name": "envoy.retry_host_predicates.previous_hosts",
        "typed_config": {"@type": f"{_TYPE}.host.previous_hosts.v3.PreviousHostsPredicate"},
    }
