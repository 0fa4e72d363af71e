"""Are claims on who gives up when true of real callers? The mesh's timeouts and the application's, each with the one that is missing.

All calls are delayed at once, by far more than anybody claims to wait. Warm-up and steady window are cut short.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from chaos import delay, expect
from chaos.errors import Vacuous, Violated
from chaos.model.outcome import Outcome
from chaos.model.window import EdgeWindow
from chaos.run import patience
from chaos.run.view import MeshView
from tests.calling import Callee, flawed
from tests.running import Running, edge, flowing, injected, opened, url, windows

CALLEES = (
    Callee(name="front", pods="app: front", http="[{retries: {attempts: 0}}]"),
    Callee(name="middle", pods="app: middle", http="[{timeout: 300ms, retries: {attempts: 0}}]"),
    Callee(name="back", http="[{retries: {attempts: 0}}]"),
    Callee(name="limited", http="[{timeout: 300ms, retries: {attempts: 0}}]"),
    Callee(name="unlimited", http="[{retries: {attempts: 0}}]"),
    # 0.3 s in all; and 3 s, since each try has its time.
    Callee(name="few-tries", http="[{retries: {attempts: 1, perTryTimeout: 150ms, retryOn: 5xx, backoff: 1ms}}]"),
    Callee(name="many-tries", http="[{retries: {attempts: 19, perTryTimeout: 150ms, retryOn: 5xx, backoff: 1ms}}]"),
    # It has a time for each try and no condition under which another is made.
    Callee(name="one-try", http="[{retries: {attempts: 1, perTryTimeout: 150ms, retryOn: connect-failure}}]"),
)
DELAY = "3s"
SEEN = {
    "mesh": url("limited"),
    "no mesh": url("unlimited"),
    "few tries": url("few-tries"),
    "many tries": url("many-tries"),
    "one try": url("one-try"),
    "application": url("front", asks="back", patience=0.3),
    "no application": url("front", asks="back"),
}
EDGES = {name: "front -> back" if "asks" in where else edge(where.split("/")[2]) for name, where in SEEN.items()}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with opened(tmp_path_factory.mktemp("run"), CALLEES, flawed("front", "middle")) as running:
        yield running


@pytest.fixture(scope="module")
def seen(running: Running) -> dict[str, EdgeWindow]:
    """Calls on every edge while it is delayed."""
    edges = list(dict.fromkeys(EDGES.values()))
    with (
        running.experiment() as (inject, load, _),
        flowing(load, *SEEN.values(), rate="30/s") as all_of_them,
        injected(inject, delay(DELAY), *edges),
    ):
        during = windows(all_of_them, "2500ms")
    return {name: window.edge(EDGES[name]) for name, window in zip(SEEN, during, strict=True)}


@pytest.mark.parametrize(
    ("who", "told"),
    [
        ("mesh", "75 by the mesh (UT)"),
        ("application", "by the application (DC)"),
        ("few tries", "75 by the mesh (UT)"),
        ("one try", "75 by the mesh (UT)"),
    ],
)
def test_who_gives_up_in_time_is_seen_to(seen: dict[str, EdgeWindow], who: str, told: str) -> None:
    verdict = expect(seen[who]).to_time_out_within("1500ms")

    assert verdict.outcome is Outcome.HELD
    assert told in verdict.summary


@pytest.mark.parametrize(
    ("who", "told"),
    [
        ("no mesh", r"the caller waits [23][.\d]* s for the answer, nothing gives up"),
        ("no application", r"the caller waits [23][.\d]* s for the answer, nothing gives up"),
        ("many tries", "the mesh's timeout ends the call"),
    ],
)
def test_who_waits_too_long_is_told_so(seen: dict[str, EdgeWindow], who: str, told: str) -> None:
    with pytest.raises(Violated, match="0 % of the delayed calls were given up within 1.5 s") as violated:
        expect(seen[who]).to_time_out_within("1500ms")

    assert re.search(told, str(violated.value))


def test_what_the_delay_cannot_show_is_not_claimed(seen: dict[str, EdgeWindow]) -> None:
    with pytest.raises(Vacuous, match="its calls are delayed by 3 s"):
        expect(seen["mesh"]).to_time_out_within(DELAY)


def test_a_try_that_takes_too_long_is_followed_by_another_where_the_policy_says_so(seen: dict[str, EdgeWindow]) -> None:
    assert expect(seen["few tries"]).to_retry(at_least=1, at_most=1).outcome is Outcome.HELD
    with pytest.raises(Violated, match="0 % of the calls that failed were retried once or more"):
        expect(seen["one try"]).to_retry(at_least=1)
    with pytest.raises(Violated, match="up to 1[0-9] retries of a call"):
        expect(seen["many tries"]).to_retry(at_most=2)


# ---------------------------------------------------------------------------------------------------------- effective timeouts
@pytest.mark.parametrize(
    ("where", "on", "told"),
    [
        ("limited", "-> limited", r"the mesh gives up after [\d.]+ (ms|s) .*\(flag UT\); declared: 300 ms"),
        ("application", "front -> back", r"the application gives up after [\d.]+ (ms|s) .*\(flag DC\); declared: none"),
        ("unlimited", "-> unlimited", r"no timeout below 1 s; declared: none"),
        ("inverted", "middle -> back", r"inversion: .* gives middle up after \d+ ms, which may itself wait for ever for back"),
    ],
)
def test_the_patience_of_a_caller_is_measured(
    running: Running, monkeypatch: pytest.MonkeyPatch, where: str, on: str, told: str
) -> None:
    monkeypatch.setattr(patience, "LEAST_DELAY", 1.0)
    targets = {
        "limited": url("limited"),
        "unlimited": url("unlimited"),
        "application": url("front", asks="back", patience=0.3),
        "inverted": url("middle", asks="back"),
    }
    with running.experiment() as (_, load, _), load(targets[where], rate="20/s", observe=["-> middle"]) as traffic:
        found = MeshView(running.run).effective_timeout(on, traffic)

    assert re.search(told, str(found)), str(found)
