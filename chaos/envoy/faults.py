"""Which requests fail on purpose? From a VirtualService's `fault` to the fault filter's per-route configuration.

Facts: istio RT `TranslateFault`. A percentage becomes a numerator of a million by truncation in float64: 33.3 gives
333000, 0.57 gives 5699 and 0.0003 gives 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaos.istio.durations import to_proto

FAULT = "envoy.filters.http.fault"
_TYPE = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"
GRPC_CODES: Mapping[str, int] = {
    name: code
    for code, name in enumerate(
        (
            "OK",
            "CANCELLED",
            "UNKNOWN",
            "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED",
            "NOT_FOUND",
            "ALREADY_EXISTS",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
            "FAILED_PRECONDITION",
            "ABORTED",
            "OUT_OF_RANGE",
            "UNIMPLEMENTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "UNAUTHENTICATED",
        )
    )
}


def http_fault(written: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The filter's configuration; empty where neither delay nor abort can act, as istiod leaves it."""
    fault: dict[str, Any] = {"@type": _TYPE}
    written = written or {}
    delay, abort = _delay(written.get("delay")), _abort(written.get("abort"))
    if delay:
        fault["delay"] = delay
    if abort:
        fault["abort"] = abort
    return fault


def millionths(percentage: Mapping[str, Any]) -> dict[str, Any]:
    """envoy.type.v3.FractionalPercent of `{value: 33.3}`."""
    return fraction(int(float(percentage.get("value") or 0) * 10000), "MILLION")


def hundredths(percent: int) -> dict[str, Any]:
    return fraction(percent, "HUNDRED")


def fraction(numerator: int, denominator: str) -> dict[str, Any]:
    """In proto JSON, which leaves a zero numerator and the denominator HUNDRED (its zero value) out."""
    out: dict[str, Any] = {"numerator": numerator} if numerator else {}
    if denominator != "HUNDRED":
        out["denominator"] = denominator
    return out


def _delay(written: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A delay without percentage never fires: the deprecated integer `percent` counts then, and is 0 when unset."""
    if not written or written.get("fixedDelay") is None:
        return None
    percentage = written.get("percentage")
    share = millionths(percentage) if percentage is not None else hundredths(int(written.get("percent") or 0))
    return {"fixed_delay": to_proto(written["fixedDelay"]), "percentage": share}


def _abort(written: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """grpcStatus beats httpStatus; an abort without percentage never fires."""
    if not written:
        return None
    abort: dict[str, Any] = {}
    if written.get("grpcStatus") is not None:
        abort["grpc_status"] = GRPC_CODES.get(str(written["grpcStatus"]), 0)
    elif written.get("httpStatus") is not None:
        abort["http_status"] = int(written["httpStatus"])
    else:
        return None
    if written.get("percentage") is not None:
        abort["percentage"] = millionths(written["percentage"])
    return abort
