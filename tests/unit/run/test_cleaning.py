"""What is dead goes, what a living run needs stays, and nothing is taken for gone that is there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chaos import clock
from chaos.clock import NS
from chaos.errors import ApiFailure, UndoFailed
from chaos.injection.names import REAPER
from chaos.mesh.leases import MemoryLeases
from chaos.mesh.port import Remains
from chaos.run import cleaning, watchdog
from chaos.run.admission import unguarded
from chaos.run.journal import Journal
from chaos.run.reaper import Reaper
from chaos.testing.passing_time import PassingTime

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LEASE = "istio-chaos.back.shop.svc"


@dataclass
class Space(Remains):
    """Objects and leases in memory, of a clock set by hand."""

    stands: list[dict[str, Any]] = field(default_factory=list)
    failing: int = 0
    stubborn: bool = False
    deleted: list[tuple[str, str]] = field(default_factory=list)
    listening: set[tuple[str, str]] = field(default_factory=set)
    """Pods whose proxies hold something of ours."""
    runtime: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    at: int = 0

    def __post_init__(self) -> None:
        self.leases = MemoryLeases(lambda: self.at)

    def ours(self) -> Sequence[dict[str, Any]]:
        return list(self.stands)

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.at / NS)

    def delete(self, names: Sequence[tuple[str, str]]) -> None:
        if self.failing:
            self.failing -= 1
            raise ApiFailure("not today")
        self.deleted += names
        if not self.stubborn:
            self.stands = [o for o in self.stands if (o["metadata"]["namespace"], o["metadata"]["name"]) not in names]

    def stopped(self) -> str:
        return ""

    def set_runtime(self, namespace: str, pod: str, key: str, value: str) -> None:
        self.runtime.setdefault((namespace, pod), {})[key] = value

    def listens(self, namespace: str, pod: str, name_regex: str) -> bool:
        assert re.fullmatch(name_regex, "istio-chaos.a.1.call")
        return (namespace, pod) in self.listening

    def later(self, seconds: float) -> None:
        self.at += int(seconds * NS)

    def wrote(self, run: str, *parts: str, lease: str = f"shop/{LEASE}", minutes: float = 10) -> None:
        for part in parts or ("stage", "switch"):
            self.stands.append({
                "metadata": {
                    "namespace": "shop",
                    "name": f"istio-chaos-{run}-1-{part}",
                    "labels": {"istio-chaos.dev/run": run},
                    "annotations": {
                        "istio-chaos.dev/lease": lease,
                        "istio-chaos.dev/deadline": (NOW + timedelta(minutes=minutes)).isoformat(),
                    },
                }
            })  # fmt: skip

    @property
    def names(self) -> list[str]:
        return [o["metadata"]["name"] for o in self.stands]


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> PassingTime:
    time = PassingTime()
    monkeypatch.setattr("chaos.clock._time", time)
    return time


@pytest.fixture
def space() -> Space:
    return Space()


SILENCED = [("shop", "web-1", "istio-chaos.a.1.max_active_faults"), ("shop", "web-2", "istio-chaos.a.1.max_active_faults")]


def test_keys_of_a_runtime_go_when_nothing_is_left_that_they_keep_off(space: Space) -> None:
    cleaning.clear(space, SILENCED)

    assert space.runtime == {("shop", pod): {"istio-chaos.a.1.max_active_faults": ""} for pod in ("web-1", "web-2")}


def test_keys_that_still_keep_a_fault_off_stay(space: Space) -> None:
    space.listening = {("shop", "web-2")}

    with pytest.raises(UndoFailed, match="shop/web-2 is still there"):
        cleaning.clear(space, SILENCED, patience=3)

    assert list(space.runtime) == [("shop", "web-1")]


def test_a_watchdog_clears_what_its_runner_had_set(space: Space, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.journal", "a")
    journal.mesh("cluster", "kind-test", {"context": "kind-test"})
    journal.silencing(SILENCED)
    space.listening = {("shop", "web-1")}

    with pytest.raises(UndoFailed, match="shop/web-1 is still there"):
        watchdog.undo(journal.path, patience=1, remains=space)
    assert journal.path.exists()
    space.listening = set()
    watchdog.undo(journal.path, patience=1, remains=space)

    assert set(space.runtime) == {("shop", "web-1"), ("shop", "web-2")}
    assert not journal.path.exists()


def test_what_a_living_run_needs_stays(space: Space) -> None:
    space.leases.acquire("shop", LEASE, "a", valid=20)
    space.wrote("a")
    space.later(20)

    assert cleaning.sweep(space) == []
    assert space.deleted == []


@pytest.mark.parametrize(
    ("holder", "later", "minutes", "lease", "why"),
    [
        ("a", 23, 10, f"shop/{LEASE}", f"its lease shop/{LEASE} was not renewed for 23 s"),
        ("b", 0, 10, f"shop/{LEASE}", f"its lease shop/{LEASE} is held by b"),
        ("", 0, 10, f"shop/{LEASE}", f"there is no lease shop/{LEASE}"),
        ("", 0, 10, "", "it names no lease"),
        ("a", 1, 0, f"shop/{LEASE}", f"its deadline {NOW.isoformat()} has passed"),
    ],
)
def test_what_is_dead_goes_and_the_line_says_why(
    space: Space, holder: str, later: float, minutes: float, lease: str, why: str
) -> None:
    if holder:
        space.leases.acquire("shop", LEASE, holder, valid=20)
    space.wrote("a", lease=lease, minutes=minutes)
    space.later(later)

    told = cleaning.sweep(space)

    assert told == [f"run a: removed shop/istio-chaos-a-1-{part}: {why}" for part in ("stage", "switch")]
    assert space.names == []


def test_a_run_is_judged_by_its_own_lease(space: Space) -> None:
    space.leases.acquire("shop", LEASE, "a", valid=20)
    space.wrote("a")
    space.wrote("b", lease="shop/another")

    cleaning.sweep(space)

    assert space.names == ["istio-chaos-a-1-stage", "istio-chaos-a-1-switch"]


def test_the_switch_goes_first_with_time_for_the_proxies_to_hear_of_it(space: Space) -> None:
    space.wrote("a")
    began = clock.now()

    cleaning.sweep(space)

    assert [name for _, name in space.deleted] == ["istio-chaos-a-1-switch", "istio-chaos-a-1-stage"]
    assert clock.now() - began >= cleaning.SETTLES * NS


def test_an_api_that_fails_is_asked_again(space: Space) -> None:
    space.wrote("a")
    space.failing = 4

    cleaning.remove(space, [("shop", name) for name in space.names])

    assert space.names == []


@pytest.mark.parametrize(("trouble", "says"), [({"failing": 1000}, "not today"), ({"stubborn": True}, "switch is still there")])
def test_what_cannot_be_proven_gone_is_loud(space: Space, trouble: dict[str, Any], says: str) -> None:
    space.wrote("a")
    for name, value in trouble.items():
        setattr(space, name, value)
    began = clock.now()

    with pytest.raises(UndoFailed, match=says):
        cleaning.remove(space, [("shop", name) for name in space.names], patience=30)
    assert 30 <= (clock.now() - began) / NS < 40


def test_a_write_that_was_under_way_when_its_writer_died_is_found_by_label(space: Space) -> None:
    space.wrote("a")
    space.wrote("b")

    cleaning.remove(space, [], run="a")

    assert space.names == ["istio-chaos-b-1-stage", "istio-chaos-b-1-switch"]


def test_a_lease_that_everybody_forgot_goes(space: Space) -> None:
    space.leases.acquire("shop", LEASE, "a", valid=20)
    space.leases.acquire("shop", REAPER, "pod", valid=20)
    space.later(201)

    cleaning.sweep(space)

    assert [lease.name for lease in space.leases.all()] == [REAPER]


# -- the reaper
def test_a_reaper_shows_that_it_is_there(space: Space) -> None:
    told: list[str] = []
    reaper = Reaper(space, ["shop", "web"], "pod-1", told.append)
    assert "no reaper looks after namespace shop" in unguarded(space.leases, ["shop"])

    assert reaper.look()
    space.later(19)
    assert unguarded(space.leases, ["shop", "web"]) == ""
    space.later(2)
    assert "has not been seen for 21 s" in unguarded(space.leases, ["shop"])
    assert told == []


def test_a_pass_that_failed_is_no_sign_of_life(space: Space, time: PassingTime) -> None:
    told: list[str] = []
    reaper = Reaper(space, ["shop"], "pod-1", told.append)
    space.wrote("a")
    space.failing = 1000

    assert not reaper.look()
    assert "this pass failed" in told[0]
    assert unguarded(space.leases, ["shop"])

    space.failing = 0
    assert reaper.look()
    assert space.names == []
    assert unguarded(space.leases, ["shop"]) == ""


@pytest.mark.parametrize(
    ("age", "seconds"), [(0, 5.0), (5, 5.0), (16, 5.0), (18, 4.0), (21.5, 0.5), (22, 0.25), (23, 0.25), (24, 5.0), (500, 5.0)]
)
def test_the_next_pass_comes_when_a_lease_dies(space: Space, age: float, seconds: float) -> None:
    reaper = Reaper(space, ["shop"], "pod-1", lambda _: None)
    space.leases.acquire("shop", LEASE, "a", valid=20)
    space.later(age)
    reaper.look()

    assert reaper.rest() == pytest.approx(seconds)


def test_two_reapers_are_no_harm(space: Space) -> None:
    first, second = (Reaper(space, ["shop"], f"pod-{n}", lambda _: None) for n in (1, 2))

    assert first.look()
    assert second.look()
    assert [lease.holder for lease in space.leases.all()] == ["pod-1"]
