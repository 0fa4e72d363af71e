"""The events of small runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chaos.model.events import (
    Event,
    ExperimentFinished,
    ExperimentStarted,
    InjectionGone,
    InjectionProven,
    LoadStarted,
    Noted,
    RunFinished,
    RunStarted,
    VerdictGiven,
    WindowClosed,
)

RUN = "0123456789ab"


@pytest.fixture
def window() -> Callable[..., WindowClosed]:
    """A window of 100 requests that went well, but for what is said otherwise."""

    def window(experiment: str, at: float, **other: Any) -> WindowClosed:
        values: dict[str, Any] = {
            "window": "window 1 of / (fault)", "kind": "fault", "seconds": 5.0, "requests": 100, "errors": 0, "missing": 0,
            "transition": 0, "p50": 0.01, "p95": 0.02, "p99": 0.03, "statuses": {"200": 100},
        }  # fmt: skip
        return WindowClosed(experiment=experiment, at=at, **{**values, **other})

    return window


@pytest.fixture
def told(window: Callable[..., WindowClosed]) -> Callable[..., list[Event]]:
    """One experiment from beginning to end."""

    def told(
        name: str = "test_shop.py::test_it", at: float = 1.0, outcome: str = "held", message: str = "", **other: Any
    ) -> list[Event]:
        return [
            ExperimentStarted(at=at, experiment=name, hypothesis="it holds"),
            LoadStarted(at=at + 0.1, experiment=name, target="/", model="20/s"),
            window(name, at + 0.2, window="window 1 of / (steady)", kind="steady", p95=0.01),
            InjectionProven(
                at=at + 0.3, experiment=name, number=1, fault="delay 2s", edge="front -> back", side="caller", reason="no policy",
                callers=("front-0.shop",), in_force_ms=3.5,
            ),
            window(name, at + 0.4, **other),
            InjectionGone(at=at + 0.5, experiment=name, number=1, gone_ms=2.5),
            VerdictGiven(
                at=at + 0.6, experiment=name, claim="to_succeed()", subject="window 2 of / (fault)", outcome="held",
                summary="100 % succeeded", figures={"n": 100},
            ),
            Noted(at=at + 0.7, experiment=name, text="full moon"),
            ExperimentFinished(at=at + 0.8, experiment=name, outcome=outcome, seconds=12.3, message=message),
        ]  # fmt: skip

    return told


@pytest.fixture
def run(told: Callable[..., list[Event]]) -> list[Event]:
    """A whole one."""
    return [
        RunStarted(
            at=0.5, run=RUN, mesh={"kind": "fake", "name": "shop"}, topology="/shop/chaos.yaml", versions={"python": "3.11"}
        ),
        *told(),
        RunFinished(at=3.0, run=RUN),
    ]
