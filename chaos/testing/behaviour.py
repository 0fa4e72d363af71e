"""What does a service of a fake mesh do with a request? A few values that describe most applications well enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from chaos.model import units
from chaos.model.inventory import Pod


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """Works for a while, calls others one after the other, and answers.

    A call fails when it is answered with a status from 500, or not within the patience.
    """

    takes: str | timedelta = "5ms"
    """Its own work, before it calls anybody."""
    calls: tuple[str, ...] = ()
    """Services, by short name (its own namespace) or `name.namespace`."""
    patience: str | timedelta | None = None
    """How long it waits for each answer; None: for ever."""
    tries: int = 1
    """How often it makes a call that fails."""
    fallback: str | None = None
    """What it answers, with status 200, when a call failed for good; None: it answers 502."""
    status: int = 200
    body: str = "ok"
    forwards: bool = True
    """It hands tracing headers on, as Istio asks applications to."""

    @property
    def work(self) -> int:
        """Nanoseconds."""
        return _ns(self.takes)

    @property
    def waits(self) -> int | None:
        """Nanoseconds."""
        return None if self.patience is None else _ns(self.patience)


Behaviours = Mapping[str, Behaviour]
"""By service, or by `service:version`; who is not named does what a `Behaviour()` does."""


def of(pod: Pod, behaviours: Behaviours) -> Behaviour:
    """The most exact that is said of a pod."""
    name = pod.labels.get("app", pod.workload)
    for key in (f"{name}:{pod.version}", name, pod.workload):
        if key in behaviours:
            return behaviours[key]
    return Behaviour()


def _ns(duration: str | timedelta) -> int:
    return int(units.duration(duration).total_seconds() * 1e9)
