"""What do the sidecars write down? One JSON line per request, both ends of every hop, with how it ended and whose it was.

`chaos.observe` reads them. On a cluster the mesh's own telemetry has to do for edges without a private path; here every
edge is covered.
"""

from __future__ import annotations

from typing import Any, Literal

Side = Literal["outbound", "inbound"]

FIELDS = {
    "start": "%START_TIME(%s.%6f)%",  # wall clock, seconds
    "duration_us": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",  # absent if no response was sent to its end
    "duration_ms": "%DURATION%",
    "code": "%RESPONSE_CODE%",
    "grpc": "%GRPC_STATUS_NUMBER%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "authority": "%REQ(:AUTHORITY)%",
    "route": "%ROUTE_NAME%",
    "cluster": "%UPSTREAM_CLUSTER_RAW%",  # without RAW it would be Istio's alt_stat_name
    "host": "%UPSTREAM_HOST%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "traceparent": "%REQ(TRACEPARENT)%",
    "baggage": "%REQ(BAGGAGE)%",
    "b3": "%REQ(X-B3-TRACEID?B3)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "stream": "%UNIQUE_ID%",  # STREAM_ID would be the x-request-id: the same on every hop and for every call made for one request
}
"""A value that is one command alone keeps its type: durations, codes and attempts are numbers (measured on Envoy 1.40)."""


def access_log(side: Side) -> dict[str, Any]:
    """Written to standard output, which is the instance's log file."""
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": "/dev/stdout",
            "log_format": {"json_format": {"istio_chaos": "sidecar", "side": side, **FIELDS}, "omit_empty_values": True},
        },
    }
