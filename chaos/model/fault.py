"""What can go wrong on purpose? Delay, abort and throttle as values, combined with `+`.

Each is checked when it is built, so that a wrong number never reaches a mesh. `chaos.injection` turns a `Fault` into what
Envoy's fault filter obeys.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Final

from chaos.errors import InvalidValue, nearest
from chaos.model import units

GRPC_STATUS: Final = {
    name: number
    for number, name in enumerate(
        (
            "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
            "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
            "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
        )
    )
}  # fmt: skip
"""Canonical gRPC status names -> numbers; Istio takes the names in upper case only."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Hold the request back for `duration` before it goes on."""

    duration: timedelta
    percent: float = 100.0

    def __str__(self) -> str:
        return f"delay {units.text_of(self.duration)}{_of(self.percent)}"


@dataclass(frozen=True, slots=True)
class Abort:
    """Answer instead of the callee: with an HTTP status, or with a gRPC status (by number)."""

    status: int | None = None
    grpc: int | None = None
    percent: float = 100.0

    @property
    def grpc_name(self) -> str | None:
        return next((name for name, number in GRPC_STATUS.items() if number == self.grpc), None)

    def __str__(self) -> str:
        return f"abort {self.status if self.status is not None else self.grpc_name}{_of(self.percent)}"


@dataclass(frozen=True, slots=True)
class Throttle:
    """Let the response body through at so many KiB per second (each stream for itself)."""

    kib_per_second: int

    def __str__(self) -> str:
        return f"throttle {self.kib_per_second}KiB/s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """At most one of each kind. Delay and abort are drawn independently, as Envoy does."""

    delay: Delay | None = None
    abort: Abort | None = None
    throttle: Throttle | None = None

    def __add__(self, other: object) -> Fault:
        if not isinstance(other, Fault):
            return NotImplemented
        mine, theirs = self._parts(), other._parts()
        twice = sorted(mine.keys() & theirs.keys())
        if twice:
            raise InvalidValue(f"{self} + {other}: a fault has at most one {twice[0]}; inject the two one after the other")
        return Fault(**mine, **theirs)  # type: ignore[arg-type]

    def _parts(self) -> dict[str, Delay | Abort | Throttle]:
        return {f.name: part for f in fields(self) if (part := getattr(self, f.name)) is not None}

    @property
    def id(self) -> str:
        """Readable in a test id: `delay-2s`, `abort-503-50%`, `delay-2s+abort-UNAVAILABLE`."""
        return "+".join(str(part).replace(" at ", "-").replace(" ", "-") for part in self._parts().values())

    @property
    def longest(self) -> float:
        """Seconds by which a running request may outlive the fault."""
        return self.delay.duration.total_seconds() if self.delay else 0.0

    def __str__(self) -> str:
        return " + ".join(map(str, self._parts().values()))


def delay(duration: str | timedelta, *, percent: float = 100) -> Fault:
    """Delay requests: `delay("2s")`, `delay("500ms", percent=10)`. Whole milliseconds, as Envoy and Istio take them."""
    held = units.duration(duration, name="delay")
    if held % units.MILLISECOND:
        raise InvalidValue(f"delay is {duration!r}: Envoy delays by whole milliseconds")
    return Fault(delay=Delay(held, units.percentage(percent)))


def abort(status: int | None = None, *, grpc: str | None = None, percent: float = 100) -> Fault:
    """Answer in the callee's place: `abort(503)`, `abort(grpc="UNAVAILABLE")`.

    HTTP statuses are 200 ... 599 (Istio accepts 600, Envoy does not). gRPC statuses are canonical names in upper case.
    """
    if (status is None) == (grpc is None):
        raise InvalidValue('abort takes an HTTP status or a gRPC status, one of them: abort(503) or abort(grpc="UNAVAILABLE")')
    if grpc is not None:
        if grpc not in GRPC_STATUS:
            raise InvalidValue(f"abort grpc is {grpc!r}, not a canonical status name{nearest(str(grpc).upper(), GRPC_STATUS)}")
        return Fault(abort=Abort(grpc=GRPC_STATUS[grpc], percent=units.percentage(percent)))
    if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
        raise InvalidValue(f"abort status is {status!r}: write a number from 200 to 599, the statuses Envoy answers with")
    return Fault(abort=Abort(status=status, percent=units.percentage(percent)))


def throttle(rate: str) -> Fault:
    """Slow the response body down: `throttle("64KiB/s")`. Callee side only."""
    return Fault(throttle=Throttle(units.byte_rate(rate, name="throttle")))


def _of(percent: float) -> str:
    return "" if percent == 100 else f" at {percent:g}%"
