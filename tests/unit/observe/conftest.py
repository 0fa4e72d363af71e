"""Log lines as Envoy writes them on the private path, and in a sidecar's own access log."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chaos.clock import NS, Pairing
from chaos.model.marks import FlowMark, Mark
from chaos.observe.lines import Log

RUN = "0123456789ab"
FLOW: FlowMark = Mark(RUN, 1).flow(1)
PATH = f"istio-chaos.{RUN}.1"
POD = "a-1.shop"


def line(what: str, sequence: int, event: str = "DownstreamEnd", at: float = 0.0, **fields: Any) -> bytes:
    """One line; `at` is seconds since the beginning of the test's time."""
    content = {
        "istio_chaos": what,
        "event": event,
        "stream": f"1-{at}",
        "start": f"{1000 + at:.6f}",
        "ms": 0,
        "us": None,
        "code": 0,
        "grpc": None,
        "flags": "-",
        "details": None,
        "tries": 0,
        "method": "GET",
        "path": "/x",
        "route": "default",
        "traceparent": FLOW.headers(sequence)["traceparent"],
        "baggage": None,
        "b3": None,
    }
    return json.dumps(content | fields).encode() + b"\n"


def call(sequence: int, at: float = 0.0, call_id: str = "c", **fields: Any) -> bytes:
    """Start and end of one call on the private path."""
    start = line("call", sequence, "DownstreamStart", at, private_path=PATH, call=call_id, chaos=fields.pop("chaos", None))
    return start + line("call", sequence, at=at, private_path=PATH, call=call_id, **{"code": 200, "tries": 1, "us": 1000} | fields)


def attempt(sequence: int, at: float = 0.0, call_id: str = "c", host: str = "10.1.0.2:9080", **fields: Any) -> bytes:
    """Start and end of one attempt; only the start knows our headers."""
    start = line(
        "attempt", sequence, "DownstreamStart", at, private_path=PATH, call=call_id, host=host, chaos=fields.pop("chaos", None)
    )
    return start + line("attempt", sequence, at=at, private_path=PATH, host=host, **{"code": 200, "us": 900} | fields)


@pytest.fixture
def log() -> Log:
    return Log(RUN, Pairing(monotonic=0, wall=1000 * NS))
