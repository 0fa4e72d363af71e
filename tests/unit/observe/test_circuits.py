"""Which answers does outlier detection hear of, in which order, and as what?"""

from __future__ import annotations

import pytest

from chaos.clock import NS
from chaos.observe.circuits import tries
from chaos.observe.lines import Log, Stream
from tests.unit.observe.conftest import PATH, POD, attempt, call


def armed(stream: Stream) -> frozenset[int]:
    return frozenset({7}) if stream.chaos else frozenset()


def seen(log: Log) -> list[tuple[str, int, bool]]:
    return [(each.host, each.status, each.faulted) for each in tries(log, [PATH], armed, frozenset({7}))]


def test_a_try_is_told_with_proxy_cluster_host_and_time(log: Log) -> None:
    log.feed(POD, call(0, cluster=f"{PATH}.0") + attempt(0, at=0.5, us=250_000, chaos="callee:all;7", code=503, flags="FI"))

    (found,) = tries(log, [PATH], armed, frozenset({7}))

    assert (found.proxy, found.cluster, found.host) == (POD, f"{PATH}.0", "10.1.0.2:9080")
    assert (found.started, found.ended, found.status, found.faulted) == (NS // 2, 3 * NS // 4, 503, True)


def test_tries_are_in_the_order_their_answers_came(log: Log) -> None:
    log.feed(POD, call(0, call_id="a") + attempt(0, at=1.0, call_id="a", us=3_000_000, host="slow:80"))
    log.feed(POD, call(1, at=1.5, call_id="b") + attempt(1, at=1.5, call_id="b", us=1_000, host="quick:80"))

    assert [host for host, _, _ in seen(log)] == ["quick:80", "slow:80"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"code": 200}, 200),
        ({"code": 404}, 404),
        ({"code": 500}, 500),
        ({"code": 503, "flags": "UF"}, 503),
        ({"code": 0, "flags": "UC"}, 503),
        ({"code": 200, "grpc": "0"}, 200),
        ({"code": 200, "grpc": "14"}, 503),
        ({"code": 200, "grpc": "5"}, 404),
        ({"code": 200, "grpc": "13"}, 500),
    ],
)
def test_what_is_counted_for_an_answer(log: Log, fields: dict[str, object], status: int) -> None:
    log.feed(POD, call(0) + attempt(0, **fields))

    assert seen(log) == [("10.1.0.2:9080", status, False)]


def test_a_try_that_timed_out_counts_as_504(log: Log) -> None:
    log.feed(POD, call(0, flags="UT", code=504) + attempt(0, code=0, flags="DC"))

    assert seen(log) == [("10.1.0.2:9080", 504, False)]


def test_so_does_one_that_was_given_up_for_another(log: Log) -> None:
    log.feed(POD, call(0) + attempt(0, at=0.1, code=0, flags="DC", host="slow:80") + attempt(0, at=0.2, code=200, host="quick:80"))

    assert seen(log) == [("slow:80", 504, False), ("quick:80", 200, False)]


def test_when_the_caller_went_away_the_host_is_not_to_blame(log: Log) -> None:
    log.feed(POD, call(0, flags="DC", code=0) + attempt(0, code=0, flags="DC"))

    assert seen(log) == []
