"""How does Envoy's fault filter learn what to do? Filters that obey one header, and the headers that carry a fault.

The filters sit in the private path and are inert: they look at requests with `x-istio-chaos` of the right side only, and take
what to do from `x-envoy-fault-*`. Percentages travel as a whole numerator of a million. A key of the proxy's runtime limits how
many faults of a path may be active, delays, aborts and throttles alike: 0 is the last resort where no configuration reaches the
proxy any more. Sources: envoy source/extensions/filters/http/fault/fault_filter.cc; measured on Envoy 1.40.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chaos.injection.names import FAULT_HEADERS, HEADER, faults_key
from chaos.model.fault import Fault
from chaos.model.injection import Side

Json = dict[str, Any]

_MILLION = {"numerator": 1_000_000, "denominator": "MILLION"}


def caller_side(path: str) -> Json:
    """Acts before the router, as a VirtualService fault does."""
    return _filter(path, {"prefix": "caller;"})


def callee_side(path: str, replica: int) -> Json:
    """Acts on attempts at one replica: `callee:all;7`, or a list that has its index."""
    return _filter(path, {"safe_regex": {"regex": rf"callee:(all|([0-9,]*,)?{replica}(,[0-9,]*)?);.*"}})


def instruction(side: Side, replicas: int | None, numbers: Sequence[int]) -> str:
    """The value of our header: side, replicas by index, and the injections it stands for: `callee:0,1;7+9`, `caller;7`."""
    which = ":all" if replicas is None else ":" + ",".join(str(index) for index in range(replicas))
    return f"{side}{which if side is Side.CALLEE else ''};{'+'.join(map(str, numbers))}"


def drawn(value: str, replica: int | None) -> frozenset[int]:
    """Injections whose fault the filter of `replica` (None: the caller side's) draws, given this header value."""
    target, _, numbers = value.partition(";")
    side, _, which = target.partition(":")
    if replica is None:
        acts = target == Side.CALLER
    else:
        acts = side == Side.CALLEE and (which == "all" or str(replica) in which.split(","))
    return frozenset(map(int, numbers.split("+"))) if acts else frozenset()


def headers(fault: Fault) -> dict[str, str]:
    """What the route adds so that the filter injects this fault."""
    out: dict[str, str] = {}
    if fault.abort is not None:
        kind, code = ("abort", fault.abort.status) if fault.abort.status is not None else ("abort-grpc", fault.abort.grpc)
        out[f"x-envoy-fault-{kind}-request"] = str(code)
        # One percentage for both kinds: Envoy knows no "abort-grpc-request-percentage".
        out["x-envoy-fault-abort-request-percentage"] = _numerator(fault.abort.percent)
    if fault.delay is not None:
        out["x-envoy-fault-delay-request"] = str(round(fault.delay.duration.total_seconds() * 1000))
        out["x-envoy-fault-delay-request-percentage"] = _numerator(fault.delay.percent)
    if fault.throttle is not None:
        out["x-envoy-fault-throughput-response"] = str(fault.throttle.kib_per_second)
        out["x-envoy-fault-throughput-response-percentage"] = _numerator(100.0)
    return out


def strip_headers() -> tuple[str, ...]:
    """What must not reach the application."""
    return FAULT_HEADERS


def _numerator(percent: float) -> str:
    return str(int(percent * 10_000))


def _filter(path: str, match: Json) -> Json:
    return {
        "name": "istio-chaos.fault",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
            "headers": [{"name": HEADER, "string_match": match}],
            "abort": {"header_abort": {}, "percentage": _MILLION},
            "delay": {"header_delay": {}, "percentage": _MILLION},
            "response_rate_limit": {"header_limit": {}, "percentage": _MILLION},
            "max_active_faults_runtime": faults_key(path),
        },
    }
