from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.claims.expect import expect
from chaos.errors import InvalidValue, Refused, Vacuous
from chaos.model.fault import abort, delay
from chaos.model.outcome import Outcome
from chaos.model.verdict import Ledger
from chaos.model.window import WindowEvidence
from chaos.testing.evidence import call, calls, closed, edge, injection, requests, window

HELD, VIOLATED, INCONCLUSIVE = Outcome.HELD, Outcome.VIOLATED, Outcome.INCONCLUSIVE
EDGE = "reviews -> ratings"


def failing(bad: frozenset[int] | set[int], of: int, **known: object) -> WindowEvidence:
    return window(requests(of, status=lambda i: 503 if i in bad else 200), **known)


class TestToSucceed:
    @pytest.mark.parametrize(
        ("bad", "of", "at_least", "outcome"),
        [
            (0, 298, "99%", INCONCLUSIVE),
            (0, 299, "99%", HELD),
            (7, 300, "99%", INCONCLUSIVE),
            (8, 300, "99%", VIOLATED),
            (0, 58, "95%", INCONCLUSIVE),
            (0, 59, "95%", HELD),
            (0, 298, "100%", INCONCLUSIVE),
            (0, 299, "100%", HELD),
            (1, 299, "100%", VIOLATED),
            (1, 1, "100%", VIOLATED),
        ],
    )
    def test_both_sides_of_every_limit(self, judged, spaced, bad: int, of: int, at_least: str, outcome: Outcome):
        verdict = judged(failing(spaced(bad, of), of), lambda claims: claims.to_succeed(at_least))

        assert verdict.outcome is outcome
        assert verdict.requests == of
        assert verdict.measured == pytest.approx(1 - bad / of)
        assert verdict.unit == "share"

    @pytest.mark.parametrize(("of", "outcome"), [(472, INCONCLUSIVE), (473, HELD)])
    def test_one_failure_takes_473(self, judged, of: int, outcome: Outcome):
        assert judged(failing({of - 1}, of), lambda claims: claims.to_succeed()).outcome is outcome

    @pytest.mark.parametrize(
        ("samples", "bad"),
        [
            ({"status": 200}, 0),
            ({"status": 399}, 0),
            ({"status": 400}, 1),
            ({"status": 404}, 1),
            ({"status": 0, "error": "timeout"}, 1),
            ({"status": 200, "grpc": 0}, 0),
            ({"status": 200, "grpc": 14}, 1),
            ({"status": 200, "error": "the user's own check"}, 1),
        ],
    )
    def test_what_is_bad(self, judged, samples: dict, bad: int):
        assert judged(window(requests(10, **samples)), lambda claims: claims.to_succeed()).figures["bad"] == 10 * bad

    def test_a_status_can_be_declared_ok(self, judged):
        evidence = window(requests(300, status=404))

        assert judged(evidence, lambda claims: claims.to_succeed()).outcome is VIOLATED
        assert judged(evidence, lambda claims: claims.to_succeed(ok=(404,))).outcome is HELD
        assert judged(evidence, lambda claims: claims.to_succeed(ok=(403,))).outcome is VIOLATED
        assert judged(evidence, lambda claims: claims.to_succeed(ok=(400, 404, 599))).outcome is HELD

    def test_failures_in_a_row_count_for_less(self, judged, spaced):
        apart, together = failing(spaced(8, 300), 300), failing(frozenset(range(100, 108)), 300)

        assert judged(apart, lambda claims: claims.to_succeed()).outcome is VIOLATED
        verdict = judged(together, lambda claims: claims.to_succeed())
        assert verdict.outcome is INCONCLUSIVE
        assert "since they depend on each other" in verdict.reason

    def test_declared_bursts_are_prepared_for(self, judged):
        assert judged(failing(set(), 4023), lambda claims: claims.to_succeed(burst=5)).outcome is INCONCLUSIVE
        assert judged(failing(set(), 4024), lambda claims: claims.to_succeed(burst=5)).outcome is HELD  # 1.5 x (2 x 5 - 1) x 298.07

    def test_what_was_not_sent_counts_against_held_and_for_violated(self, judged, spaced):
        assert judged(window(requests(472), scheduled=473), lambda claims: claims.to_succeed()).outcome is HELD
        assert judged(window(requests(471), scheduled=472), lambda claims: claims.to_succeed()).outcome is INCONCLUSIVE
        with_unsent = judged(failing(spaced(7, 300), 300, scheduled=303), lambda claims: claims.to_succeed())
        assert with_unsent.outcome is INCONCLUSIVE
        assert (with_unsent.figures["bad"], with_unsent.figures["missing"]) == (7, 3)

    def test_requests_recorded_as_unsent_are_missing_and_not_bad(self, judged):
        verdict = judged(window(requests(600, unsent=[300])), lambda claims: claims.to_succeed())

        assert (verdict.outcome, verdict.figures["bad"], verdict.figures["missing"], verdict.requests) == (HELD, 0, 1, 599)

    def test_a_window_that_was_cut_short_is_judged_by_the_rule_for_looks(self, judged):
        """367 requests without failure are its median stop; 299, which a fixed window needs, are too few."""
        assert judged(failing(set(), 299, cut_short=True), lambda claims: claims.to_succeed()).outcome is INCONCLUSIVE
        held = judged(failing(set(), 400, cut_short=True), lambda claims: claims.to_succeed())
        assert held.outcome is HELD
        assert "judged as it arrived" in held.summary
        assert judged(failing(set(range(100)), 100, cut_short=True), lambda claims: claims.to_succeed()).outcome is VIOLATED

    def test_what_is_violated_in_steady_is_undecided(self, judged):
        steady = window(requests(300, status=503), kind="steady")

        verdict = judged(window(requests(300, status=503), steady=steady), lambda claims: claims.to_succeed())

        assert verdict.outcome is INCONCLUSIVE
        assert verdict.reason.startswith("steady state not met: ")

    @pytest.mark.parametrize("fault", [abort(503, percent=0.5), delay("2s", percent=1)], ids=str)
    def test_under_a_fault_that_harms_too_few_it_is_refused(self, fault):
        steady = window(requests(300), kind="steady", edges=[edge(EDGE, calls(requests(300)))])
        faulty = window(requests(300), edges=[edge(EDGE, calls(requests(300)), injection=injection(fault, EDGE))], steady=steady)

        with pytest.raises(Vacuous, match="cannot fail"):
            expect(closed(faulty)).to_succeed()
        assert expect(closed(faulty), allow_vacuous=True).to_succeed().outcome is HELD

    @pytest.mark.parametrize("at_least", ["99", 99, 1.0, 0, "0%", "101%", True, "all"], ids=repr)
    def test_a_share_that_is_none_is_refused(self, at_least):
        with pytest.raises(InvalidValue, match="at_least is "):
            expect(closed(window())).to_succeed(at_least)

    @pytest.mark.parametrize("ok", [404, "404", (200,), (399,), (600,), ("404",), (True,), b"404"], ids=repr)
    def test_statuses_that_are_none_are_refused(self, ok):
        with pytest.raises(InvalidValue, match=r"give HTTP statuses 400 \.\.\. 599 in a tuple, ok=\(404,\)"):
            expect(closed(window())).to_succeed(ok=ok)

    @pytest.mark.parametrize("burst", [0, 0.9, -1, "5", True, float("inf"), float("nan"), None], ids=repr)
    def test_a_burst_that_is_none_is_refused(self, burst):
        with pytest.raises(InvalidValue, match="burst is "):
            expect(closed(window())).to_succeed(burst=burst)

    @settings(max_examples=60, deadline=None)
    @given(st.sets(st.integers(0, 499), max_size=40), st.sets(st.integers(0, 499), max_size=40), st.booleans())
    def test_more_failures_never_make_a_violated_claim_hold(self, some: set[int], more: set[int], cut_short: bool):
        def outcome(bad: set[int]) -> Outcome:
            evidence = failing(bad, 500, cut_short=cut_short)
            return expect(closed(evidence, Ledger()), soft=True).to_succeed("97%").outcome

        if outcome(some) is VIOLATED:
            assert outcome(some | more) is not HELD
        if outcome(some | more) is HELD:
            assert outcome(some) is not VIOLATED


class TestToSustain:
    @pytest.mark.parametrize(
        ("rate", "bad", "of", "outcome"),
        [
            ("95/s", 0, 58, INCONCLUSIVE),
            ("95/s", 0, 59, HELD),
            ("99/s", 8, 300, VIOLATED),
            ("99/s", 7, 300, INCONCLUSIVE),
            ("100/s", 0, 299, HELD),
            ("100/s", 1, 299, VIOLATED),
            (50, 60, 300, HELD),
        ],
    )
    def test_is_a_share_of_the_offered_rate(self, judged, spaced, rate, bad: int, of: int, outcome: Outcome):
        verdict = judged(failing(spaced(bad, of), of, offered=100.0), lambda claims: claims.to_sustain(rate))

        assert verdict.outcome is outcome

    def test_more_than_is_offered_is_refused(self):
        evidence = window(requests(300), offered=100.0)

        assert expect(closed(evidence)).to_sustain("100/s").outcome is HELD
        with pytest.raises(Refused, match="the load offers 100/s"):
            expect(closed(evidence)).to_sustain("101/s")

    def test_statuses_and_bursts_are_those_of_to_succeed(self, judged):
        evidence = window(requests(300, status=404), offered=100.0)

        assert judged(evidence, lambda claims: claims.to_sustain("90/s")).outcome is VIOLATED
        assert judged(evidence, lambda claims: claims.to_sustain("90/s", ok=(404,))).outcome is HELD
        assert judged(evidence, lambda claims: claims.to_sustain("90/s", ok=(404,), burst=20)).outcome is INCONCLUSIVE

    def test_it_is_refused_where_it_cannot_fail(self):
        steady = window(requests(300), kind="steady", edges=[edge(EDGE, calls(requests(300)))])
        record = injection(abort(503, percent=10), EDGE)
        faulty = window(requests(300), edges=[edge(EDGE, calls(requests(300)), injection=record)], steady=steady)

        with pytest.raises(Vacuous):
            expect(closed(faulty)).to_sustain("90/s")
        assert expect(closed(faulty)).to_sustain("91/s").outcome is HELD

    @pytest.mark.parametrize("rate", ["95", 0, -1, "95/h", True, None], ids=repr)
    def test_a_rate_that_is_none_is_refused(self, rate):
        with pytest.raises(InvalidValue, match="rate is "):
            expect(closed(window())).to_sustain(rate)

    @pytest.mark.parametrize("arguments", [{"ok": 404}, {"burst": 0}], ids=repr)
    def test_so_is_anything_else_that_is_wrong(self, arguments):
        with pytest.raises(InvalidValue):
            expect(closed(window())).to_sustain("95/s", **arguments)


class TestMessages:
    def test_held(self, judged, spaced, snapshot):
        assert judged(failing(spaced(9, 2400), 2400), lambda claims: claims.to_succeed()).message == snapshot

    def test_violated(self, judged, snapshot):
        bad = {*range(120, 150), *range(220, 260)}
        seen = calls(
            requests(300),
            lambda n, at: call(n, started=at, status=503, flags="UO") if n in bad else call(n, started=at),
        )
        evidence = failing(bad, 300, edges=[edge(EDGE, seen, policy=("default: maxRequests 1",))])

        assert judged(evidence, lambda claims: claims.to_succeed()).message == snapshot

    def test_hit_and_spared(self, judged, spaced, snapshot):
        hit = spaced(90, 300)
        seen = calls(
            requests(300),
            lambda n, at: call(n, started=at, status=503, flags="FI") if n in hit else call(n, started=at),
        )
        record = injection(abort(503, percent=30), EDGE)
        steady = window(requests(300), kind="steady", edges=[edge(EDGE, calls(requests(300)))])
        evidence = failing(hit, 300, edges=[edge(EDGE, seen, injection=record)], steady=steady)

        assert judged(evidence, lambda claims: claims.to_succeed()).message == snapshot

    def test_too_few(self, judged, snapshot):
        assert judged(failing(set(), 100), lambda claims: claims.to_succeed()).message == snapshot

    def test_looks_violated(self, judged, spaced, snapshot):
        assert judged(failing(spaced(7, 300), 300), lambda claims: claims.to_succeed()).message == snapshot

    def test_too_near(self, judged, spaced, snapshot):
        assert judged(failing(spaced(10, 1000), 1000), lambda claims: claims.to_succeed()).message == snapshot

    def test_dependent(self, judged, snapshot):
        assert judged(failing(set(range(20)), 1000), lambda claims: claims.to_succeed("97%")).message == snapshot

    def test_generator_late(self, judged, snapshot):
        assert judged(window(requests(300), scheduled=400), lambda claims: claims.to_succeed()).message == snapshot

    def test_unsent(self, judged, snapshot):
        assert judged(window(requests(800, unsent=[7, 400])), lambda claims: claims.to_succeed()).message == snapshot

    def test_cut_short_undecided(self, judged, snapshot):
        assert judged(failing({7}, 120, cut_short=True), lambda claims: claims.to_succeed()).message == snapshot

    def test_cut_short_violated(self, judged, snapshot):
        assert judged(failing(set(range(100)), 100, cut_short=True), lambda claims: claims.to_succeed()).message == snapshot

    def test_sustained(self, judged, spaced, snapshot):
        evidence = failing(spaced(30, 300), 300, offered=100.0)

        assert judged(evidence, lambda claims: claims.to_sustain("95/s")).message == snapshot

    def test_vacuous(self, snapshot):
        steady = window(requests(300), kind="steady", edges=[edge(EDGE, calls(requests(300)))])
        record = injection(abort(503, percent=0.5), EDGE)
        faulty = window(requests(300), edges=[edge(EDGE, calls(requests(300)), injection=record)], steady=steady)

        with pytest.raises(Vacuous) as refused:
            expect(closed(faulty)).to_succeed()

        assert str(refused.value) == snapshot
