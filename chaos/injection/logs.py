"""What do the proxies write down on the private path? One line when a stream starts, one when it ends.

`chaos.observe` reads them back. The line of the start knows what later steps take off the request (our headers) and tells what is
still under way; the line of the end knows how it went. `stream` pairs the two, `call` ties an attempt to its call.
"""

from __future__ import annotations

from typing import Any

from chaos.injection.names import HEADER, HEADER_CALL

STREAM = "%CONNECTION_ID%-%START_TIME(%s%9f)%"
"""Names one stream of one proxy. Envoy's own STREAM_ID is the x-request-id where there is one, so hops and tries share it."""

FIELDS = {
    "event": "%ACCESS_LOG_TYPE%",  # DownstreamStart, DownstreamEnd
    "stream": STREAM,
    "start": "%START_TIME(%s.%6f)%",  # wall clock of the proxy's machine, seconds
    "us": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
    "ms": "%DURATION%",
    "code": "%RESPONSE_CODE%",
    "grpc": "%GRPC_STATUS_NUMBER%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "tries": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "route": "%ROUTE_NAME%",
    "cluster": "%UPSTREAM_CLUSTER%",  # of a call: which of the private clusters its last attempt went to
    "traceparent": "%REQ(TRACEPARENT)%",
    "baggage": "%REQ(BAGGAGE)%",
    "b3": "%REQ(X-B3-TRACEID?B3)%",
    "chaos": f"%REQ({HEADER})%",
    "call": f"%REQ({HEADER_CALL})%",
}


def access_log(path: str, what: str, **constants: str) -> dict[str, Any]:
    """`what` is call or attempt. Written to the proxy's standard output, where its own access log goes as well."""
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": "/dev/stdout",
            "log_format": {"json_format": {"istio_chaos": what, "private_path": path, **constants, **FIELDS}},
        },
    }
