from __future__ import annotations

from datetime import timedelta

import pytest

from chaos.claims.expect import EdgeClaims, Pending, WindowClaims, expect
from chaos.errors import Inconclusive, InvalidValue, Vacuous, Violated
from chaos.model.fault import abort
from chaos.model.outcome import Outcome
from chaos.model.verdict import Ledger, Verdict
from chaos.model.window import Count, Window, WindowEvidence
from chaos.testing.evidence import call, calls, closed, edge, injection, requests, window

EDGE = "reviews -> ratings"


def good(count: int = 300) -> WindowEvidence:
    return window(requests(count), edges=[edge(EDGE, calls(requests(count)))])


def bad() -> WindowEvidence:
    return window(requests(300, status=503))


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def test_a_window_gets_window_claims_and_an_edge_gets_edge_claims():
    held = closed(good())

    assert isinstance(expect(held), WindowClaims)
    assert isinstance(expect(held.edge(EDGE)), EdgeClaims)


@pytest.mark.parametrize("subject", [True, 0.3, Count(3, "errors in window 1"), "window", None, Ledger()])
def test_what_is_no_window_is_refused_with_the_way_to_write_it(subject: object):
    with pytest.raises(InvalidValue, match=r"expect\(during\).*plain assert"):
        expect(subject)  # type: ignore[call-overload]


class TestOnAClosedWindow:
    def test_a_claim_that_holds_returns_its_verdict_and_writes_it_down(self, ledger: Ledger):
        verdict = expect(closed(good(), ledger)).to_succeed()

        assert isinstance(verdict, Verdict)
        assert verdict.outcome is Outcome.HELD
        assert ledger.verdicts == [verdict]

    def test_a_violated_claim_raises_what_pytest_takes_for_a_failure(self, ledger: Ledger):
        with pytest.raises(Violated, match=r'to_succeed\(at_least="99%"\): violated'):
            expect(closed(bad(), ledger)).to_succeed()

        assert [verdict.outcome for verdict in ledger.verdicts] == [Outcome.VIOLATED]

    def test_an_undecided_claim_raises_inconclusive(self, ledger: Ledger):
        with pytest.raises(Inconclusive):
            expect(closed(good(100), ledger)).to_succeed()

        assert [verdict.outcome for verdict in ledger.verdicts] == [Outcome.INCONCLUSIVE]

    def test_softly_it_goes_on_and_is_kept_for_the_end(self, ledger: Ledger):
        verdict = expect(closed(bad(), ledger), soft=True).to_succeed()

        assert ledger.soft == [verdict]
        assert verdict.outcome is Outcome.VIOLATED

    def test_what_holds_is_not_kept_for_the_end(self, ledger: Ledger):
        expect(closed(good(), ledger), soft=True).to_succeed()

        assert ledger.soft == []

    def test_an_edge_that_nobody_observed_is_undecided(self, ledger: Ledger):
        verdict = expect(closed(good(), ledger).edge("a -> b"), soft=True).not_to_retry()

        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert 'observe=["a -> b"]' in verdict.reason


class TestErrorLevels:
    """alpha_violated = 0.05 / (K j (j + 1)), and 8 spaced failures of 300 have a tail of 0.0119."""

    @pytest.fixture
    def evidence(self, spaced) -> WindowEvidence:
        failing = spaced(8, 300)
        return window(requests(300, status=lambda i: 503 if i in failing else 200))

    @pytest.mark.parametrize(
        ("experiments", "claims_before", "outcome"),
        [
            (1, 0, Outcome.VIOLATED),  # 0.025
            (2, 0, Outcome.VIOLATED),  # 0.0125
            (3, 0, Outcome.INCONCLUSIVE),  # 0.0083
            (1, 1, Outcome.INCONCLUSIVE),  # 0.0083
        ],
    )
    def test_the_chance_of_a_false_alarm_is_shared_out(
        self, evidence: WindowEvidence, experiments: int, claims_before: int, outcome: Outcome
    ):
        ledger = Ledger(experiments=experiments, claims=claims_before)

        verdict = expect(closed(evidence, ledger), soft=True).to_succeed()

        assert verdict.outcome is outcome
        assert verdict.figures["alpha_violated"] == pytest.approx(0.05 / (experiments * (claims_before + 1) * (claims_before + 2)))
        assert verdict.figures["alpha_held"] == 0.05

    def test_every_claim_counts(self, ledger: Ledger):
        claims = expect(closed(good(), ledger))
        claims.to_succeed()
        claims.to_respond_within("1s")

        assert ledger.claims == 2


class TestUnfinished:
    def test_an_expectation_without_claim_is_kept(self, ledger: Ledger):
        expect(closed(good(), ledger))

        assert list(ledger.unfinished.values()) == ["expect(window 2 (fault) of /productpage)"]

    def test_a_claim_finishes_it(self, ledger: Ledger):
        expect(closed(good(), ledger)).to_succeed()

        assert ledger.unfinished == {}

    def test_so_does_one_with_a_wrong_argument_that_raises_by_itself(self, ledger: Ledger):
        with pytest.raises(InvalidValue):
            expect(closed(good(), ledger)).to_succeed("99")

        assert ledger.unfinished == {}

    def test_one_claim_does_not_finish_another_expectation(self, ledger: Ledger):
        held = closed(good(), ledger)
        expect(held.edge(EDGE))
        expect(held).to_succeed()

        assert list(ledger.unfinished.values()) == [f"expect({EDGE} in window 2 (fault) of /productpage)"]


class TestOnAnOpenWindow:
    @pytest.fixture
    def open_window(self, ledger: Ledger) -> Window:
        return Window("window 2 (fault)", ledger)

    def test_a_claim_is_judged_when_the_block_ends(self, open_window: Window, ledger: Ledger):
        pending = expect(open_window).to_succeed()

        assert isinstance(pending, Pending)
        assert ledger.verdicts == []

        open_window.close(good())

        assert pending.outcome is Outcome.HELD
        assert ledger.verdicts == [pending.verdict]

    def test_its_verdict_cannot_be_read_before(self, open_window: Window):
        pending = expect(open_window).to_succeed()

        with pytest.raises(Inconclusive, match="not judged yet"):
            pending.verdict  # noqa: B018 - reading it is what raises
        assert "pending" in repr(pending)

    def test_arguments_are_checked_at_once(self, open_window: Window):
        with pytest.raises(InvalidValue):
            expect(open_window).to_respond_within("6.5")

    def test_its_number_is_that_of_its_registration(self, open_window: Window, ledger: Ledger):
        pending = expect(open_window).to_succeed()
        assert ledger.number() == 2

        open_window.close(good())

        assert pending.verdict.figures["alpha_violated"] == 0.025

    def test_an_edge_is_found_when_the_window_is_closed(self, open_window: Window):
        pending = expect(open_window.edge(EDGE)).to_amplify(at_most=2)

        open_window.close(good())

        assert pending.outcome is Outcome.HELD

    def test_one_that_does_not_hold_is_raised_as_it_is_after_all_are_judged(self, open_window: Window, ledger: Ledger):
        expect(open_window).to_succeed()
        expect(open_window).to_respond_within("1s")

        with pytest.raises(Violated):
            open_window.close(bad())

        assert [verdict.outcome for verdict in ledger.verdicts] == [Outcome.VIOLATED, Outcome.HELD]

    def test_several_are_raised_together(self, open_window: Window, ledger: Ledger):
        expect(open_window).to_succeed()
        expect(open_window.edge("a -> b")).not_to_retry()

        with pytest.raises(ExceptionGroup, match="2 claims on window 2") as raised:
            open_window.close(bad())

        assert [type(error) for error in raised.value.exceptions] == [Violated, Inconclusive]
        assert len(ledger.verdicts) == 2

    def test_soft_ones_are_not_raised(self, open_window: Window, ledger: Ledger):
        expect(open_window, soft=True).to_succeed()

        open_window.close(bad())

        assert [verdict.outcome for verdict in ledger.soft] == [Outcome.VIOLATED]

    def test_a_refused_claim_says_so_when_the_block_ends(self, open_window: Window):
        record = injection(abort(503, percent=0.5), EDGE)
        steady = window(requests(300), kind="steady", edges=[edge(EDGE, calls(requests(300)))])
        expect(open_window).to_succeed()

        with pytest.raises(Vacuous, match="cannot fail"):
            open_window.close(window(requests(300), edges=[edge(EDGE, calls(requests(300)), injection=record)], steady=steady))


def test_a_comparison_with_a_window_that_is_still_open_is_undecided(ledger: Ledger):
    verdict = expect(closed(good(), ledger), soft=True).not_to_differ_from(Window("window 3", ledger))

    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "window 3 is still open" in verdict.reason


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        (lambda w, e: w.to_succeed("99.9%"), 'to_succeed(at_least="99.9%")'),
        (lambda w, e: w.to_succeed(0.9, ok=(404,), burst=5), "to_succeed(at_least=0.9, ok=(404,), burst=5)"),
        (lambda w, e: w.to_respond_within("6.5s"), 'to_respond_within("6.5s", at="p95")'),
        (
            lambda w, e: w.to_respond_within(timedelta(seconds=1), at="p99", of="ok", closed=True),
            'to_respond_within("1s", at="p99", of="ok", closed=True)',
        ),
        (lambda w, e: w.to_return(status=200), 'to_return(status=200, at_least="99%")'),
        (
            lambda w, e: w.to_return(json={"a[0].b": 5}, header={"X-Cache": None}, at_least="95%"),
            'to_return(json={"a[0].b": 5}, header={"X-Cache": None}, at_least="95%")',
        ),
        (lambda w, e: w.to_return(containing='say "no"\n'), r'to_return(containing="say \"no\"\n", at_least="99%")'),
        (lambda w, e: w.to_sustain("90/s"), 'to_sustain(rate="90/s")'),
        (lambda w, e: w.to_sustain(rate="90/s", ok=[404]), 'to_sustain(rate="90/s", ok=(404,))'),
        (lambda w, e: e.to_time_out_within("3.5s"), 'to_time_out_within("3.5s", at_least="95%")'),
        (lambda w, e: e.to_retry(at_most=2), "to_retry(at_most=2)"),
        (
            lambda w, e: e.to_retry(at_least=1, share="90%", never=("POST",)),
            'to_retry(at_least=1, share="90%", never=("POST",))',
        ),
        (lambda w, e: e.not_to_retry(), "not_to_retry()"),
        (lambda w, e: e.to_space_retries("10ms"), 'to_space_retries(at_least="10ms")'),
        (lambda w, e: e.to_amplify(at_most=2, per_request_at_most=3), "to_amplify(at_most=2, per_request_at_most=3)"),
    ],
)
def test_a_verdict_names_the_claim_as_it_was_written(claim, text: str):
    held = closed(window(requests(300), edges=[edge(EDGE, calls(requests(300), lambda n, at: call(n, started=at)))]))

    assert claim(expect(held, soft=True), expect(held.edge(EDGE), soft=True)).claim == text


def test_a_comparison_names_the_other_window():
    held, other = closed(good()), closed(window(requests(300), kind="steady"))

    verdict = expect(held, soft=True).not_to_differ_from(other, by={"latency": "50%"}, direction="both")

    assert verdict.claim == 'not_to_differ_from(window 1 (steady) of /productpage, by={"latency": "50%"}, direction="both")'
