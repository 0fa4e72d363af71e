from hypothesis import given
from hypothesis import strategies as st

from chaos.model import marks
from chaos.model.marks import BYSTANDER, Mark

numbers = st.integers(min_value=0, max_value=0xFFFE)


@given(numbers, numbers, st.integers(min_value=0, max_value=16**12 - 1))
def test_every_header_leads_back_to_its_request(experiment: int, load: int, sequence: int) -> None:
    flow = Mark(Mark.of_run(), experiment).flow(load)

    headers = flow.headers(sequence)

    assert {marks.sequence_of(headers[name], flow) for name in ("traceparent", "baggage", "x-b3-traceid")} == {sequence}


def test_headers_are_what_w3c_and_zipkin_define() -> None:
    headers = Mark("0123456789ab", 1).flow(2).headers(3)

    assert headers == {
        "traceparent": "00-0123456789ab00010002000000000003-0000000000000004-01",
        "baggage": "istio-chaos=0123456789ab00010002000000000003",
        "x-b3-traceid": "0123456789ab00010002000000000003",
        "x-b3-spanid": "0000000000000004",
        "x-b3-sampled": "1",
    }


def test_bystanders_do_not_carry_the_mark_of_any_experiment() -> None:
    run = Mark.of_run()

    assert not Mark(run, BYSTANDER).flow(1).prefix.startswith(Mark(run, 1).digits)
    assert Mark(run, BYSTANDER).flow(1).prefix.startswith(run)


def test_other_loads_are_not_taken_for_ours() -> None:
    one, other = Mark("0123456789ab", 1).flow(1), Mark("0123456789ab", 1).flow(2)

    assert marks.sequence_of(other.headers(7)["traceparent"], one) is None
    assert marks.trace_in("no trace at all") is None
