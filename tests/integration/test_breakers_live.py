"""Are claims on circuit breakers true of real ones? Each with a breaker that does what is claimed, and one with the defect built in.

Counts, flags and states of real Envoys; times are seconds where Envoy's are, so that a busy machine changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaos import abort, delay, expect
from chaos.errors import Inconclusive, Refused, Violated
from chaos.model.outcome import Outcome
from chaos.run.view import Inject, Load
from tests.calling import Callee
from tests.running import Running, edge, opened, url

PROMPT = "consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 1s"
LASTING = "consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 2s"
NO_RETRIES = "[{retries: {attempts: 0}}]"
CALLEES = (
    Callee(name="guarded", http=NO_RETRIES, policy=f"{{outlierDetection: {{{LASTING}, maxEjectionPercent: 100}}}}"),
    Callee(name="relapsing", http=NO_RETRIES, policy=f"{{outlierDetection: {{{PROMPT}, maxEjectionPercent: 100}}}}"),
    # The default of 10 % is none of two hosts: written as if it protected something.
    Callee(name="decorative", http=NO_RETRIES, policy=f"{{outlierDetection: {{{PROMPT}}}}}"),
    Callee(name="narrow", policy="{connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}}"),
    Callee(name="wide", policy="{connectionPool: {http: {http2MaxRequests: 500}}}"),
    Callee(name="bare"),
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with opened(tmp_path_factory.mktemp("run"), CALLEES) as running:
        yield running


@pytest.fixture
def experiment(running: Running) -> Iterator[tuple[Inject, Load]]:
    with running.experiment() as (inject, load, _):
        yield inject, load
    assert running.holds_nothing_of_ours()


def test_a_breaker_opens_and_closes_and_is_seen_to(experiment: tuple[Inject, Load]) -> None:
    inject, load = experiment
    with load(url("guarded"), rate="60/s") as traffic:
        with inject(abort(503), edge("guarded")) as injection:
            during = traffic.window("2s")
        traffic.settle(after=injection)
        after = traffic.window("5s")

    opening = expect(during.edge(edge("guarded"))).to_open_circuit(within="2s")
    assert opening.outcome is Outcome.HELD
    assert "2 hosts had 3 x 5xx in a row, 2 out" in opening.summary
    # The flag on the host comes at once; the load balancer hears of it up to a second later (Envoy's update_merge_window).
    assert during.edge(edge("guarded")).rejected > 30
    with pytest.raises(Violated, match="2 ejections, 0 calls turned away"):
        expect(during.edge(edge("guarded"))).not_to_open_circuit()
    closing = expect(after.edge(edge("guarded"))).to_close_circuit(within="4s")
    assert closing.outcome is Outcome.HELD
    with pytest.raises(Refused, match="is the least that can be claimed"):
        expect(after.edge(edge("guarded"))).to_close_circuit(within="500ms")


def test_a_breaker_that_can_put_nobody_out_is_told_so(experiment: tuple[Inject, Load]) -> None:
    inject, load = experiment
    with load(url("decorative"), rate="60/s") as traffic, inject(abort(503), edge("decorative")):
        during = traffic.window("2s")

    with pytest.raises(Violated, match="2 hosts had 3 x 5xx in a row, 0 hosts out") as told:
        expect(during.edge(edge("decorative"))).to_open_circuit(within="1s")
    assert "it can never open; set maxEjectionPercent to 50 or more" in str(told.value)
    assert expect(during.edge(edge("decorative"))).not_to_open_circuit().outcome is Outcome.HELD


def test_a_row_that_never_gets_full_decides_nothing(experiment: tuple[Inject, Load]) -> None:
    inject, load = experiment
    with load(url("guarded"), rate="60/s") as traffic, inject(abort(503, percent=10), edge("guarded")):
        during = traffic.window("2s")

    verdict = expect(during.edge(edge("guarded")), soft=True).to_open_circuit(within="1s")
    # Three in a row at 10 %: once in 1,110 attempts.
    assert verdict.outcome is not Outcome.VIOLATED


def test_a_host_that_goes_on_failing_stays_out(experiment: tuple[Inject, Load]) -> None:
    inject, load = experiment
    with load(url("relapsing") + "503", rate="60/s") as traffic:
        with inject(abort(503), edge("relapsing")) as injection:
            traffic.window("1s")
        traffic.settle(after=injection)
        after = traffic.window("8s")

    with pytest.raises(Violated, match="still out"):
        expect(after.edge(edge("relapsing"))).to_close_circuit(within="7s")


def test_a_limit_sheds_what_a_slow_callee_cannot_take(experiment: tuple[Inject, Load]) -> None:
    inject, load = experiment
    with load(url("narrow"), rate="100/s") as traffic, inject(delay("100ms"), edge("narrow")):
        during = traffic.window("5s")

    seen = during.edge(edge("narrow"))
    # One connection serves ten calls a second, and one waits: of a hundred ninety or so are turned away.
    assert expect(seen).to_shed(at_least="70%").outcome is Outcome.HELD
    assert expect(seen).to_open_circuit(within="2s").outcome is Outcome.HELD
    with pytest.raises(Violated, match=r"\d+ by the limit on pending requests"):
        expect(seen).not_to_open_circuit()


def test_what_is_wide_enough_sheds_nothing(experiment: tuple[Inject, Load]) -> None:
    inject, load = experiment
    with load(url("wide"), rate="100/s") as traffic, inject(delay("200ms"), edge("wide")):
        during = traffic.window("5s")

    with pytest.raises(Violated, match="0 % were turned away"):
        expect(during.edge(edge("wide"))).to_shed(at_least="20%")
    with pytest.raises(Inconclusive, match="its limits .* were not reached"):
        expect(during.edge(edge("wide"))).to_open_circuit(within="1s")


def test_bystanders_keep_their_breakers(experiment: tuple[Inject, Load]) -> None:
    inject, load = experiment
    with (
        load(url("guarded"), rate="60/s") as own,
        load(url("guarded"), rate="60/s", own=False) as others,
        inject(abort(503), edge("guarded")),
        others.recording() as theirs,
    ):
        mine = own.window("2s")

    assert mine.error_share > 0.9
    assert theirs.errors == 0
    assert theirs.edge(edge("guarded")).rejected == 0


def test_where_no_breaker_stands_nothing_can_be_claimed_of_one(experiment: tuple[Inject, Load]) -> None:
    inject, load = experiment
    with load(url("bare"), rate="60/s") as traffic, inject(abort(503), edge("bare"), at="callee"):
        during = traffic.window("1s")

    with pytest.raises(Refused, match="no breaker stands on this edge"):
        expect(during.edge(edge("bare"))).to_open_circuit(within="1s")
    with pytest.raises(Refused, match="nothing is limited on this edge"):
        expect(during.edge(edge("bare"))).to_shed(at_least="50%")


def test_at_the_callers_side_no_breaker_is_asked(experiment: tuple[Inject, Load]) -> None:
    inject, load = experiment
    with load(url("guarded"), rate="60/s") as traffic, inject(abort(503), edge("guarded"), at="caller"):
        during = traffic.window("1s")

    for claim in ("to_open_circuit", "to_shed"):
        with pytest.raises(Refused, match="before the router"):
            getattr(expect(during.edge(edge("guarded"))), claim)("50%" if claim == "to_shed" else "1s")
