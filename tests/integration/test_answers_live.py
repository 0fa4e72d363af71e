"""Are claims on what users get true of real services? Of each a service that does what is claimed, and one with the defect built in.

`sturdy` and `frail` are one program behind one sidecar (`tests.flawed`), under the same fault, at the same time. Answers take a random
time, so that what a busy machine adds to them does not make requests look alike in rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from chaos import abort, delay, expect
from chaos.claims.expect import WindowClaims
from chaos.clock import Deadline, poll
from chaos.errors import Aborted, Violated
from chaos.model.outcome import Outcome
from chaos.model.window import Window
from chaos.run.view import Inject, Load
from tests.calling import PATIENCE, Callee, flawed
from tests.running import Running, edge, flowing, opened, url, windows

NO_RETRIES = "[{retries: {attempts: 0}}]"
CALLEES = (
    Callee(name="front", pods="app: front", http=NO_RETRIES),
    Callee(name="back", http=NO_RETRIES),
    Callee(name="slow", http=NO_RETRIES),
    Callee(
        name="narrow",
        pods="app: front",
        http=NO_RETRIES,
        policy="{connectionPool: {tcp: {maxConnections: 40}, http: {http1MaxPendingRequests: 1}}}",
    ),
)
SPREAD = 0.3
"""Seconds: far more than a busy machine adds, far less than what is claimed."""
STURDY = url("front", asks="back", patience=0.2, fallback="sorry", spread=SPREAD)
FRAIL = url("front", asks="back", patience=2, spread=SPREAD)
"""Gives up late, and passes the error on."""
WIDE = {"success": "10%", "latency": "1s"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with opened(tmp_path_factory.mktemp("run"), CALLEES, flawed("front")) as running:
        yield running


@pytest.fixture
def experiment(running: Running) -> Iterator[tuple[Inject, Load]]:
    with running.experiment() as (inject, load, _):
        yield inject, load


@dataclass(frozen=True, slots=True)
class Seen:
    """Of one service."""

    steady: Window
    during: Window


@pytest.fixture(scope="module")
def pair(running: Running) -> dict[str, Seen]:
    """Both services before and while their callee is slow."""
    with running.experiment() as (inject, load, _), flowing(load, STURDY, FRAIL, rate="60/s") as both:
        steady = windows(both, "5s")
        with inject(delay("4s"), "front -> back"):
            during = windows(both, "5s")
    return {name: Seen(*seen) for name, *seen in zip(("sturdy", "frail"), steady, during, strict=True)}


CLAIMS: dict[str, tuple[Callable[[WindowClaims, Window], object], str]] = {
    "succeed": (lambda it, _: it.to_succeed("95%"), "0 % succeeded"),
    "sustain": (lambda it, _: it.to_sustain("55/s"), "claimed 55/s of 60/s offered"),
    "respond in time": (lambda it, _: it.to_respond_within("1200ms", at="p95"), "100 % slower than 1.2 s"),
    "a status": (lambda it, _: it.to_return(status=200, at_least="95%"), "0 % returned it"),
    "a text": (lambda it, _: it.to_return(containing="sorry", at_least="95%"), "0 % returned it"),
    "a value": (lambda it, _: it.to_return(json={"note": "sorry", "stock": None}, at_least="95%"), "0 % returned it"),
    "a header": (lambda it, _: it.to_return(header={"x-degraded": "yes"}, at_least="95%"), "0 % returned it"),
    "no difference": (lambda it, steady: it.not_to_differ_from(steady, by=WIDE), r"success 0 % \(was 100 %\)"),
}
"""What is claimed of the window under the fault -> what is said where it is not so."""


@pytest.mark.parametrize(("claim", "told"), CLAIMS.values(), ids=CLAIMS)
def test_it_is_held_of_the_sturdy_one_and_violated_by_the_frail_one(
    pair: dict[str, Seen], claim: Callable[[WindowClaims, Window], object], told: str
) -> None:
    claim(expect(pair["sturdy"].during), pair["sturdy"].steady)
    with pytest.raises(Violated, match=told) as violated:
        claim(expect(pair["frail"].during), pair["frail"].steady)

    assert "back delayed by 4 s; front -> back: the caller gives up after 2 s (application, flag DC)" in str(violated.value)


def test_a_difference_is_found_where_there_is_one(pair: dict[str, Seen]) -> None:
    found = expect(pair["frail"].during).to_differ_from(pair["frail"].steady, by=WIDE)
    assert found.outcome is Outcome.HELD
    with pytest.raises(Violated, match=r"success 100 % \(was 100 %\)"):
        expect(pair["sturdy"].during).to_differ_from(pair["sturdy"].steady, by=WIDE)


def test_who_is_hit_gets_the_fallback_and_who_is_spared_does_not(experiment: tuple[Inject, Load]) -> None:
    inject, load = experiment
    with flowing(load, STURDY, FRAIL, rate="50/s") as both, inject(abort(503, percent=50), "front -> back"):
        sturdy, frail = windows(both, "3s")

    expect(sturdy.hit).to_return(containing="sorry", at_least="95%")
    expect(sturdy.spared).to_return(json={"note": ""}, at_least="95%")
    with pytest.raises(Violated, match="without the text"):
        expect(frail.hit).to_return(containing="sorry", at_least="95%")
    expect(frail.spared).to_succeed("95%")


def test_who_is_spared_suffers_where_all_share_a_pool(experiment: tuple[Inject, Load]) -> None:
    inject, load = experiment
    shared = url("front", asks="back", spread=SPREAD, pool="shared", room=4)
    free = url("front", asks="back", spread=SPREAD)
    with flowing(load, shared, free, rate="50/s") as both, inject(delay("600ms", percent=50), "front -> back"):
        leaking, tight = windows(both, "3s")

    expect(tight.spared).to_succeed("90%")
    with pytest.raises(Violated, match="status 503"):
        expect(leaking.spared).to_succeed("90%")


# ------------------------------------------------------------------------------------------------------------------ bulkheads
def test_a_path_stays_as_it_was_unless_it_shares_its_pool_with_the_slow_one(experiment: tuple[Inject, Load]) -> None:
    inject, load = experiment
    slow = url("front", asks="slow", pool="shared by paths", room=12)
    sharing = url("front", asks="back", spread=SPREAD, pool="shared by paths", room=12)
    apart = url("front", asks="back", spread=SPREAD)
    with load(slow, rate="30/s"), flowing(load, sharing, apart, rate="75/s") as both:
        before = windows(both, "4s")
        with inject(delay("8s"), "front -> slow"):
            assert poll(lambda: both[0].window("250ms").error_share == 1, deadline=Deadline.after(PATIENCE))  # the pool is full
            meanwhile = windows(both, "4s")

    assert [window.evidence.kind for window in meanwhile] == ["bystander", "bystander"]
    leaking, tight = meanwhile
    expect(tight).not_to_differ_from(before[1], by=WIDE)
    with pytest.raises(Violated, match="slow delayed by 8 s, which these requests never meet: they share something"):
        expect(leaking).not_to_differ_from(before[0], by=WIDE)


@pytest.mark.parametrize("traffic", ["own", "all"])
def test_bystanders_stay_as_they_were_unless_the_fault_is_for_all(experiment: tuple[Inject, Load], traffic: str) -> None:
    """Everybody's calls then share the private path, and half of them hold its forty connections."""
    inject, load = experiment
    target = url("narrow", spread=SPREAD)
    with load(target, rate="20/s") as own, load(target, rate="100/s", own=False) as others:
        before = others.window("3s")
        with inject(delay("2s", percent=50), edge("narrow"), traffic=traffic):
            _, meanwhile = windows([own, others], "3s")

    if traffic == "own":
        expect(meanwhile).to_succeed("90%")
        expect(meanwhile).not_to_differ_from(before, by=WIDE)
    else:
        with pytest.raises(Violated, match="the circuit breaker turned"):
            expect(meanwhile).to_succeed("90%")


# --------------------------------------------------------------------------------------------------------------------- guards
def test_a_guard_lets_a_fault_go_on_that_harms_nobody_else(experiment: tuple[Inject, Load]) -> None:
    inject, load = experiment
    with load(url("back"), rate="50/s", own=False) as others, load(url("back"), rate="20/s") as own:
        guard = expect(others, guard=True).to_succeed("95%")
        with inject(abort(503), edge("back")):
            mine = own.window("3s")

    assert mine.error_share == 1
    assert guard.outcome is Outcome.HELD


def test_a_guard_ends_a_fault_that_harms_others(experiment: tuple[Inject, Load]) -> None:
    inject, load = experiment
    aborted = None
    with (
        pytest.raises(Violated, match=r"guard: violated\n  0 % succeeded"),
        load(url("back"), rate="50/s", own=False) as others,
        load(url("back"), rate="20/s") as own,
    ):
        guard = expect(others, guard=True).to_succeed("95%")
        with inject(abort(503), edge("back"), traffic="all"):
            try:
                own.window("60s")
            except Aborted as raised:
                aborted = raised
                raise

    assert guard.outcome is Outcome.VIOLATED
    assert aborted is not None
    assert aborted.window is not None
    assert aborted.window.evidence.seconds < 30
