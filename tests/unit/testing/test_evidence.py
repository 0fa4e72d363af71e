from __future__ import annotations

from chaos.model.fault import abort
from chaos.model.samples import Response
from chaos.testing.evidence import SECOND, attempts, call, calls, closed, edge, injection, requests, window


def test_requests_are_scheduled_at_even_distances():
    samples = requests(3, rate=10, start=2.0, first=7)

    assert list(samples["sequence"]) == [7, 8, 9]
    assert list(samples["scheduled"]) == [2 * SECOND, 2 * SECOND + SECOND // 10, 2 * SECOND + SECOND // 5]


def test_each_request_can_be_another():
    page = Response({}, b"page")
    samples = requests(
        2, latency=lambda i: i + 1.0, status=lambda i: 200 + i, error=lambda i: "x" * i, response=lambda i: page if i else None
    )

    assert [round((e - s) / SECOND) for s, e in zip(samples["scheduled"], samples["ended"], strict=True)] == [1, 2]
    assert list(samples["status"]) == [200, 201]
    assert [samples.error(i) for i in (0, 1)] == ["", "x"]
    assert [samples.response(i) for i in (0, 1)] == [None, page]


def test_an_unsent_request_has_neither_start_nor_status():
    samples = requests(2, unsent=[1])

    assert (samples["sent"][1], samples["status"][1], samples.error(1)) == (0, 0, "unsent")
    assert samples["sent"][0] == samples["scheduled"][0]


def test_a_window_spans_its_requests_and_offers_their_rate():
    evidence = window(requests(300, rate=50, start=10))

    assert (evidence.start, evidence.end) == (10 * SECOND, 16 * SECOND)
    assert round(evidence.offered, 6) == 50
    assert (evidence.kind, evidence.scheduled, evidence.missing, evidence.doubts) == ("fault", 300, 0, ())


def test_the_injections_of_a_window_are_those_of_its_edges():
    record = injection(abort(503), "a -> b")
    seen = edge("a -> b", injection=record)

    assert window(requests(1), edges=[seen, edge("b -> c")]).injections == (record,)
    assert window(requests(1), edges=[seen], injections=[]).injections == ()


def test_an_edge_is_proven_unless_told_why_not():
    record = injection(abort(503), "a -> b")
    hit = [call(0, started=0, flags="FI"), call(1, started=1)]

    proven, unproven = (
        edge("a -> b", hit, injection=record).proof,
        edge("a -> b", hit, injection=record, unproven="no sidecar").proof,
    )

    assert proven is not None
    assert unproven is not None
    assert (proven.proven, proven.drawn, unproven.proven, unproven.reason) == (True, 1, False, "no sidecar")
    assert edge("a -> b").proof is None


def test_calls_come_in_the_order_of_their_requests_and_of_their_start():
    made = calls(requests(2, rate=1), lambda n, at: [call(n, started=at + 3 * SECOND), call(n, started=at)])

    assert [(seen.sequence, seen.started // SECOND) for seen in made] == [(0, 100), (0, 103), (1, 101), (1, 104)]


def test_attempts_follow_each_other_with_gaps():
    first, second = attempts(0, (1.0, 503, "FI"), (2.0, 200, ""), gap=0.5)

    assert (first.ended, second.started, second.ended) == (SECOND, SECOND * 3 // 2, SECOND * 7 // 2)
    assert (first.flags, second.flags) == (frozenset({"FI"}), frozenset())
    assert call(0, started=0, attempts=(first, second)).tries == 2


def test_a_closed_window_can_be_read():
    assert closed(window(requests(12))).requests == 12
