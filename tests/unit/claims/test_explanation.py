from __future__ import annotations

import pytest

from chaos.claims.explanation import confidence, counted, details, likely_cause, percent, shared_with_the_fault, timeline, times
from chaos.claims.subjects import EdgeSubject, WindowSubject
from chaos.model.edge import Edge
from chaos.model.fault import Fault, abort, delay, throttle
from chaos.model.injection import Side
from chaos.model.window import EdgeEvidence, Kind, WindowEvidence
from chaos.testing.evidence import SECOND, Call, attempts, call, calls, edge, injection, requests, window

EDGE = "reviews -> ratings"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.5, "50 %"),
        (1 / 3, "33.3 %"),
        (0.987, "98.7 %"),
        (0.9925, "99.25 %"),
        (0.99995, "99.995 %"),
        (0.05, "5 %"),
        (0.0123, "1.2 %"),
        (0.000123, "0.012 %"),
        (1 - 1e-13, "100 %"),
        (0.9999, "99.99 %"),
    ],
)
def test_percent(share: float, text: str):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("alpha", "text"),
    [
        (0.05, "95 %"),
        (0.025, "97.5 %"),
        (0.1, "90 %"),
        (0.5, "50 %"),
        (0.0083333, "99.16 %"),
        (0.000417, "99.958 %"),
        (1e-6, "99.9999 %"),
    ],
)
def test_confidence_is_never_rounded_up(alpha: float, text: str):
    assert confidence(alpha) == text


def test_counts_and_times():
    assert [counted(n, "call") for n in (0, 1, 2)] == ["0 calls", "1 call", "2 calls"]
    assert [times(n) for n in (1, 2, 3)] == ["once", "twice", "3 times"]


class TestTimeline:
    def of(self, bad: set[int], samples, **known: object) -> str:
        bits = bytes(i in bad for i in range(len(samples)))
        return timeline(samples["scheduled"], bits, window(samples, **known), "bad").split()[0]

    def test_one_bar_per_second(self):
        assert self.of(set(), requests(300)) == "▁▁▁"
        assert self.of(set(range(300)), requests(300)) == "███"
        assert self.of(set(range(100, 200)), requests(300)) == "▁█▁"

    def test_the_height_is_the_share_of_the_second(self):
        assert self.of(set(range(100, 150)), requests(300)) == "▁▅▁"

    def test_a_single_bad_request_can_be_seen(self):
        assert self.of({150}, requests(300)) == "▁▂▁"

    def test_where_nothing_was_scheduled_there_is_no_bar(self):
        samples = requests(300).where([not 100 <= i < 200 for i in range(300)])

        assert self.of(set(), samples, end=103 * SECOND) == "▁·▁"

    def test_long_windows_have_wider_bars(self):
        samples = requests(1210, rate=10)

        line = timeline(samples["scheduled"], bytes(1210), window(samples), "bad")

        assert line == "▁" * 41 + "  share bad, per 3 s"

    def test_a_window_of_no_length_has_one(self):
        assert self.of({0}, requests(1, rate=10)) == "█"


class TestDetails:
    def lines(self, evidence: WindowEvidence, culprits: frozenset[int] = frozenset()) -> tuple[str, ...]:
        return details(WindowSubject(evidence), culprits)

    def test_answers_are_counted_by_what_they_were(self):
        samples = requests(
            10,
            status=lambda i: (200, 200, 200, 200, 503, 503, 0, 200, 200, 404)[i],
            grpc=lambda i: (-1, -1, -1, 0, -1, -1, -1, 14, 99, -1)[i],
            error=lambda i: "timeout" if i == 6 else "",
        )

        (line,) = self.lines(window(samples))
        assert line == (
            "answers: 4 status 200, 2 status 503, 1 no response (timeout), 1 status 200 grpc UNAVAILABLE, 1 status 200 grpc 99, "
            "1 status 404"
        )

    def test_hit_and_spared_are_told_where_the_fault_was_meant_for_some(self):
        hit = calls(requests(10), lambda n, at: call(n, started=at, status=503, flags="FI" if n < 3 else ""))
        evidence = window(requests(10), edges=[edge(EDGE, hit, injection=injection(abort(503, percent=30), EDGE))])

        assert "hit by the fault: 3 user requests (2 against the claim); spared: 7 (1 against the claim)" in self.lines(
            evidence, frozenset({0, 1, 9})
        )
        assert "hit by the fault: 3 user requests; spared: 7" in self.lines(evidence)

    @pytest.mark.parametrize("fault", [abort(503), delay("2s"), throttle("64KiB/s")], ids=str)
    def test_and_not_where_it_was_meant_for_all(self, fault: Fault):
        evidence = window(requests(10), edges=[edge(EDGE, calls(requests(10)), injection=injection(fault, EDGE))])

        assert not any(line.startswith("hit") for line in self.lines(evidence))

    def test_an_edge_tells_its_calls_attempts_flags_ejections_and_policy(self):
        made = calls(
            requests(10), lambda n, at: call(n, started=at, status=503, flags="URX,FI", tries=3) if n else call(n, started=at)
        )
        seen = edge(EDGE, made, ejections=2, policy=("default: 2 retries on 5xx", "v2: timeout 1 s"))

        _, line = self.lines(window(requests(10), edges=[seen]))
        assert line == (
            f"{EDGE}  10 calls with 28 attempts: 9 FI,URX, 1 status 200; 2 ejections; "
            "policy default: 2 retries on 5xx | v2: timeout 1 s"
        )

    def test_an_edge_without_calls_says_so(self):
        assert self.lines(window(requests(10), edges=[edge(EDGE, policy=())]))[1:] == (f"{EDGE}  0 calls",)

    def test_many_edges_are_told_in_part_the_faulty_ones_first(self):
        fine = [edge(f"a -> s{i}", calls(requests(2))) for i in range(7)]
        broken = edge("a -> broken", calls(requests(2), lambda n, at: call(n, started=at, status=500)))
        faulted = edge(EDGE, calls(requests(2)), injection=injection(abort(503), EDGE))

        lines = self.lines(window(requests(2), edges=[*fine, broken, faulted]))[1:]

        assert [line.split("  ")[0] for line in lines] == [
            EDGE,
            "a -> broken",
            "a -> s0",
            "a -> s1",
            "a -> s2",
            "a -> s3",
            "and 3 more edges, 0 of them with failed calls",
        ]

    def test_of_an_edge_the_hops_before_and_behind_it_are_told_too(self):
        names = ["-> productpage", "productpage -> reviews", "productpage -> details", "reviews -> ratings", "ratings -> db", EDGE]
        seen = {name: edge(name, calls(requests(10))) for name in names}
        evidence = window(requests(10), edges=seen.values())

        lines = details(EdgeSubject(evidence, seen[EDGE]), frozenset())

        assert [line.split("  ")[0] for line in lines] == [EDGE, "productpage -> reviews", "-> productpage", "ratings -> db"]

    def test_edges_that_nobody_named_are_told_where_they_were_looked_for(self):
        made = calls(requests(10))
        evidence = window(requests(10), edges=[edge(EDGE, made)])
        unnamed = (edge("-> productpage", made), edge("productpage -> reviews", made), edge("a -> b", made))

        of_window = details(WindowSubject(evidence), frozenset(), unnamed)[1:]
        of_edge = details(EdgeSubject(evidence, evidence.edges[Edge.of(EDGE)]), frozenset(), unnamed)

        assert [line.split("  ")[0] for line in of_window] == [EDGE, "-> productpage", "productpage -> reviews", "a -> b"]
        assert [line.split("  ")[0] for line in of_edge] == [EDGE, "productpage -> reviews", "-> productpage"]


class TestLikelyCause:
    def of(
        self, one, *, fault: Fault | None = None, side: Side = Side.CALLEE, culprits: frozenset[int] = frozenset(), **known
    ) -> str:
        record = injection(fault, EDGE, side=side) if fault else None
        steady = window(requests(100), kind="steady", edges=[edge(EDGE, calls(requests(100)))])
        evidence = window(requests(100), edges=[edge(EDGE, calls(requests(100), one), injection=record, **known)], steady=steady)
        return likely_cause(WindowSubject(evidence), culprits)

    @staticmethod
    def made(status: int = 200, flags: str = "", seconds: float = 0.01, **more: object):
        return lambda n, at: call(n, started=at, status=status, flags=flags, seconds=seconds, **more)  # type: ignore[arg-type]

    @pytest.mark.parametrize(("silent", "told"), [(50, True), (49, False)])
    def test_a_caller_that_does_not_call_any_more(self, silent: int, told: bool):
        text = self.of(lambda n, at: [] if n < silent else call(n, started=at), culprits=frozenset(range(100)))

        assert text == (told * f"{EDGE}: 50 user requests got no further than its caller, which does not call any more")

    def test_and_one_that_never_did(self):
        evidence = window(requests(100), edges=[edge(EDGE)], steady=window(requests(100), kind="steady", edges=[edge(EDGE)]))

        assert likely_cause(WindowSubject(evidence), frozenset(range(100))) == ""

    def test_where_nothing_shows_nothing_is_said(self):
        assert self.of(self.made()) == ""
        assert self.of(self.made(), fault=abort(503)) == ""

    @pytest.mark.parametrize(
        ("fault", "text"),
        [
            (delay("7s"), "ratings delayed by 7 s"),
            (abort(503), "ratings aborted with 503"),
            (abort(grpc="UNAVAILABLE"), "ratings aborted with UNAVAILABLE"),
            (abort(503, percent=10), "ratings aborted with 503 for 10 % of its calls"),
            (
                delay("2s", percent=5) + abort(503, percent=10),
                "ratings delayed by 2 s and aborted with 503 for 5/10 % of its calls",
            ),
            (throttle("64KiB/s"), "ratings throttled to 64 KiB/s"),
        ],
        ids=str,
    )
    def test_it_begins_with_what_was_injected(self, fault: Fault, text: str):
        assert self.of(self.made(503, "UO"), fault=fault) == f"{text}; {EDGE}: the circuit breaker turned 100 calls away (flag UO)"

    @pytest.mark.parametrize(
        ("made", "text"),
        [
            ((504, "UT", 1.0), "the mesh's timeout ends the call after 1 s (flag UT)"),
            ((504, "UT,URX", 1.0), "the mesh's timeout ends the call after 1 s (flag UT) and its retries were used up"),
            ((0, "DC", 3.0), "the caller gives up after 3 s (application, flag DC)"),
            ((503, "UO"), "the circuit breaker turned 100 calls away (flag UO)"),
            ((503, "UH"), "no healthy host was left for 100 calls (flag UH)"),
            ((503, "UF"), "100 calls lost the connection to the callee (flag UF)"),
            ((503, "UC"), "100 calls lost the connection to the callee (flag UC)"),
            ((500, ""), "ratings itself answers 100 calls with 500"),
            ((200, "DI", 7.0), "the caller waits 7 s for the answer, nothing gives up"),
        ],
        ids=str,
    )
    def test_what_the_calls_show(self, made: tuple, text: str):
        assert self.of(self.made(*made)) == f"{EDGE}: {text}"

    @pytest.mark.parametrize(("failing", "explained"), [(50, True), (49, False)])
    def test_what_few_of_the_requests_against_a_claim_show_is_not_their_cause(self, failing: int, explained: bool):
        samples = requests(100)
        made = calls(
            samples, lambda n, at: call(n, started=at, status=503 if n < failing else 200, flags="UO" if n < failing else "")
        )
        seen = edge(EDGE, made, injection=injection(abort(503), EDGE))

        cause = likely_cause(WindowSubject(window(samples, edges=[seen])), frozenset(range(100)))

        assert bool(cause) is explained

    def test_a_grpc_status_of_the_callee(self):
        assert self.of(self.made(200, grpc=13)) == f"{EDGE}: ratings itself answers 100 calls with grpc INTERNAL"

    def test_ejections_explain_a_callee_without_healthy_hosts(self):
        assert self.of(self.made(503, "UH"), ejections=3).endswith("for 100 calls (flag UH) (3 ejections)")

    def test_an_abort_that_no_policy_acts_on(self):
        made = lambda n, at: call(n, started=at, status=503, attempts=attempts(at, (0.001, 503, "FI")))  # noqa: E731

        assert self.of(made, fault=abort(503)) == (
            f"ratings aborted with 503; {EDGE}: 503 reaches the caller (0 mesh retries: no retry policy acts on it)"
        )

    def test_an_abort_that_the_policy_is_not_meant_for(self):
        made = lambda n, at: call(n, started=at, status=503, attempts=attempts(at, (0.001, 503, "FI")))  # noqa: E731

        assert self.of(made, fault=abort(503), declared_retries=2).endswith("(0 mesh retries: the declared ones do not act on it)")

    def test_a_failure_of_its_own_that_retries_do_not_mask(self):
        text = self.of(self.made(503, "URX", tries=3))

        assert text == f"{EDGE}: 503 reaches the caller in spite of mesh retries (200 on 100 calls)"

    def test_an_abort_that_retries_do_not_mask(self):
        made = lambda n, at: call(n, started=at, status=503, attempts=attempts(at, *[(0.001, 503, "FI")] * 3))  # noqa: E731

        assert self.of(made, fault=abort(503)).endswith("503 reaches the caller in spite of mesh retries (200 on 100 calls)")

    def test_an_abort_that_no_policy_can_see(self):
        text = self.of(self.made(503, "FI"), fault=abort(503), side=Side.CALLER)

        assert text.endswith(
            "503 reaches the caller's application (a caller-side fault acts before the router: no mesh retry masks it)"
        )

    def test_durations_that_scatter_are_told_as_a_range(self):
        text = self.of(lambda n, at: call(n, started=at, status=0, flags="DC", seconds=1 + n / 50))

        assert text == f"{EDGE}: the caller gives up after 1.18 s to 2.78 s (application, flag DC)"

    def test_calls_that_come_again_are_counted(self):
        def twice(number: int, at: int) -> list[Call]:
            return [call(number, started=at + i * 3 * SECOND, status=0, flags="DC", seconds=3.0) for i in (0, 1)]

        assert self.of(twice).endswith("(application, flag DC), twice")

    def test_but_not_twice_where_the_caller_itself_was_asked_more_often(self):
        def path(times: int) -> list[EdgeEvidence]:
            return [
                edge("productpage -> reviews", calls(requests(100), lambda n, at: call(n, started=at, status=503, tries=times))),
                edge(EDGE, calls(requests(100), lambda n, at: [call(n, started=at + i, status=503) for i in range(2 * times - 1)])),
            ]

        evidence = window(requests(100), edges=path(3), steady=window(requests(100), kind="steady", edges=path(1)))

        assert likely_cause(WindowSubject(evidence), frozenset()) == (
            f"productpage -> reviews: reviews passes it on, 100 calls with 503; {EDGE}: ratings itself answers 500 calls with 503"
        )

    def test_who_gives_up_by_itself_does_not_call_any_more(self):
        samples = requests(100)
        fine, failing = calls(samples), calls(samples, lambda n, at: call(n, started=at, status=503))
        steady = window(samples, kind="steady", edges=[edge(EDGE, fine), edge("ratings -> db", fine)])
        evidence = window(samples, edges=[edge(EDGE), edge("ratings -> db")], steady=steady)

        cause = likely_cause(WindowSubject(evidence), frozenset(range(100)), (edge("productpage -> reviews", failing),))

        assert cause == (
            "productpage -> reviews: reviews itself answers 100 calls with 503; "
            f"{EDGE}: 100 user requests got no further than its caller, which does not call any more"
        )

    def test_a_number_between_is_not(self):
        half = lambda n, at: [call(n, started=at + i, status=0, flags="DC", seconds=3.0) for i in range(1 + n % 2)]  # noqa: E731

        assert self.of(half).endswith("(application, flag DC)")

    def test_who_was_cancelled_from_above_did_not_give_up(self):
        assert self.of(self.made(0, "DC", 3.0, cancelled=True)) == ""

    def test_what_most_of_the_calls_show_is_told(self):
        text = self.of(lambda n, at: call(n, started=at, status=503, flags="UO" if n < 60 else "UH"))

        assert text == f"{EDGE}: the circuit breaker turned 60 calls away (flag UO)"

    def test_among_those_of_the_requests_that_speak_against_the_claim(self):
        text = self.of(
            lambda n, at: call(n, started=at, status=503, flags="UO" if n < 60 else "UH"), culprits=frozenset(range(60, 70))
        )

        assert text == f"{EDGE}: no healthy host was left for 10 calls (flag UH)"

    def test_every_edge_has_its_part(self):
        gave_up = calls(requests(100), lambda n, at: call(n, started=at, status=0, flags="DC", seconds=3.0))
        waited = calls(requests(100), lambda n, at: call(n, started=at, flags="DI", seconds=10.0))
        evidence = window(
            requests(100),
            edges=[
                edge("productpage -> reviews", gave_up),
                edge("productpage -> details", calls(requests(100))),
                edge(EDGE, waited, injection=injection(delay("10s"), EDGE)),
            ],
        )

        assert likely_cause(WindowSubject(evidence), frozenset()) == (
            "ratings delayed by 10 s; reviews -> ratings: the caller waits 10 s for the answer, nothing gives up; "
            "productpage -> reviews: the caller gives up after 3 s (application, flag DC)"
        )

    def test_of_an_edge_only_its_own_injection_is_told(self):
        other = edge("a -> b", injection=injection(delay("1s"), "a -> b"))
        seen = edge(EDGE, calls(requests(10), self.made(503, "UO")))

        assert likely_cause(EdgeSubject(window(requests(10), edges=[other, seen]), seen), frozenset()) == (
            f"{EDGE}: the circuit breaker turned 10 calls away (flag UO)"
        )


class TestBystanders:
    def test_what_they_share_with_the_fault_is_told(self):
        aside = injection(delay("3s"), "productpage -> reviews")

        assert shared_with_the_fault(WindowSubject(window(kind="bystander", aside=(aside,)))) == (
            "reviews delayed by 3 s, which these requests never meet: they share something with those that do "
            "(a pool, a queue, a cache)"
        )

    @pytest.mark.parametrize("kind", ["bystander", "fault"])
    def test_and_nothing_where_no_fault_was_on_or_another_hits_them(self, kind: Kind):
        aside = (injection(delay("3s"), "productpage -> reviews"),) if kind == "fault" else ()

        assert shared_with_the_fault(WindowSubject(window(kind=kind, aside=aside))) == ""
