from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.claims.columns import failures, sent
from chaos.claims.subjects import EdgeSubject, WindowSubject, calls_per_request, hit_sequences, injection_on, response_times
from chaos.model.fault import abort, delay
from chaos.model.injection import Side
from chaos.model.window import WindowEvidence, is_bad
from chaos.testing.evidence import attempts, call, calls, edge, injection, requests, window

EDGE = "reviews -> ratings"


class TestSteady:
    def test_is_the_window_before(self):
        before = window(requests(10), kind="steady")

        assert WindowSubject(window(requests(10), steady=before)).steady == WindowSubject(before)

    def test_has_none_itself(self):
        before = window(requests(10), kind="steady")
        object.__setattr__(before, "steady", before)

        assert WindowSubject(before).steady is None
        assert WindowSubject(window(requests(10))).steady is None

    def test_of_an_edge_is_the_same_edge(self):
        seen, before = edge(EDGE, calls(requests(10))), edge(EDGE, calls(requests(5)))
        steady = window(requests(10), kind="steady", edges=[before])
        found = EdgeSubject(window(requests(10), edges=[seen], steady=steady), seen).steady

        assert found is not None
        assert found.seen is before

    def test_is_missing_where_the_edge_was_not_observed(self):
        seen = edge(EDGE, calls(requests(10)))

        assert EdgeSubject(window(requests(10), edges=[seen], steady=window(requests(10), kind="steady")), seen).steady is None
        assert EdgeSubject(window(requests(10), edges=[seen]), seen).steady is None


class TestFanOut:
    def of(self, one, sequences: range = range(10)) -> int | None:
        steady = window(requests(10), kind="steady", edges=[edge(EDGE, calls(requests(10), one))])
        seen = edge(EDGE, calls(requests(10)))
        return EdgeSubject(window(requests(10), edges=[seen], steady=steady), seen).fan_out

    @pytest.mark.parametrize("many", [1, 2, 5])
    def test_is_the_number_of_calls_that_all_make(self, many: int):
        assert self.of(lambda n, at: [call(n, started=at)] * many) == many

    def test_is_not_known_where_it_varies(self):
        assert self.of(lambda n, at: [call(n, started=at)] * (1 + n // 9)) is None

    def test_nor_where_some_make_none(self):
        assert self.of(lambda n, at: [call(n, started=at)] * min(n, 1)) is None

    def test_nor_where_none_make_any(self):
        assert self.of(lambda n, at: []) is None

    def test_nor_without_steady(self):
        seen = edge(EDGE, calls(requests(10)))

        assert EdgeSubject(window(requests(10), edges=[seen]), seen).fan_out is None


class TestInjection:
    def test_of_an_edge_is_that_of_its_proof(self):
        record = injection(abort(503), EDGE, side=Side.CALLER)
        seen = edge(EDGE, injection=record)
        subject = EdgeSubject(window(requests(1), edges=[seen], injections=[]), seen)

        assert subject.injection is record
        assert subject.side is Side.CALLER

    def test_without_proof_that_which_was_asked_for_on_it(self):
        record = injection(abort(503), EDGE)
        seen, other = edge(EDGE), edge("a -> b")
        evidence = window(requests(1), edges=[seen, other], injections=[record])

        assert injection_on(seen, evidence) is record
        assert injection_on(other, evidence) is None
        assert EdgeSubject(evidence, other).side is None


def test_requests_are_those_that_were_sent():
    samples = requests(10, unsent=[3, 4])

    assert list(WindowSubject(window(samples)).requests["sequence"]) == [0, 1, 2, 5, 6, 7, 8, 9]
    whole = requests(3)
    assert sent(whole) is whole


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 200, 399, 400, 404, 503]), st.sampled_from([-1, 0, 14]), st.sampled_from(["", "timeout"])),
        min_size=1,
        max_size=30,
    ),
    st.sets(st.sampled_from([400, 404, 503])),
)
def test_failures_are_what_the_model_calls_bad(rows: list[tuple[int, int, str]], ok: set[int]):
    samples = requests(len(rows), status=lambda i: rows[i][0], grpc=lambda i: rows[i][1], error=lambda i: rows[i][2])

    assert list(failures(samples, ok)) == [is_bad(samples, i, frozenset(ok)) for i in range(len(rows))]


class TestResponseTimes:
    def test_count_from_the_schedule(self):
        assert response_times(WindowSubject(window(requests(2, latency=0.5, lag=0.2)))) == pytest.approx([0.5, 0.5])

    def test_and_from_the_start_in_the_closed_model(self):
        evidence = window(requests(2, latency=0.5, lag=0.2), open_model=False)

        assert response_times(WindowSubject(evidence)) == pytest.approx([0.3, 0.3])

    def test_are_infinite_without_response(self):
        assert response_times(WindowSubject(window(requests(1, status=0)))) == [math.inf]


def test_hit_is_who_met_a_fault_in_a_call_or_an_attempt():
    def one(number: int, at: int):
        flags = {1: "FI", 2: "DI", 3: "UO"}.get(number, "")
        return call(number, started=at, flags=flags, attempts=attempts(at, (0.1, 503, "FI")) if number == 4 else ())

    assert hit_sequences(window(requests(6), edges=[edge(EDGE, calls(requests(6), one))])) == {1, 2, 4}


def test_calls_per_request():
    evidence: WindowEvidence = window(requests(10, unsent=[9]))

    assert calls_per_request(edge(EDGE, calls(requests(9))), evidence) == 1
    assert math.isnan(calls_per_request(None, evidence))
    assert math.isnan(calls_per_request(edge(EDGE, injection=injection(delay("1s"), EDGE)), window(requests(1, unsent=[0]))))
