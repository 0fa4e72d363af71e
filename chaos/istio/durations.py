"""How long is "1m30s"? Durations as manifests write them (Go's notation) and as Envoy's proto JSON writes them.

Istio's API server side reads `google.protobuf.Duration` with Go's `time.ParseDuration`: `1h`, `1m30s`, `500ms`, `1.5s`,
but neither a bare number nor days. Envoy's proto JSON knows one form only: seconds with an `s` (`0.4s`). Validation of
bounds belongs to `validate`; this module only reads and writes.
"""

from __future__ import annotations

import re
from datetime import timedelta

import durationpy

_GO = re.compile(r"[+-]?(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)")
MILLISECOND = timedelta(milliseconds=1)
_PROTO = re.compile(r"-?\d+(\.\d+)?s")


def parse(text: object) -> timedelta:
    """The duration a manifest means. Raises ValueError where Go's `time.ParseDuration` would refuse."""
    if not isinstance(text, str) or not _GO.fullmatch(text):
        raise ValueError(f'{text!r} is not a duration; write it with units as in "1.5s", "300ms" or "1h"')
    duration: timedelta = durationpy.from_str(text)
    return duration


def proto(duration: timedelta) -> str:
    """Proto JSON: seconds, without needless zeros: `0.4s`, `90s`."""
    whole = duration // timedelta(microseconds=1)
    sign = "-" if whole < 0 else ""
    seconds, micros = divmod(abs(whole), 1_000_000)
    return f"{sign}{seconds}.{micros:06d}".rstrip("0").rstrip(".") + "s" if micros else f"{sign}{seconds}s"


def to_proto(text: object) -> str:
    """From a manifest's spelling to Envoy's: `1m30s` -> `90s`."""
    return proto(parse(text))


def from_proto(text: str) -> timedelta:
    """The value of a proto JSON duration (`"0.4s"`)."""
    if not _PROTO.fullmatch(text):
        raise ValueError(f'{text!r} is not a proto JSON duration such as "0.4s"')
    return timedelta(seconds=float(text[:-1]))
