from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.claims.differences import margins
from chaos.claims.expect import expect
from chaos.errors import InvalidValue, Refused
from chaos.model.fault import delay
from chaos.model.injection import Side
from chaos.model.outcome import Outcome
from chaos.model.samples import Samples
from chaos.model.standards import Standards
from chaos.model.verdict import Ledger
from chaos.model.window import Window, WindowEvidence
from chaos.stats.equivalence import Margins
from chaos.testing.evidence import calls, closed, edge, injection, requests, window

HELD, VIOLATED, INCONCLUSIVE = Outcome.HELD, Outcome.VIOLATED, Outcome.INCONCLUSIVE


def spread(i: int, *, scale: float = 1.0) -> float:
    """20 ... 40 ms, spread evenly (by the golden ratio), in every part of the window."""
    return scale * (0.020 + 0.020 * (i * 0.6180339887 % 1))


def before(of: int = 2400, **known: object) -> Window:
    return closed(window(requests(of, latency=spread), kind="steady", **known))


def like_before(of: int = 2400, **known: object) -> WindowEvidence:
    return window(requests(of, latency=spread, start=900), kind="recovery", **known)


def slower(scale: float, of: int = 2400) -> WindowEvidence:
    return window(requests(of, latency=lambda i: spread(i, scale=scale), start=900), kind="recovery")


def failing(share: float, of: int = 2400) -> WindowEvidence:
    return window(
        requests(of, latency=spread, status=lambda i: 503 if int((i + 1) * share) > int(i * share) else 200), kind="recovery"
    )


class TestNotToDifferFrom:
    def judge(self, judged, evidence: WindowEvidence, other: Window | None = None, **arguments: object):
        return judged(evidence, lambda claims: claims.not_to_differ_from(other or before(), **arguments))

    @pytest.mark.parametrize(
        ("evidence", "outcome"),
        [
            (like_before(), HELD),
            (slower(1.2), HELD),
            (slower(1.25), INCONCLUSIVE),
            (slower(1.4), VIOLATED),
            (slower(0.5), HELD),  # better is not worse
            (failing(0.002), HELD),
            (failing(0.01), INCONCLUSIVE),
            (failing(0.03), VIOLATED),
            (like_before(60), INCONCLUSIVE),
        ],
        ids=["alike", "x1.2", "x1.25", "x1.4", "x0.5", "bad 0.2%", "bad 1%", "bad 3%", "few"],
    )
    def test_within_or_beyond_a_margin(self, judged, evidence: WindowEvidence, outcome: Outcome):
        assert self.judge(judged, evidence).outcome is outcome

    def test_both_directions_object_to_what_is_better(self, judged):
        assert self.judge(judged, slower(0.5), direction="both").outcome is VIOLATED
        assert self.judge(judged, like_before(), direction="both").outcome is HELD

    def test_both_shares_are_told(self, judged):
        other = closed(window(requests(2400, latency=spread, status=lambda i: 503 if i % 10 == 5 else 200), kind="steady"))

        assert self.judge(judged, failing(0.03), other).summary.startswith("success 97 % (was 90 %); ")

    def test_margins_can_be_set(self, judged):
        assert self.judge(judged, slower(1.4), by={"latency": "50%"}).outcome is HELD
        assert self.judge(judged, slower(1.4), by={"latency": "30ms"}).outcome is HELD
        assert self.judge(judged, slower(1.1), by={"latency": "1ms"}).outcome is VIOLATED
        assert self.judge(judged, failing(0.03), by={"success": "5%"}).outcome is HELD

    def test_under_10_ms_differences_count_and_not_ratios(self, judged):
        fast = closed(window(requests(2400, latency=lambda i: spread(i, scale=0.1)), kind="steady"))

        assert self.judge(judged, slower(0.14), fast).outcome is HELD  # 40 % more, but 1.6 ms
        assert self.judge(judged, slower(0.25), fast).outcome is VIOLATED

    def test_the_chance_of_a_false_alarm_is_shared_out(self, judged):
        evidence = failing(0.021)

        def outcome(experiments: int) -> Outcome:
            return judged(evidence, lambda claims: claims.not_to_differ_from(before()), experiments=experiments).outcome

        assert outcome(1) is VIOLATED
        assert outcome(100_000) is INCONCLUSIVE

    def test_with_too_few_requests_it_says_how_many_are_needed(self, judged):
        verdict = self.judge(judged, like_before(40), before(40))

        assert verdict.outcome is INCONCLUSIVE
        assert verdict.reason.startswith("too few: about ")
        assert verdict.reason.endswith("the smaller one has 40")

    @settings(max_examples=25, deadline=None)
    @given(st.floats(0.3, 3), st.floats(1, 2))
    def test_slower_answers_never_make_it_hold(self, scale: float, more: float):
        other = before(400)

        def outcome(factor: float) -> Outcome:
            return expect(closed(slower(factor, 400), Ledger()), soft=True).not_to_differ_from(other).outcome

        if outcome(scale) is VIOLATED:
            assert outcome(scale * more) is VIOLATED


class TestToDifferFrom:
    @pytest.mark.parametrize(
        ("evidence", "outcome"),
        [
            (like_before(), VIOLATED),
            (slower(1.25), INCONCLUSIVE),
            (slower(1.4), HELD),
            (failing(0.03), HELD),
            (like_before(60), INCONCLUSIVE),
        ],
        ids=["alike", "x1.25", "x1.4", "bad 3%", "few"],
    )
    def test_is_the_negation(self, judged, evidence: WindowEvidence, outcome: Outcome):
        assert judged(evidence, lambda claims: claims.to_differ_from(before())).outcome is outcome

    def test_its_levels_are_swapped(self, judged):
        """What it takes to call it violated is what it takes to call anything violated."""
        almost = slower(1.2)  # 1.2 is shown to be below 1.25 at 5 %, and not at a millionth
        other = before()

        def outcome(experiments: int) -> Outcome:
            return judged(almost, lambda claims: claims.to_differ_from(other), experiments=experiments).outcome

        assert judged(almost, lambda claims: claims.not_to_differ_from(other), experiments=1_000_000).outcome is HELD
        assert outcome(1_000_000) is INCONCLUSIVE

        figures = judged(almost, lambda claims: claims.to_differ_from(other), experiments=5).figures
        assert (figures["alpha_held"], figures["alpha_violated"]) == (pytest.approx(0.05 / 10), 0.05)

    def test_direction_and_margins_are_those_of_its_negation(self, judged):
        assert judged(slower(0.5), lambda claims: claims.to_differ_from(before())).outcome is VIOLATED
        assert judged(slower(0.5), lambda claims: claims.to_differ_from(before(), direction="both")).outcome is HELD
        assert judged(slower(1.4), lambda claims: claims.to_differ_from(before(), by={"latency": "50%"})).outcome is VIOLATED


class TestDoubts:
    def reason(self, judged, evidence: WindowEvidence, other: Window) -> str:
        verdict = judged(evidence, lambda claims: claims.not_to_differ_from(other))
        assert verdict.outcome is INCONCLUSIVE
        return verdict.reason

    def test_of_the_other_window_are_doubts_too(self, judged):
        assert self.reason(judged, like_before(), before(doubts=("mixed",))) == "window 1 (steady) of /productpage: mixed"

    def test_so_is_that_it_is_empty(self, judged):
        empty = closed(window(Samples.of([]), kind="steady", scheduled=5))

        assert self.reason(judged, like_before(), empty).startswith("window 1 (steady) of /productpage: no request was sent")

    @pytest.mark.parametrize("which", ["this", "other"])
    def test_a_window_that_was_cut_short_is_not_compared(self, judged, which: str):
        cut = {"cut_short": True}

        reason = self.reason(judged, like_before(**(cut if which == "this" else {})), before(**(cut if which == "other" else {})))

        assert "was cut short" in reason

    @pytest.mark.parametrize("which", ["this", "other"])
    def test_nor_one_whose_requests_started_late(self, judged, which: str):
        late = requests(2400, latency=spread, lag=0.01)

        reason = self.reason(
            judged,
            window(late, kind="recovery") if which == "this" else like_before(),
            closed(window(late, kind="steady")) if which == "other" else before(),
        )

        assert "the generator was late" in reason

    def test_but_late_is_measured_against_what_is_compared(self, judged):
        slow = requests(2400, latency=lambda i: spread(i, scale=20), lag=0.01)
        steady = closed(window(slow, kind="steady"))

        assert judged(window(slow, kind="recovery"), lambda claims: claims.not_to_differ_from(steady)).outcome is HELD

    @pytest.mark.parametrize(("margin", "outcome"), [("50ms", HELD), ("49ms", INCONCLUSIVE)])
    def test_and_may_take_a_fifth_of_the_margin(self, judged, margin: str, outcome: Outcome):
        late = requests(2400, latency=spread, lag=0.01)

        verdict = judged(window(late, kind="recovery"), lambda it: it.not_to_differ_from(before(), by={"latency": margin}))

        assert verdict.outcome is outcome


class TestMissing:
    def test_what_is_missing_counts_against_whatever_is_to_be_shown(self, judged):
        """0.9 % of the requests were not sent: had they failed, the success share would be down by 0.9 points."""
        evidence = like_before(2400, scheduled=2422)

        verdict = judged(evidence, lambda claims: claims.not_to_differ_from(before()))

        assert verdict.outcome is INCONCLUSIVE

    def test_a_few_do_no_harm(self, judged):
        assert judged(like_before(2400, scheduled=2402), lambda claims: claims.not_to_differ_from(before())).outcome is HELD

    def test_nor_do_they_hide_a_difference(self, judged):
        evidence = window(requests(2400, latency=lambda i: spread(i, scale=2)), kind="recovery", scheduled=2402)

        assert judged(evidence, lambda claims: claims.not_to_differ_from(before())).outcome is VIOLATED

    def test_the_other_window_can_miss_some_as_well(self, judged):
        """They do not cancel out: those of one may have failed, and those of the other not."""
        evidence = like_before(2400, scheduled=2422)

        verdict = judged(evidence, lambda claims: claims.not_to_differ_from(before(2400, scheduled=2422)))

        assert verdict.outcome is INCONCLUSIVE
        assert judged(like_before(), lambda claims: claims.not_to_differ_from(before(2400, scheduled=2422))).outcome is HELD


class TestRefusals:
    def test_a_window_is_not_compared_with_itself(self):
        steady = before()

        with pytest.raises(Refused, match="does not differ from itself"):
            expect(steady).not_to_differ_from(steady)

    def test_nor_are_results_of_different_sides(self):
        def under(side: Side) -> WindowEvidence:
            seen = edge("a -> b", calls(requests(300)), injection=injection(delay("2s"), "a -> b", side=side))
            return window(requests(300), edges=[seen])

        with pytest.raises(Refused, match=r"on a -> b the fault acts at the caller in one and at the callee in the other"):
            expect(closed(under(Side.CALLER))).not_to_differ_from(closed(under(Side.CALLEE)))
        assert expect(closed(under(Side.CALLER)), soft=True).not_to_differ_from(closed(under(Side.CALLER))) is not None

    @pytest.mark.parametrize("other", [None, "steady", 5], ids=repr)
    def test_what_is_no_window_is_refused(self, other):
        with pytest.raises(InvalidValue, match=r"not_to_differ_from\(steady\)"):
            expect(before()).not_to_differ_from(other)
        with pytest.raises(InvalidValue, match=r"compare with a window, to_differ_from\(steady\)"):
            expect(before()).to_differ_from(other)

    def test_so_is_a_direction_that_is_none(self):
        with pytest.raises(InvalidValue, match="direction is 'better'"):
            expect(before()).not_to_differ_from(before(), direction="better")  # type: ignore[arg-type]


class TestMargins:
    @pytest.mark.parametrize(
        ("by", "expected"),
        [
            (None, Margins()),
            ({"success": "2%"}, Margins(share=0.02)),
            ({"success": 0.02}, Margins(share=0.02)),
            ({"latency": "25%"}, Margins()),
            ({"latency": "10%"}, Margins(ratio=1.1, difference=0.001)),
            ({"latency": 0.1}, Margins(ratio=1.1, difference=0.001)),
            ({"latency": "20ms"}, Margins(small=math.inf, difference=0.02)),
            ({"latency": timedelta(seconds=1)}, Margins(small=math.inf, difference=1.0)),
            ({"success": "2%", "latency": "100%"}, Margins(share=0.02, ratio=2.0, difference=0.01)),
        ],
        ids=str,
    )
    def test_replace_the_default(self, by, expected: Margins):
        found = margins(by, Standards())

        assert (found.share, found.ratio, found.small, found.difference) == pytest.approx(
            (expected.share, expected.ratio, expected.small, expected.difference)
        )

    @pytest.mark.parametrize(
        ("by", "message"),
        [
            ({}, "by is {}"),
            ("25%", "by is '25%'"),
            ({"p95": "25%"}, "by has 'p95'.*success"),
            ({"sucess": "1%"}, 'did you mean "success"'),
            ({"success": "100%"}, "by.\"success\". is '100%'"),
            ({"success": timedelta(seconds=1)}, "percentage points"),
            ({"success": "1"}, "percent sign"),
            ({"latency": "20"}, "number without a unit"),
            ({"latency": 1.5}, "between 0 and 1"),
            ({"latency": None}, "is None"),
        ],
        ids=lambda value: str(value),
    )
    def test_that_are_none_are_refused(self, by, message: str):
        with pytest.raises(InvalidValue, match=message):
            margins(by, Standards())


class TestMessages:
    def test_held(self, judged, snapshot):
        assert judged(like_before(), lambda claims: claims.not_to_differ_from(before())).message == snapshot

    def test_violated(self, judged, snapshot):
        evidence = window(
            requests(1200, latency=lambda i: spread(i, scale=3), status=lambda i: 503 if i % 20 == 10 else 200), kind="recovery"
        )

        assert judged(evidence, lambda claims: claims.not_to_differ_from(before())).message == snapshot

    def test_few(self, judged, snapshot):
        assert judged(like_before(200), lambda claims: claims.not_to_differ_from(before(200))).message == snapshot

    def test_too_near(self, judged, snapshot):
        assert judged(slower(1.25), lambda claims: claims.not_to_differ_from(before())).message == snapshot

    def test_no_response(self, judged, snapshot):
        evidence = window(requests(300, status=0, error="timeout"), kind="recovery")

        assert judged(evidence, lambda claims: claims.not_to_differ_from(before(300))).message == snapshot

    def test_absolute(self, judged, snapshot):
        verdict = judged(slower(0.9), lambda claims: claims.not_to_differ_from(before(), by={"latency": "5ms"}, direction="both"))

        assert verdict.message == snapshot

    def test_to_differ(self, judged, snapshot):
        assert judged(slower(2.5), lambda claims: claims.to_differ_from(before())).message == snapshot
