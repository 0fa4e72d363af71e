"""The plan people see, as they see it."""

from __future__ import annotations

import pytest
from syrupy.assertion import SnapshotAssertion

from chaos.model.events import (
    ClaimPlanned,
    DoubtForeseen,
    Event,
    ExperimentFinished,
    ExperimentStarted,
    InjectionPlanned,
    LoadPlanned,
    Noted,
    PathPlanned,
    WindowPlanned,
)
from chaos.report.plan import lines, plan
from chaos.report.story import Story

NAME = "test_shop.py::test_a_very_long_name_that_says_what_is_believed_of_the_system[delay-2s]"
FAULT = InjectionPlanned(
    at=3, experiment=NAME, number=1, fault="abort 503 at 30%", edge="front -> back", side="callee", reason="the mesh retries such an answer",
    callers=("front-1.shop", "front-2.shop"), traffic="all", share=0.15, only="everybody, 1 replica, end-user: jason", attempts=20,
    expires=600,
)  # fmt: skip

PATH = PathPlanned(
    at=1.5, experiment=NAME, edge="front -> back", callers=("front-1.shop", "front-2.shop"), deadline=1200,
    policy=("route default: no timeout, 2 retries on 5xx",),
    objects=(
        "EnvoyFilter shop/istio-chaos-RUN-1-stage", "EnvoyFilter shop/istio-chaos-RUN-1-switch",
        "Lease shop/istio-chaos.back.shop.svc.cluster.local",
    ),
)  # fmt: skip


@pytest.fixture
def story() -> Story:
    claim = {"experiment": NAME, "subject": "window 2 of /", "said": "to_succeed() needs 299 requests if nothing is bad"}
    events: list[Event] = [
        ExperimentStarted(at=1, experiment=NAME),
        PATH,
        WindowPlanned(at=2, experiment=NAME, load=1, window="window 1 of /", seconds=3, requests=60),
        FAULT,
        Noted(at=3.5, experiment=NAME, text="back.shop:80: at most 10 % of 2 hosts may be out, which is none: it can never open"),
        WindowPlanned(at=4, experiment=NAME, load=1, window="window 2 of /", seconds=60, at_most=True, requests=200, faults=(1,)),
        WindowPlanned(at=4, experiment=NAME, load=2, window="window 1 of /other", seconds=5.5, requests=None),
        LoadPlanned(
            at=5, experiment=NAME, number=2, target="/other", model="3 users", enters="istio-chaos-load", own=False, seconds=7.5,
            requests=None,
        ),
        LoadPlanned(
            at=6, experiment=NAME, number=1, target="/", model="20/s", enters="gateway.istio-system", own=True, seconds=65.5, requests=1310
        ),
        ClaimPlanned(at=7, claim="to_succeed()", needs=299, planned=200, **claim),
        ClaimPlanned(at=7, claim="to_succeed()", needs=299, planned=None, **claim),
        ClaimPlanned(at=7, claim="to_succeed()", needs=299, planned=299, **claim),
        DoubtForeseen(at=8, experiment=NAME, text="run fedcba987654 has back.shop now"),
        ExperimentFinished(
            at=9, experiment=NAME, outcome="planned", seconds=0.1,
            message="planned up to here: test_shop.py:9: assert during.errors == 0\nit reads the numbers of window 2 of /",
        ),
        ExperimentStarted(at=10, experiment="test_shop.py::test_refused"),
        ExperimentFinished(
            at=11, experiment="test_shop.py::test_refused", outcome="refused", seconds=0.1,
            message="load at 9000/s: at most 500/s is allowed; raise it in chaos.yaml: allow: {max_rate: 9000/s}",
        ),
    ]  # fmt: skip
    return Story.of(("main", event) for event in events)


def text(story: Story, width: int, *, plain: bool = False) -> str:
    return "\n".join("".join(part for part, _ in line) for line in plan(story, width=width, plain=plain))


@pytest.mark.parametrize("width", [80, 140])
def test_as_it_is_printed(story: Story, width: int, snapshot: SnapshotAssertion) -> None:
    assert text(story, width) == snapshot


def test_in_ascii(story: Story) -> None:
    shown = text(story, 80, plain=True)

    assert shown.isascii()
    assert shown.startswith("+ planned: ")
    assert "\nx refused: " in shown


@pytest.mark.parametrize("width", [100, 120, 200])
def test_no_line_is_wider_than_the_terminal(story: Story, width: int) -> None:
    assert max(map(len, text(story, width).splitlines())) <= width


def test_loads_come_first_in_their_order(story: Story) -> None:
    told = lines(story.experiments[0])

    assert [line.split(":")[0] for line in told[:3]] == [
        "load 1 on / at 20/s by gateway.istio-system",
        "load 2 on /other at 3 users by istio-chaos-load, bystander traffic",
        "private path on front -> back, in front-1.shop, front-2.shop",
    ]


def test_only_what_is_too_little_is_warned_of(story: Story) -> None:
    assert text(story, 140).count("would be inconclusive") == 1
