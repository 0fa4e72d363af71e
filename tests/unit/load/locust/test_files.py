from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.load.locust.files import Files, entries, response_entry, text_entry
from chaos.model.samples import Response

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
tables = st.lists(texts | st.builds(Response, st.dictionaries(texts, texts, max_size=3), st.binary(max_size=50)), max_size=6)


def written(entry: str | Response) -> bytes:
    return text_entry(entry) if isinstance(entry, str) else response_entry(entry.headers, entry.body)


@given(tables)
def test_entries_come_back_as_written(table: list[str | Response]) -> None:
    assert [entry for entry, _ in entries(b"".join(map(written, table)))] == table


@given(tables, st.data())
def test_a_torn_entry_waits_for_its_rest(table: list[str | Response], data: st.DataObject) -> None:
    whole = b"".join(map(written, table))
    cut = data.draw(st.integers(0, len(whole)))
    first = list(entries(whole[:cut]))
    read = first[-1][1] if first else 0

    assert [entry for entry, _ in first] + [entry for entry, _ in entries(whole[read:])] == table


def test_a_text_with_half_a_character_is_kept_readable() -> None:
    assert next(entries(text_entry("a\udce4b")))[0] == "a?b"


@pytest.mark.parametrize("name", ["records", "tables", "starts"])
def test_each_file_of_a_flow_has_its_name(name: str) -> None:
    assert getattr(Files.of(Path("run"), 3), name) == Path(f"run/flow-3.{name}")
