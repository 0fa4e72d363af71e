"""Are claims on retries and recovery true of real callers? Those that ask again as claimed, and those that do it too often, at once, for ever.

The mesh's retries are written into the manifests, the application's into `tests.flawed`. Warm-up and steady window are cut short, and so
is the time for which a recovery has to last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from chaos import abort, expect
from chaos.claims.expect import EdgeClaims
from chaos.errors import Violated
from chaos.model.outcome import Outcome
from chaos.model.standards import Standards
from chaos.model.window import EdgeWindow
from chaos.run.view import Inject, Load
from tests.calling import Callee, flawed
from tests.running import Running, edge, flowing, injected, opened, url, windows

NO_RETRIES = "[{retries: {attempts: 0}}]"
CALLEES = (
    Callee(name="front", pods="app: front", http=NO_RETRIES),
    Callee(name="middle", pods="app: middle", http="[{retries: {attempts: 1, retryOn: 5xx, backoff: 1ms}}]"),
    Callee(name="back", http=NO_RETRIES),
    Callee(name="retried", http="[{retries: {attempts: 2, retryOn: 5xx, backoff: 1ms}}]"),
    Callee(name="bare", http=NO_RETRIES),
)
APPLICATION = "front -> back"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with opened(tmp_path_factory.mktemp("run"), CALLEES, flawed("front", "middle"), Standards(recovered_for=6)) as running:
        yield running


@pytest.fixture
def experiment(running: Running) -> Iterator[tuple[Inject, Load]]:
    with running.experiment() as (inject, load, _):
        yield inject, load


SEEN: dict[str, tuple[str, str, str]] = {
    "mesh": ("GET", url("retried"), edge("retried")),
    "mesh, writes": ("POST", url("retried"), edge("retried")),
    "nobody": ("GET", url("bare"), edge("bare")),
    "nobody, writes": ("POST", url("bare"), edge("bare")),
    "application, twice": ("GET", url("front", asks="back", tries=3, pause=0.4), APPLICATION),
    "application, without limit": ("GET", url("front", asks="back", tries=5), APPLICATION),
    "application, no writes": ("POST", url("front", asks="back", tries=3), APPLICATION),
    "application, writes": ("POST", url("front", asks="back", tries=3, writes="again"), APPLICATION),
}
"""Who asks again: method, what is loaded, edge."""


@pytest.fixture(scope="module")
def seen(running: Running) -> dict[str, EdgeWindow]:
    """Calls on every edge while all of them fail."""
    edges = list(dict.fromkeys(on for _, _, on in SEEN.values()))
    with running.experiment() as (inject, load, _), ExitStack() as flows:
        flowing = [flows.enter_context(load(where, rate="35/s", method=method)) for method, where, _ in SEEN.values()]
        with injected(inject, abort(503), *edges, at="callee"):
            during = windows(flowing, "2s")
    return {name: window.edge(on) for (name, (_, _, on)), window in zip(SEEN.items(), during, strict=True)}


Claim = Callable[[EdgeClaims], object]
CLAIMS: dict[str, tuple[Claim, list[str], dict[str, str]]] = {
    "a limit": (
        lambda it: it.to_retry(at_most=2),
        ["mesh", "nobody", "application, twice", "nobody, writes", "application, no writes"],
        {
            "application, without limit": "up to 4 retries of a call, claimed at most 2",
            "mesh, writes": "70 POST calls retried, and one violates: it may do its work twice",
            "application, writes": "70 POST calls retried, and one violates: it may do its work twice",
        },
    ),
    "enough": (
        lambda it: it.to_retry(at_least=2),
        ["mesh", "application, twice"],
        {"nobody": "0 % of the calls that failed were retried twice or more"},
    ),
    "no retries": (
        lambda it: it.not_to_retry(),
        ["nobody", "nobody, writes"],
        {"mesh": "up to 2 retries of a call, claimed at most 0", "application, twice": "up to 2 retries of a call"},
    ),
    "space": (
        lambda it: it.to_space_retries("250ms"),
        ["application, twice"],
        {
            "mesh": "jittered",
            "application, without limit": "the application asks again by itself",
        },
    ),
    "amplification": (
        lambda it: it.to_amplify(at_most=4, per_request_at_most=4),
        ["mesh", "nobody", "application, twice"],
        {"application, without limit": "5 attempts per user request, at least 5"},
    ),
}
"""What is claimed -> of whom it is so, and what is said of those of whom it is not."""
HELD = [pytest.param(claim, who, id=f"{name}: {who}") for name, (claim, held, _) in CLAIMS.items() for who in held]
VIOLATED = [
    pytest.param(claim, who, told, id=f"{name}: {who}")
    for name, (claim, _, violated) in CLAIMS.items()
    for who, told in violated.items()
]


@pytest.mark.parametrize(("claim", "who"), HELD)
def test_it_is_so(seen: dict[str, EdgeWindow], claim: Claim, who: str) -> None:
    claim(expect(seen[who]))


@pytest.mark.parametrize(("claim", "who", "told"), VIOLATED)
def test_it_is_not_so(seen: dict[str, EdgeWindow], claim: Claim, who: str, told: str) -> None:
    with pytest.raises(Violated, match=told):
        claim(expect(seen[who]))


def test_retries_of_several_hops_multiply(experiment: tuple[Inject, Load]) -> None:
    """front and middle ask twice each, and the mesh tries each call of front twice: eight attempts for one user request."""
    inject, load = experiment
    target = url("front", asks="middle,back", tries=2)
    with (
        load(target, rate="30/s", observe=["-> front", "front -> middle"]) as traffic,
        inject(abort(503), "middle -> back", at="callee"),
    ):
        during = traffic.window("2500ms")

    last = during.edge("middle -> back")
    assert expect(last).to_amplify(at_most=9).outcome is Outcome.HELD
    assert expect(during.edge("-> front")).to_amplify(at_most=1.5).outcome is Outcome.HELD
    with pytest.raises(Violated, match="8 attempts per user request") as violated:
        expect(last).to_amplify(at_most=3)
    assert (
        "attempts per user request on the way: -> front 1, front -> middle 4 (front asks twice, its proxy tries each call twice), "
        "middle -> back 8 (middle asks twice); in steady 1, 1, 1"
    ) in str(violated.value)


def test_who_never_forgets_does_not_recover(experiment: tuple[Inject, Load]) -> None:
    """After the fault one caller goes on asking for what once failed, and one never asks again: neither is as before."""
    inject, load = experiment
    targets = [url("front", asks="back", spread=0.2, **defect) for defect in ({}, {"forgets": "never"}, {"closes": "never"})]
    by = {"success": "10%", "latency": "500ms"}
    with flowing(load, *targets, rate="40/s") as (sound, forgets_nothing, closes_never):
        windows([sound, forgets_nothing, closes_never], "6s")
        with inject(abort(503), APPLICATION, at="callee") as injection:
            windows([sound, forgets_nothing, closes_never], "1s")
        assert expect(sound).to_recover("1s", after=injection, by=by).outcome is Outcome.HELD
        with pytest.raises(Violated, match=r"retry load stays: front -> back has 3 attempts per user request"):
            expect(forgets_nothing).to_recover("1s", after=injection, by=by)
        with pytest.raises(Violated, match=r"success 0 % \(was 100 %\)(.|\n)*got no further than its caller"):
            expect(closes_never).to_recover("1s", after=injection, by=by)
