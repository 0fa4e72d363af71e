"""Does the run say beforehand that own traffic does not come over the edge under test?"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chaos.model.events import Noted, WindowClosed
from chaos.model.fault import abort
from chaos.run.view import Load
from tests.unit.run.conftest import Shop

EDGE = "front -> back"


def notes(shop: Shop) -> list[str]:
    return [event.text for event in shop.events if isinstance(event, Noted)]


def injected(shop: Shop, edge: str = EDGE, *, own: bool = True, observe: tuple[str, ...] = ()) -> None:
    experiment = shop.experiment()
    with (
        Load(experiment, shop.run)("/", rate="100/s", timeout="5s", own=own, observe=observe) as traffic,
        experiment.inject(abort(503), edge),
    ):
        traffic.window("1s")
    experiment.finish()


def test_an_application_that_loses_the_mark_is_named_before_the_injection(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(forwards=False)

    injected(shop, observe=("-> front",))

    [told] = [text for text in notes(shop) if "no call came over it" in text]
    assert told.startswith(f"{EDGE}: no call came over it for 100 requests without a fault; ")
    assert "their mark came to front, and was on no call from there to back" in told
    assert "does not forward traceparent, baggage or the B3 headers" in told
    kinds = [type(event).__name__ for event in shop.events]
    assert kinds.index("Noted") < kinds.index("InjectionProven")


def test_nothing_is_said_where_calls_come(shop: Shop) -> None:
    injected(shop)

    assert not [text for text in notes(shop) if "no call came over it" in text]
    steady, during = [event.edges[EDGE] for event in shop.events if isinstance(event, WindowClosed)]
    assert steady["marks"] == during["marks"] == ["baggage", "traceparent"]


@pytest.mark.parametrize("sees_every_call", [True, False])
def test_a_steady_window_before_the_path_stood_tells_nothing_where_only_paths_are_seen(
    open_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch, sees_every_call: bool
) -> None:
    shop = open_shop(forwards=False)
    monkeypatch.setattr(type(shop.mesh), "sees_every_call", sees_every_call)
    experiment = shop.experiment()
    with Load(experiment, shop.run)("/", rate="100/s", timeout="5s") as traffic:
        traffic.window("2s")
        with experiment.inject(abort(503), EDGE):
            traffic.window("1s")
    experiment.finish()

    assert bool([text for text in notes(shop) if "no call came over it" in text]) is sees_every_call


def test_bystanders_are_not_meant(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(forwards=False)

    injected(shop, own=False)

    assert not [text for text in notes(shop) if "no call came over it" in text]
