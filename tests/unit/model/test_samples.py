from array import array

from chaos.model.samples import COLUMNS, RECORD, Response, Samples, Tables


def record(**values: int) -> bytes:
    return array("q", (values.get(column, 0) for column in COLUMNS)).tobytes()


def test_records_become_columns_in_scheduled_order() -> None:
    data = record(sequence=1, scheduled=20, status=503) + record(sequence=0, scheduled=10, status=200)

    samples = Samples.from_bytes(data, Tables())

    assert list(samples["sequence"]) == [0, 1]
    assert list(samples["status"]) == [200, 503]
    assert len(samples) == 2


def test_a_record_that_is_being_written_is_left_for_the_next_time() -> None:
    whole = record(sequence=0)

    assert len(Samples.from_bytes(whole + whole[: RECORD - 1], Tables())) == 1


def test_a_window_is_half_open() -> None:
    samples = Samples.of([{"sequence": n, "scheduled": n * 10} for n in range(5)])

    assert list(samples.between(10, 30)["sequence"]) == [1, 2]


def test_texts_and_responses_are_looked_up() -> None:
    answer = Response({"content-type": "text/plain"}, b"ok")
    samples = Samples.of([{"sequence": 0, "error": 1, "response": 1}, {"sequence": 1}], Tables(("", "timeout"), (None, answer)))

    assert (samples.error(0), samples.error(1)) == ("timeout", "")
    assert (samples.response(0), samples.response(1)) == (answer, None)
    assert list(samples["grpc"]) == [-1, -1]
