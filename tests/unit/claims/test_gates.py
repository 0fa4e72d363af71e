from __future__ import annotations

import pytest

from chaos.claims.gates import doubt, lag
from chaos.claims.subjects import EdgeSubject, WindowSubject
from chaos.model.fault import abort
from chaos.model.samples import Samples
from chaos.model.window import WindowEvidence
from chaos.testing.evidence import calls, edge, injection, requests, window

EDGE = "reviews -> ratings"


def of(evidence: WindowEvidence) -> str:
    return doubt(WindowSubject(evidence))


def test_a_whole_window_is_not_doubted():
    assert of(window(requests(300))) == ""


def test_a_window_without_requests_is():
    assert of(window(Samples.of([]), scheduled=12)).startswith("no request was sent in it (12 were scheduled)")


def test_so_is_one_whose_requests_were_all_unsent():
    assert of(window(requests(3, unsent=range(3)))).startswith("no request was sent in it (3 were scheduled)")


def test_an_edge_without_calls_is():
    evidence = window(requests(3), edges=[edge(EDGE)])

    assert doubt(EdgeSubject(evidence, next(iter(evidence.edges.values())))).startswith(
        "no call of this window's requests went over it"
    )


def test_the_doubts_of_the_window_are_told_one_and_all():
    assert of(window(requests(300), doubts=("route changed by argocd at 12.3 s", "window mixed"))) == (
        "route changed by argocd at 12.3 s; window mixed"
    )


@pytest.mark.parametrize(
    ("scheduled", "sent", "transition", "doubted"),
    [
        (1000, 990, 0, False),
        (1000, 989, 0, True),
        (1000, 980, 10, True),  # 10 belong to no window: 980 of 990 is 98.99 %
        (1000, 981, 10, False),
        (100, 99, 0, False),
        (99, 98, 0, True),
    ],
)
def test_under_99_percent_sent_the_generator_was_late(scheduled: int, sent: int, transition: int, doubted: bool):
    reason = of(window(requests(sent), scheduled=scheduled, transition=transition))

    assert bool(reason) is doubted
    if doubted:
        assert reason.startswith(f"the generator was late: {scheduled - transition - sent} of {scheduled - transition} scheduled")


def test_requests_that_were_recorded_as_unsent_are_missing_too():
    assert of(window(requests(100, unsent=[7]))) == ""
    assert of(window(requests(100, unsent=[7, 8]))).startswith("the generator was late: 2 of 100")


def test_an_unproven_injection_is_doubted_with_its_reason():
    record = injection(abort(503, percent=5), EDGE)
    seen = edge(EDGE, calls(requests(7)), injection=record, unproven="only 7 attempts where 135 are needed")

    assert of(window(requests(7), edges=[seen])) == f"the injection on {EDGE} is not proven: only 7 attempts where 135 are needed"


def test_an_edge_answers_for_its_own_injection_only():
    unproven = edge(EDGE, calls(requests(7)), injection=injection(abort(503), EDGE), unproven="no sidecar")
    other = edge("productpage -> details", calls(requests(7)))
    evidence = window(requests(7), edges=[unproven, other])

    assert doubt(EdgeSubject(evidence, other)) == ""
    assert doubt(EdgeSubject(evidence, unproven)) != ""


def test_the_order_is_nothing_there_then_doubts_then_unsent_then_unproven():
    record = injection(abort(503), EDGE)
    seen = edge(EDGE, calls(requests(10)), injection=record, unproven="no sidecar")
    nothing = window(Samples.of([]), scheduled=100, doubts=("mixed",), edges=[seen])
    doubted = window(requests(10), scheduled=100, doubts=("mixed",), edges=[seen])
    unsent = window(requests(10), scheduled=100, edges=[seen])
    unproven = window(requests(10), edges=[seen])

    assert [of(one).split()[0] for one in (nothing, doubted, unsent, unproven)] == ["no", "mixed", "the", "the"]
    assert "generator" in of(unsent)
    assert "not proven" in of(unproven)


class TestLag:
    """p99 of the start lag against max(2 ms, 5 % of the claimed time): 1 % of the requests may be later."""

    @pytest.mark.parametrize(
        ("late", "many", "threshold", "doubted"),
        [
            (0.002, 100, 0.020, False),  # the floor
            (0.0021, 100, 0.020, True),
            (0.0021, 1, 0.020, False),  # one of a hundred is no p99
            (0.0021, 2, 0.020, True),
            (0.050, 100, 1.0, False),  # 5 % of a second
            (0.051, 100, 1.0, True),
        ],
    )
    def test_both_sides_of_the_limit(self, late: float, many: int, threshold: float, doubted: bool):
        evidence = window(requests(100, lag=lambda i: late if i < many else 0.0))

        assert bool(lag(WindowSubject(evidence), threshold)) is doubted

    @pytest.mark.parametrize(("rest", "doubted"), [(0.002, False), (0.00201, True)])
    def test_it_is_the_p99_that_counts_and_not_the_latest(self, rest: float, doubted: bool):
        evidence = window(requests(100, lag=lambda i: 1.0 if i == 7 else rest))

        assert bool(lag(WindowSubject(evidence), 0.020)) is doubted

    def test_the_message_says_how_late_and_how_late_it_may_be(self):
        reason = lag(WindowSubject(window(requests(100, lag=0.3))), 1.0)

        assert "300 ms or more behind their schedule, and latencies against 1 s allow 50 ms" in reason

    def test_a_closed_model_has_no_schedule_to_be_behind(self):
        assert lag(WindowSubject(window(requests(100, lag=0.3), open_model=False)), 1.0) == ""
