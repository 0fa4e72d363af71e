from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.load.locust.files import ALL_STARTED, Files, response_entry, text_entry
from chaos.load.locust.reading import Recorded
from chaos.model.samples import COLUMNS


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files.of(tmp_path, 1)


@pytest.fixture
def recorded(files: Files) -> Recorded:
    return Recorded(files)


@pytest.fixture
def write(files: Files) -> Callable[..., None]:
    def write(*scheduled: int, error: int = 0, response: int = 0) -> None:
        with files.records.open("ab") as file:
            for at in scheduled:
                row = {"sequence": at, "scheduled": at, "error": error, "response": response}
                file.write(array("q", [row.get(column, 0) for column in COLUMNS]).tobytes())

    return write


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_nothing_is_there_before_the_files_are(recorded: Recorded) -> None:
    assert len(recorded.samples()) == 0
    assert recorded.ended_before(10) == 0
    assert recorded.started_before(10) == (0, False)


def test_requests_are_in_scheduled_order_whatever_the_order_of_their_ends(recorded: Recorded, write: Callable[..., None]) -> None:
    for batch in ([3, 1], [2], [7, 9, 8], [5, 6, 4], [10]):
        write(*batch)
        scheduled = list(recorded.samples()["scheduled"])
        assert scheduled == sorted(scheduled)

    assert scheduled == list(range(1, 11))
    assert recorded.ended_before(4) == 3


def test_an_earlier_answer_does_not_change(recorded: Recorded, write: Callable[..., None]) -> None:
    write(2)
    early = recorded.samples()
    write(1)

    assert list(recorded.samples()["scheduled"]) == [1, 2]
    assert list(early["scheduled"]) == [2]


def test_nothing_new_costs_nothing(recorded: Recorded, write: Callable[..., None]) -> None:
    write(1, 2)

    assert recorded.samples() is recorded.samples()


def test_a_torn_record_is_read_when_it_is_whole(recorded: Recorded, files: Files, write: Callable[..., None]) -> None:
    write(1, 2)
    data = files.records.read_bytes()
    files.records.write_bytes(data[:-8])
    assert list(recorded.samples()["scheduled"]) == [1]

    append(files.records, data[-8:])
    assert list(recorded.samples()["scheduled"]) == [1, 2]


def test_what_a_record_refers_to_is_there(recorded: Recorded, files: Files, write: Callable[..., None]) -> None:
    append(files.tables, text_entry("timeout") + response_entry({"a": "b"}, b"body"))
    write(1, error=1, response=1)
    first = recorded.samples()
    torn = text_entry("connection refused")
    append(files.tables, torn[:4])
    write(2, error=1)
    recorded.samples()
    append(files.tables, torn[4:])
    write(3, error=2)
    last = recorded.samples()

    assert (first.error(0), last.error(2)) == ("timeout", "connection refused")
    response = last.response(0)
    assert response is not None
    assert (response.headers, response.body) == ({"a": "b"}, b"body")
    assert last.response(1) is None


def test_starts_are_final_up_to_the_last_mark(recorded: Recorded, files: Files) -> None:
    append(files.starts, array("q", [5, 8]).tobytes())
    assert recorded.started_before(8) == (1, False)

    append(files.starts, array("q", [-9]).tobytes())
    assert recorded.started_before(9) == (2, True)
    assert recorded.started_before(10) == (2, False)

    append(files.starts, array("q", [12, -ALL_STARTED]).tobytes())
    assert recorded.started_before(10**18) == (3, True)
