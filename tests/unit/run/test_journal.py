import os
from pathlib import Path

import pytest

from chaos.run.journal import Journal, left, process_start, troubled


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.journal"


def test_a_journal_tells_what_is_left(path: Path) -> None:
    journal = Journal(path, "0123456789ab")
    journal.mesh("local", "127.1.0.0/16")
    journal.spawned(os.getpgrp(), "envoy")
    journal.writing([("shop", "one"), ("shop", "two")])
    journal.writing([("shop", "one")])
    journal.removed([("shop", "two")])

    journal.silencing([("shop", "web-1", "a.max"), ("shop", "web-2", "a.max")])
    journal.cleared([("shop", "web-1", "a.max")])

    found = left(path)

    assert found.silenced == [("shop", "web-2", "a.max")]
    assert (found.run, found.pid, found.mesh) == ("0123456789ab", os.getpid(), {"kind": "local", "name": "127.1.0.0/16"})
    assert found.groups == {os.getpgrp(): process_start(os.getpgrp())}
    assert found.objects == [("shop", "one")]


def test_a_line_that_was_being_written_is_not_believed(path: Path) -> None:
    Journal(path, "0123456789ab").writing([("shop", "one")])
    path.write_bytes(path.read_bytes() + b'{"removed": [["shop", "o')

    assert left(path).objects == [("shop", "one")]


def test_every_entry_is_in_the_file_when_its_call_returns(path: Path) -> None:
    journal = Journal(path, "0123456789ab")
    before = path.read_bytes()

    journal.writing([("shop", "one")])

    assert path.read_bytes()[len(before) :] == b'{"writing": [["shop", "one"]]}\n'


def test_a_clean_end_leaves_no_journal_and_another_leaves_it(path: Path, tmp_path: Path) -> None:
    Journal(path, "0123456789ab").close(clean=True)
    assert not path.exists()

    Journal(path, "0123456789ab").close(clean=False)
    assert path.exists()


def test_the_start_of_a_process_tells_it_from_a_later_one_of_its_number() -> None:
    assert process_start(os.getpid()) == process_start(os.getpid()) > 0
    assert process_start(2**22 - 1) == 0


def test_trouble_is_told_to_the_next_one_and_makes_no_journal_where_there_is_none(path: Path) -> None:
    Journal(path, "0123456789ab").leasing("shop", "a-lease")
    path.write_bytes(path.read_bytes() + b'{"writing": [["shop", "o')
    troubled(path, "the API server does not answer")

    assert (left(path).trouble, left(path).leases) == ("the API server does not answer", [("shop", "a-lease")])
    path.unlink()
    troubled(path, "too late")
    assert not path.exists()


def test_how_to_come_to_a_mesh_is_kept(path: Path) -> None:
    Journal(path, "0123456789ab").mesh("cluster", "staging-eu", {"context": "staging-eu", "namespaces": "shop"})

    assert left(path).reach == {"context": "staging-eu", "namespaces": "shop"}
