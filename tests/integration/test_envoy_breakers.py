"""How do real sidecars refuse what is too much? A DestinationRule's `connectionPool`: which limit, which flag, which counter.

One request is held by the application, so that what comes meanwhile finds the limit reached.
"""

from __future__ import annotations

import pytest

from tests.calling import Callee, Caller

ONE = "{app: callee, version: v1}"
CALLEES = (
    # Of two services in front of one pod the first by name decides the limits of the callee's own sidecar: this has none.
    Callee(name="a-unlimited"),
    Callee(name="pending", pods=ONE, policy="connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}"),
    Callee(name="requests", pods=ONE, policy="connectionPool: {http: {http2MaxRequests: 1}}"),
    Callee(
        name="retries",
        pods=ONE,
        policy="connectionPool: {http: {maxRetries: 1}}",
        http="- retries: {attempts: 2, retryOn: 5xx}",
    ),
    Callee(name="subset", http="- route: [{destination: {host: subset, subset: v1}}]", policy="connectionPool: {http: {http2MaxRequests: 1}}"),
)
OVERFLOW = (503, "UO", "upstream_reset_before_response_started{overflow}")


@pytest.mark.parametrize(
    ("service", "queued", "counter", "other"),
    [
        ("pending", 1, "upstream_rq_pending_overflow", "upstream_rq_active_overflow"),
        ("requests", 0, "upstream_rq_active_overflow", "upstream_rq_pending_overflow"),
    ],
)
def test_what_is_too_much_is_refused_at_once(caller: Caller, service: str, queued: int, counter: str, other: str) -> None:
    with caller.while_held(service) as held:
        answers = caller.at_once([(service, "/")] * (5 - queued)) ...
