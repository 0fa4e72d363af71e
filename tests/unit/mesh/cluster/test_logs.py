"""Which lines are new when a log is read again? Kubelet is asked by the second and stamps lines by the nanosecond."""

from __future__ import annotations

from chaos.mesh.cluster.logs import _Last, taken


def read(last: _Last, *stamps: str) -> list[str]:
    last.again()
    return [stamp for stamp in stamps if last.is_new(stamp)]


A, B, C = (f"2026-11-27T02:00:01.{n}Z" for n in ("1", "100000001", "2"))


def test_what_was_read_is_not_read_again() -> None:
    last = _Last("2026-11-27T01:59:00Z")

    assert read(last, A, B) == [A, B]
    assert last.second == "2026-11-27T02:00:01Z"
    assert read(last, A, B, C) == [C]
    assert not last.lost


def test_lines_of_one_moment_are_told_apart_by_their_number() -> None:
    last = _Last("")

    assert read(last, A, A) == [A, A]
    assert read(last, A, A, A) == [A]
    assert read(last, A, A, A, B) == [B]
    assert not last.lost


def test_a_log_without_its_last_line_has_lost_some() -> None:
    last = _Last("")
    read(last, A, B)

    assert read(last, C) == [C]
    assert last.lost


def test_an_empty_answer_loses_nothing() -> None:
    last = _Last("")
    read(last, A)

    assert read(last) == []
    assert read(last, A, B) == [B]
    assert not last.lost


def test_requests_are_counted_by_the_name_of_our_route() -> None:
    counters = {
        "vhost.store.shop.svc.cluster.local:80.route.istio-chaos.0123.1.upstream_rq_total": 7,
        "vhost.other:80.route.istio-chaos.0123.2.upstream_rq_total": 2,
        "cluster.x.upstream_rq_total": 9,
    }

    assert taken(counters) == {"istio-chaos.0123.1": 7, "istio-chaos.0123.2": 2}
