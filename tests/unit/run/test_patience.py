"""A caller's real patience, measured on a fake mesh; and what the calls of a window show of it."""

from __future__ import annotations

import math

import pytest

from chaos.errors import ExperimentError, Inconclusive
from chaos.model.fault import delay
from chaos.run.patience import read
from chaos.run.view import Load, MeshView
from chaos.testing.evidence import call, calls, edge, injection, requests, window
from tests.unit.run.conftest import Shop

ABOVE, EDGE = "front -> middle", "middle -> back"
UNDER = injection(delay("15s"), EDGE)


def test_the_application_gives_up_after_its_patience(shop: Shop) -> None:
    experiment = shop.experiment()
    with Load(experiment, shop.run)("/", rate="50/s") as traffic:
        found = MeshView(shop.run).effective_timeout("front -> back", traffic)
    experiment.finish()

    assert set(found.given_up) == {"DC"}
    assert found.seconds == pytest.approx(1.0, abs=0.05)
    assert "the application gives up after 1" in str(found)
    assert found.delay == 15
    assert experiment.history[0].gone


def test_a_load_that_gives_up_sooner_is_refused(shop: Shop) -> None:
    experiment = shop.experiment()
    with (
        Load(experiment, shop.run)("/", rate="50/s", timeout="5s") as traffic,
        pytest.raises(ExperimentError, match="delays calls by 15 s, and the load gives up after 5 s"),
    ):
        MeshView(shop.run).effective_timeout("front -> back", traffic)
    experiment.finish()
    assert not experiment.history


def test_mesh_and_application_are_told_apart():
    samples = requests(12)

    def one(number: int, at: int):
        seconds, flags = (2.0, "DI,UT") if number % 2 else (3.0 + number / 10, "DI,DC")
        return call(number, started=at, seconds=seconds, status=0, flags=flags)

    seen = edge(EDGE, calls(samples, one), injection=UNDER, policy_timeout=2.0)
    found = read(seen, window(samples, edges=[seen]), 15.0)

    assert {flag: spread.calls for flag, spread in found.given_up.items()} == {"UT": 6, "DC": 6}
    dc = found.given_up["DC"]
    assert (dc.minimum, dc.median, dc.maximum) == pytest.approx((3.0, 3.4, 4.0))
    assert found.seconds == pytest.approx(2.0)
    assert "the mesh gives up after 2 s" in str(found)
    assert "declared: 2 s" in str(found)


def test_who_never_gives_up_and_is_given_up_sooner_is_an_inversion():
    samples = requests(6)
    seen = edge(EDGE, calls(samples, lambda n, at: call(n, started=at, seconds=15.0, flags="DI")), injection=UNDER)
    above = edge(ABOVE, calls(samples, lambda n, at: call(n, started=at, seconds=3.0, status=0, flags="DC")))
    found = read(seen, window(samples, edges=[seen, above]), 15.0)

    assert math.isinf(found.seconds)
    assert "middle -> back: no timeout below 15 s; declared: none" in str(found)
    assert found.inversions == ("inversion: front gives middle up after 3 s, which may itself wait for ever for back",)


def test_calls_cancelled_from_above_say_nothing_of_this_caller():
    samples = requests(6)
    made = calls(samples, lambda n, at: call(n, started=at, seconds=3.0, status=0, flags="DI,DC", cancelled=True))
    seen = edge(EDGE, made, injection=UNDER, policy_timeout=10.0)
    above = edge(ABOVE, calls(samples, lambda n, at: call(n, started=at, seconds=3.0, status=0, flags="DC")))
    found = read(seen, window(samples, edges=[seen, above]), 15.0)

    assert not found.given_up
    assert "unknown, since somebody above gives up sooner; 6 calls were cancelled from above" in str(found)
    assert found.inversions == ("inversion: front gives middle up after 3 s, which may itself wait for 10 s for back",)


@pytest.mark.parametrize("flags", ["DI,UO", ""])
def test_fewer_than_five_calls_decide_nothing(flags: str):
    samples = requests(30)
    seen = edge(EDGE, calls(samples, lambda n, at: call(n, started=at, status=503, flags=flags)), injection=UNDER)
    with pytest.raises(Inconclusive, match="0 of 30 calls show it, and 5 must"):
        read(seen, window(samples, edges=[seen]), 15.0)
