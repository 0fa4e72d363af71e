import pytest

from chaos.model.breakers import Breaker, Out, Tally
from chaos.model.edge import Edge
from chaos.testing.evidence import SECOND, circuit

WHERE = ("reviews-v2.bookinfo", "istio-chaos.test.1.0")
EDGE = Edge.of("a -> b")


def breaker(hosts: int, percent: int) -> Breaker:
    names = tuple(f"10.0.0.{i}:80" for i in range(hosts))
    return Breaker(cluster="c", name="c", proxies=("p",), hosts=names, consecutive_5xx=5, max_ejection_percent=percent)


@pytest.mark.parametrize(
    ("hosts", "percent", "may"), [(2, 49, 0), (2, 50, 1), (1, 99, 0), (1, 100, 1), (9, 10, 0), (10, 10, 1), (3, 67, 2), (3, 66, 1)]
)
def test_the_percentage_of_hosts_that_may_be_out_is_strict(hosts: int, percent: int, may: int) -> None:
    assert breaker(hosts, percent).may_eject == may


def test_ejections_grow_by_their_base_up_to_five_minutes() -> None:
    assert [breaker(2, 50).ejected_for(times) for times in (1, 3, 100)] == [30, 90, 300]


def test_times_out_lie_between_looks() -> None:
    seen = circuit({"h": []}, out={"h": [(101.1, 102.1), (104.1, 200)]}, every=1.0)

    assert seen.outs(WHERE, "h") == [
        Out(101 * SECOND, 102 * SECOND, 102 * SECOND, 103 * SECOND),
        Out(104 * SECOND, 105 * SECOND, 105 * SECOND, 0),
    ]
    assert seen.outs(WHERE, "another") == []
    assert seen.outs(("another", "c"), "h") == []


def test_the_next_look_at_or_after_a_moment() -> None:
    seen = circuit({"h": []}, every=1.0)

    def at(seconds: float) -> int | None:
        after = seen.next_look(WHERE, int(seconds * SECOND))
        return after and after.at // SECOND

    assert (at(99), at(100), at(102.5), at(106)) == (100, 100, 103, None)


def test_a_tally_since_another_is_what_was_added() -> None:
    before = Tally(ejections={EDGE: 2}, overflows={EDGE: {"requests": 5}})
    now = Tally(ejections={EDGE: 3}, overflows={EDGE: {"requests": 5, "retries": 1}})

    assert now.since(before) == Tally(ejections={EDGE: 1}, overflows={EDGE: {"requests": 0, "retries": 1}})
    assert now.since(Tally()) == now
