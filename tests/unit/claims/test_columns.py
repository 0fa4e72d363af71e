from __future__ import annotations

import gc
import math
import weakref

import pytest

from chaos.claims import columns
from chaos.model.samples import Samples
from chaos.model.window import is_bad
from chaos.testing.evidence import requests


@pytest.mark.parametrize(
    "samples",
    [
        requests(0),
        requests(5),
        requests(5, status=503),
        requests(5, status=lambda i: 503 if i == 2 else 200),
        requests(5, status=lambda i: 404 if i == 2 else 0),
    ],
    ids=["none", "well", "broken", "one bad", "mixed"],
)
@pytest.mark.parametrize("ok", [(), (404,)], ids=str)
def test_bits_are_those_of_every_request(samples: Samples, ok: tuple[int, ...]):
    assert list(columns.failures(samples, ok)) == [is_bad(samples, i, frozenset(ok)) for i in range(len(samples))]


def test_answers_are_counted():
    assert columns.answers(requests(5)) == {(200, -1, 0): 5}
    assert columns.answers(requests(5, status=lambda i: 200 + i % 2)) == {(200, -1, 0): 3, (201, -1, 0): 2}
    assert columns.answers(requests(0)) == {}


def test_times_count_from_the_schedule_or_from_the_actual_start():
    samples = requests(3, latency=0.5, lag=0.1, status=lambda i: 200 if i else 0)

    assert list(columns.times(samples)) == pytest.approx([math.inf, 0.5, 0.5])
    assert list(columns.times(samples, from_schedule=False)) == pytest.approx([math.inf, 0.4, 0.4])
    assert columns.ordered_times(samples).ordered == sorted(columns.times(samples))


def test_what_was_made_is_made_once():
    samples = requests(3, unsent=range(1))

    for make in (columns.sent, columns.answers, columns.failures, columns.times, columns.ordered_times):
        assert make(samples) is make(samples)
    assert columns.failures(samples) is not columns.failures(samples, (503,))
    assert columns.times(samples) is not columns.times(samples, from_schedule=False)
    assert columns.times(samples) is not columns.times(requests(3, unsent=range(1)))


def test_it_goes_with_the_samples():
    samples = requests(3)
    columns.times(samples)
    gone = weakref.ref(samples)
    del samples
    gc.collect()

    assert gone() is None


def test_nothing_is_changed_where_all_were_sent():
    samples = requests(3)

    assert columns.sent(samples) is samples
    assert len(columns.sent(requests(3, unsent=range(1)))) == 2
