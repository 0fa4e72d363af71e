"""When does a caller stop using a host that fails? A rule's `outlierDetection` as Envoy's outlier_detection.

No block, no ejection at all. In a block, what is unset is Envoy's: five 5xx in a row, every 10 s, for 30 s, at most 10 % of
the hosts (strictly: none of fewer than ten, measured on Envoy 1.40). Facts: istio CTP `applyOutlierDetection`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaos.istio.durations import to_proto


def outlier_detection(written: Mapping[str, Any]) -> dict[str, Any]:
    """envoy.config.cluster.v3.OutlierDetection. Ejection by success rate is always off."""
    out: dict[str, Any] = {"enforcing_success_rate": 0}
    _consecutive(out, "consecutive_5xx", written.get("consecutive5xxErrors"))
    _consecutive(out, "consecutive_gateway_failure", written.get("consecutiveGatewayErrors"))
    for key, field in (("interval", "interval"), ("baseEjectionTime", "base_ejection_time")):
        if written.get(key) is not None:
            out[field] = to_proto(written[key])
    if int(written.get("maxEjectionPercent") or 0) > 0:
        out["max_ejection_percent"] = int(written["maxEjectionPercent"])
    if written.get("splitExternalLocalOriginErrors"):
        out["split_external_local_origin_errors"] = True
        out["enforcing_local_origin_success_rate"] = 0
        if int(written.get("consecutiveLocalOriginFailures") or 0) > 0:
            _consecutive(out, "consecutive_local_origin_failure", written["consecutiveLocalOriginFailures"])
    return out


def panic_threshold(percent: float) -> dict[str, Any]:
    """healthy_panic_threshold: with less healthy hosts Envoy would use ejected ones too. 0, Istio's choice, never does."""
    return {"value": percent} if percent else {}


def _consecutive(out: dict[str, Any], field: str, written: object) -> None:
    """An explicit 0 switches a kind of detection off; unset leaves it to Envoy."""
    if written is not None:
        count = int(str(written))
        out[field] = count
        out[f"enforcing_{field}"] = 100 if count else 0
