from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.claims.answers import steps
from chaos.claims.expect import expect
from chaos.errors import InvalidValue, Vacuous
from chaos.model.fault import abort, delay
from chaos.model.outcome import Outcome
from chaos.model.samples import Response
from chaos.model.window import WindowEvidence
from chaos.testing.evidence import calls, closed, edge, injection, requests, window

HELD, VIOLATED, INCONCLUSIVE = Outcome.HELD, Outcome.VIOLATED, Outcome.INCONCLUSIVE

PAGE = Response({"content-type": "text/html", "x-source": "reviews"}, b"<h1>Reviews</h1> five stars")
FALLBACK = Response({"content-type": "text/html"}, "<p>reviews are currently unavailable – sorry</p>".encode())
RATED = Response({}, json.dumps({"reviews": [{"rating": {"stars": 5, "a.b": True}}, {"rating": None}]}).encode())


def answered(response: Response | Callable[[int], Response | None] | None, of: int = 300, **known: object) -> WindowEvidence:
    return window(requests(of, response=response), **known)


@pytest.mark.parametrize(
    ("bad", "of", "at_least", "outcome"),
    [
        (0, 298, "99%", INCONCLUSIVE),
        (0, 299, "99%", HELD),
        (7, 300, "99%", INCONCLUSIVE),
        (8, 300, "99%", VIOLATED),
        (0, 58, "95%", INCONCLUSIVE),
        (0, 59, "95%", HELD),
    ],
)
def test_both_sides_of_every_limit(judged, spaced, bad: int, of: int, at_least: str, outcome: Outcome):
    numbers = spaced(bad, of)
    evidence = answered(lambda i: PAGE if i in numbers else FALLBACK, of)

    verdict = judged(evidence, lambda claims: claims.to_return(containing="currently unavailable", at_least=at_least))

    assert (verdict.outcome, verdict.figures["bad"]) == (outcome, bad)


class TestWhatMatches:
    @pytest.mark.parametrize(
        ("status", "claimed", "good"),
        [
            (200, 200, True),
            (200, (200, 204), True),
            (204, [200, 204], True),
            (201, (200, 204), False),
            (503, 503, True),
            (0, 200, False),
        ],
        ids=str,
    )
    def test_the_status(self, judged, status: int, claimed, good: bool):
        evidence = window(requests(300, status=status))

        assert judged(evidence, lambda claims: claims.to_return(status=claimed)).outcome is (HELD if good else VIOLATED)

    @pytest.mark.parametrize(
        ("claimed", "good"),
        [
            ("five stars", True),
            (b"five stars", True),
            ("<h1>Reviews</h1> five stars", True),
            ("six stars", False),
            ("Five stars", False),
        ],
        ids=repr,
    )
    def test_a_part_of_the_body(self, judged, claimed, good: bool):
        assert judged(answered(PAGE), lambda claims: claims.to_return(containing=claimed)).outcome is (HELD if good else VIOLATED)

    def test_which_is_read_as_utf_8(self, judged):
        assert judged(answered(FALLBACK), lambda claims: claims.to_return(containing="unavailable – sorry")).outcome is HELD

    @pytest.mark.parametrize(
        ("claimed", "good"),
        [
            ({"x-source": "reviews"}, True),
            ({"X-Source": "reviews"}, True),
            ({"x-source": "review"}, False),
            ({"x-source": None}, False),
            ({"x-cache": None}, True),
            ({"x-cache": "hit"}, False),
            ({"x-source": "reviews", "x-cache": None}, True),
            ({"x-source": "reviews", "x-cache": "hit"}, False),
        ],
        ids=str,
    )
    def test_headers(self, judged, claimed, good: bool):
        assert judged(answered(PAGE), lambda claims: claims.to_return(header=claimed)).outcome is (HELD if good else VIOLATED)

    @pytest.mark.parametrize(
        ("claimed", "good"),
        [
            ({"reviews[0].rating.stars": 5}, True),
            ({"reviews[0].rating.stars": 5.0}, True),
            ({"reviews[0].rating.stars": 4}, False),
            ({"reviews[0].rating.stars": "5"}, False),
            ({'reviews[0].rating["a.b"]': True}, True),
            ({'reviews[0].rating["a.b"]': 1}, False),  # true is not 1
            ({"reviews[1].rating": None}, True),
            ({"reviews[1].stars": None}, False),  # nothing there is not null
            ({"reviews[2]": None}, False),
            ({"reviews.0": None}, False),
            ({"reviews[0][0]": None}, False),
            ({"reviews[1].rating.stars": None}, False),
            ({"reviews[1]": {"rating": None}}, True),
            ({"reviews[1]": {}}, False),
            ({"reviews": [{"rating": {"stars": 5, "a.b": True}}, {"rating": None}]}, True),
            ({"reviews": [{"rating": {"stars": 5, "a.b": 1}}, {"rating": None}]}, False),
            ({"reviews": []}, False),
            ({"reviews": 5}, False),
            ({"reviews": {}}, False),
            ({"reviews[1]": 5}, False),
            ({"reviews[1]": []}, False),
            ({"reviews[0].rating.stars": {}}, False),
            ({"reviews[0].rating.stars": []}, False),
            ({"reviews[0].rating.stars": 5, "reviews[1].rating": 3}, False),
        ],
        ids=str,
    )
    def test_json(self, judged, claimed, good: bool):
        assert judged(answered(RATED), lambda claims: claims.to_return(json=claimed)).outcome is (HELD if good else VIOLATED)

    @pytest.mark.parametrize("body", [b"not json", b"", b"\xff\xfe{", b"{"])
    def test_a_body_that_is_no_json(self, judged, body: bytes):
        assert judged(answered(Response({}, body)), lambda claims: claims.to_return(json={"a": 1})).outcome is VIOLATED

    def test_everything_that_is_named_has_to_be_there(self, judged):
        evidence = window(requests(300, response=PAGE, status=200))

        def claimed(**changed: object):
            claim = {"status": 200, "containing": "stars", "header": {"x-source": "reviews"}} | changed
            return judged(evidence, lambda claims: claims.to_return(**claim)).outcome

        assert claimed() is HELD
        assert claimed(status=201) is VIOLATED
        assert claimed(containing="moons") is VIOLATED
        assert claimed(header={"x-source": None}) is VIOLATED


class TestWhatWasNotKept:
    def test_an_answer_that_was_not_kept_is_neither_good_nor_bad(self, judged):
        verdict = judged(answered(lambda i: None if i % 2 else PAGE, 600), lambda claims: claims.to_return(containing="stars"))

        assert verdict.outcome is INCONCLUSIVE
        assert (verdict.figures["bad"], verdict.figures["missing"], verdict.requests) == (0, 300, 300)

    def test_a_few_of_them_do_no_harm(self, judged):
        evidence = answered(lambda i: None if i == 472 else PAGE, 473)

        assert judged(evidence, lambda claims: claims.to_return(containing="stars")).outcome is HELD
        assert (
            judged(answered(lambda i: None if i == 471 else PAGE, 472), lambda c: c.to_return(containing="s")).outcome
            is INCONCLUSIVE
        )

    def test_if_none_was_kept_nothing_can_be_said(self, judged):
        verdict = judged(answered(None), lambda claims: claims.to_return(containing="stars"))

        assert verdict.outcome is INCONCLUSIVE
        assert verdict.reason.startswith("no answer was kept")

    def test_a_status_needs_none(self, judged):
        assert judged(answered(None), lambda claims: claims.to_return(status=200)).outcome is HELD

    def test_no_response_is_no_answer_that_was_not_kept(self, judged):
        evidence = window(requests(300, status=0, error="timeout"))

        assert judged(evidence, lambda claims: claims.to_return(containing="stars")).outcome is VIOLATED

    def test_it_adds_to_what_was_not_sent(self, judged):
        samples = requests(800, response=lambda i: None if i == 7 else PAGE, unsent=[400, 401])

        verdict = judged(window(samples), lambda claims: claims.to_return(containing="stars"))

        assert (verdict.requests, verdict.figures["missing"]) == (797, 3)
        assert "797 requests, 0 bad, 3 more not sent or not kept" in verdict.summary


class TestSteady:
    def under_a_fault(self, before: dict, under: dict, fault=None) -> WindowEvidence:
        samples = requests(300, **before)
        steady = window(samples, kind="steady", edges=[edge("a -> b", calls(samples))])
        seen = edge("a -> b", calls(requests(300)), injection=injection(fault or abort(503), "a -> b"))
        return window(requests(300, **under), edges=[seen], steady=steady)

    def test_a_fallback_is_not_expected_before_the_fault(self, judged):
        evidence = self.under_a_fault({"response": PAGE}, {"response": FALLBACK})

        assert judged(evidence, lambda claims: claims.to_return(containing="unavailable")).outcome is HELD
        assert judged(evidence, lambda claims: claims.to_return(containing="stars")).outcome is VIOLATED

    def test_but_success_is(self, judged):
        evidence = self.under_a_fault({"response": PAGE, "status": 500}, {"response": FALLBACK})

        verdict = judged(evidence, lambda claims: claims.to_return(containing="unavailable"))

        assert verdict.outcome is INCONCLUSIVE
        assert verdict.reason.startswith("steady state not met")

    def test_errors_that_are_claimed_and_seen_before_are_a_steady_state(self, judged):
        evidence = self.under_a_fault({"status": 404}, {"status": 404})

        assert judged(evidence, lambda claims: claims.to_return(status=404)).outcome is HELD

    def test_what_steady_answers_alike_is_refused_under_a_fault_that_harms_too_few(self):
        evidence = self.under_a_fault({"response": PAGE}, {"response": PAGE}, abort(503, percent=0.5))

        with pytest.raises(Vacuous):
            expect(closed(evidence)).to_return(containing="stars")

    def test_a_fallback_never_is(self, judged):
        evidence = self.under_a_fault({"response": PAGE}, {"response": FALLBACK}, abort(503, percent=0.5))

        assert judged(evidence, lambda claims: claims.to_return(containing="unavailable")).outcome is HELD

    def test_a_delay_that_only_an_application_could_notice_is_a_warning(self, judged):
        verdict = judged(self.under_a_fault({}, {}, delay("2s")), lambda claims: claims.to_return(status=200))

        assert any(line.startswith("can hardly fail") for line in verdict.details)


class TestWrongArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "to_return\\(\\) expects nothing"),
            ({"at_least": "99%"}, "to_return\\(\\) expects nothing"),
            ({"status": 99}, r"status is \(99,\)"),
            ({"status": 600}, "status is"),
            ({"status": "200"}, "status is"),
            ({"status": True}, "status is"),
            ({"containing": ""}, "containing is ''"),
            ({"containing": 5}, "containing is 5"),
            ({"json": {}}, "json is {}"),
            ({"json": "a"}, "json is 'a'"),
            ({"json": {"": 1}}, "json path is ''"),
            ({"json": {3: 1}}, "json path is 3"),
            ({"header": {}}, "header is {}"),
            ({"header": ["x"]}, "header is"),
            ({"header": {"x": 5}}, "header 'x' is 5"),
            ({"header": {5: "x"}}, "header 5 is 'x'"),
            ({"status": 200, "at_least": "99"}, "at_least is"),
        ],
        ids=lambda value: str(value) if isinstance(value, dict) else "",
    )
    def test_are_refused_with_the_form(self, arguments: dict, message: str):
        with pytest.raises(InvalidValue, match=message):
            expect(closed(window())).to_return(**arguments)

    @pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b", "a[", "a[x]", "a[-1]", "[0]b", "a]", 'a["b]', "a[0].", "a[1.5]"])
    def test_a_path_that_is_none(self, path: str):
        with pytest.raises(InvalidValue, match="json path is"):
            steps(path)

    @pytest.mark.parametrize(
        ("path", "found"),
        [
            ("a", ("a",)),
            ("a.b", ("a", "b")),
            ("a[0]", ("a", 0)),
            ("[0]", (0,)),
            ("[0].a", (0, "a")),
            ("a[0][12].b", ("a", 0, 12, "b")),
            ('a["b.c"].d', ("a", "b.c", "d")),
            ('["a"]', ("a",)),
            ('a[""]', ("a", "")),
            ("größe.x-y", ("größe", "x-y")),
        ],
    )
    def test_a_path_that_is_one(self, path: str, found: tuple):
        assert steps(path) == found

    @given(
        st.lists(
            st.one_of(st.integers(0, 99), st.text(st.characters(exclude_characters='".[]'), min_size=1)), min_size=1, max_size=6
        )
    )
    def test_any_path_can_be_written(self, way: list):
        def dotted(step: int | str, first: bool) -> str:
            return f"[{step}]" if isinstance(step, int) else step if first else f".{step}"

        assert steps("".join(dotted(step, i == 0) for i, step in enumerate(way))) == tuple(way)


class TestMessages:
    def test_held(self, judged, snapshot):
        assert judged(answered(FALLBACK), lambda claims: claims.to_return(containing="currently unavailable")).message == snapshot

    def test_violated(self, judged, snapshot):
        def response(i: int) -> Response:
            return (PAGE, RATED, FALLBACK, Response({}, b"x" * 200))[i % 4]

        evidence = window(requests(300, response=response, status=lambda i: 500 if i % 7 == 0 else 200))

        assert judged(evidence, lambda claims: claims.to_return(status=200, containing="currently")).message == snapshot

    def test_many_kinds(self, judged, snapshot):
        evidence = answered(lambda i: Response({}, json.dumps({"stars": i % 6}).encode()))

        assert judged(evidence, lambda claims: claims.to_return(json={"stars": 5}, at_least="90%")).message == snapshot

    def test_headers(self, judged, snapshot):
        evidence = answered(lambda i: PAGE if i % 2 else FALLBACK)

        assert judged(evidence, lambda claims: claims.to_return(header={"X-Source": "ratings"})).message == snapshot

    def test_nothing_there(self, judged, snapshot):
        assert judged(answered(RATED), lambda claims: claims.to_return(json={"reviews[7].rating": 1})).message == snapshot

    def test_steady_not_met(self, judged, snapshot):
        steady = window(requests(300, status=500), kind="steady")

        assert judged(window(requests(300), steady=steady), lambda claims: claims.to_return(status=200)).message == snapshot
