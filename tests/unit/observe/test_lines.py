import pytest

from chaos.clock import NS
from chaos.model.marks import Mark
from chaos.observe.lines import Log
from tests.unit.observe.conftest import FLOW, POD, attempt, call, line


def only(log: Log, sequence: int = 0):
    (stream,) = log.streams(FLOW.trace_id(sequence))
    return stream


def test_start_and_end_are_one_stream(log: Log) -> None:
    log.feed(POD, call(0, at=1.5, flags="URX,UT", code=504, details="response_timeout", tries=3, us=2_500_000))

    stream = only(log)

    assert (stream.what, stream.pod, stream.status, stream.tries) == ("call", POD, 504, 3)
    assert (stream.started, stream.ended) == (int(1.5 * NS), 4 * NS)
    assert stream.flags == {"URX", "UT"}


def test_what_the_end_no_longer_knows_is_kept_from_the_start(log: Log) -> None:
    log.feed(POD, attempt(0, chaos="callee:all;7", flags="FI", code=503))

    stream = only(log)

    assert (stream.chaos, stream.call, stream.host) == ("callee:all;7", "c", "10.1.0.2:9080")


def test_a_stream_that_has_only_started_is_under_way(log: Log) -> None:
    begun, ended = call(0).splitlines(keepends=True)

    log.feed(POD, begun)
    assert len(list(log.under_way({FLOW.trace_id(0), FLOW.trace_id(1)}))) == 1

    log.feed(POD, ended)
    assert list(log.under_way({FLOW.trace_id(0)})) == []


def test_a_response_that_was_never_sent_is_timed_in_milliseconds(log: Log) -> None:
    log.feed(POD, call(0, us=None, ms=3001, flags="DC", code=0))

    assert only(log).ended == 3001 * 1_000_000


def test_the_same_stream_id_in_two_proxies_is_two_streams(log: Log) -> None:
    log.feed(POD, call(0))
    log.feed("a-2.shop", call(0))

    assert len(log.streams(FLOW.trace_id(0))) == 2


@pytest.mark.parametrize("form", ["traceparent", "baggage", "b3"])
def test_any_form_of_the_mark_will_do(log: Log, form: str) -> None:
    forms = {"traceparent": None, "baggage": None, "b3": None}
    header = {"b3": "x-b3-traceid"}.get(form, form)

    log.feed(POD, line("call", 0, **forms | {form: FLOW.headers(0)[header]}))

    assert only(log).what == "call"


def test_strangers_and_other_output_are_skipped(log: Log) -> None:
    other = Mark("ffffffffffff", 1).flow(1).headers(0)["traceparent"]

    log.feed(
        POD,
        b'[2026-11-23 12:00:00][warning] 0123456789ab "istio_chaos\nnot json 0123456789ab\n' + line("call", 0, traceparent=other),
    )

    assert log.streams(FLOW.trace_id(0)) == []


def test_lines_of_a_sidecar_have_a_side(log: Log) -> None:
    log.feed(POD, line("sidecar", 0, side="inbound", event=None, flags="DC"))

    assert only(log).what == "inbound"
