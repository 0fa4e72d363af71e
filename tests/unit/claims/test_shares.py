from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.claims.shares import spread, unsent
from chaos.testing.evidence import requests, window


class TestUnsent:
    def test_nothing_missing_is_told_by_nothing(self):
        assert unsent(window(requests(10))) == b""

    def test_recorded_ones_stand_where_they_were_scheduled(self):
        assert unsent(window(requests(5, unsent=[1, 3]))) == b"\0\1\0\1\0"

    def test_those_without_record_stand_at_the_end(self):
        assert unsent(window(requests(3, unsent=[0]), scheduled=5)) == b"\1\0\0\1\1"

    def test_those_of_a_transition_are_not_missing(self):
        assert unsent(window(requests(3), scheduled=5, transition=2)) == b""
        assert unsent(window(requests(3), scheduled=5, transition=1)) == b"\0\0\0\1"


class TestSpread:
    def test_puts_values_where_requests_were_sent(self):
        assert spread([1, 2, 3], b"\0\1\0\1\0", 9) == [1, 9, 2, 9, 3]

    def test_leaves_them_alone_if_all_were(self):
        values = [1, 2, 3]

        assert spread(values, b"", 9) is values

    @given(st.lists(st.booleans(), max_size=50))
    def test_loses_none(self, missing: list[bool]):
        values = list(range(missing.count(False)))

        found = spread(values, bytes(missing), -1)

        assert len(found) == (len(missing) or len(values))
        assert [value for value in found if value >= 0] == values


@pytest.mark.parametrize(
    ("scheduled", "transition"),
    [(10, 0), (12, 0), (12, 1), (12, 2)],
)
def test_as_many_as_the_window_says_are_missing(scheduled: int, transition: int):
    evidence = window(requests(10, unsent=[4]), scheduled=scheduled, transition=transition)

    assert unsent(evidence).count(1) == evidence.missing
