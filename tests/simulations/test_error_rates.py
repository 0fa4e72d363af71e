"""The simulations with few runs and one seed: enough to see a broken rule (`error_rates.py --runs 20000` confirms the rates)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from chaos.model.outcome import Outcome
from tests.simulations import error_rates

RUNS = 40
LONG = ("n=12000", "sequential")


def quick(cell: error_rates.Cell) -> bool:
    return not any(word in cell.name for word in LONG)


@pytest.mark.parametrize("cell", [cell for cell in error_rates.cells() if quick(cell)], ids=lambda cell: cell.name)
def test_rules_keep_their_error_rates(cell: error_rates.Cell) -> None:
    assert error_rates.run(cell, RUNS, seed=1).passed


@pytest.mark.parametrize("cell", [cell for cell in error_rates.cells() if "sequential" in cell.name], ids=lambda cell: cell.name)
def test_sequential_rules_keep_their_error_rates(cell: error_rates.Cell) -> None:
    assert error_rates.run(cell, RUNS // 4, seed=1).passed


@pytest.mark.parametrize("cell", error_rates.naive(), ids=lambda cell: cell.name)
def test_naive_rules_are_found_out(cell: error_rates.Cell) -> None:
    assert error_rates.run(cell, RUNS, seed=1).over(Outcome.HELD)


@pytest.mark.parametrize(("rate", "bar"), [(0.05, 1_052), (0.01, 224), (0.056, 1_174), (0.075, 1_562)])
def test_bars_of_a_full_run(rate: float, bar: int) -> None:
    assert bar - 1 <= error_rates.bar(20_000, rate) <= bar


def test_traffic_lies_at_the_boundary() -> None:
    random = np.random.default_rng(1)

    independent = error_rates.independent(random, 200_000, 0.05)
    bursts = np.frombuffer(error_rates.bursts(random, 400_000, 0.05, 5), dtype=np.uint8)
    queue = error_rates.queue(random, 400_000, 0.5)

    assert sum(independent) / 200_000 == pytest.approx(0.05, rel=0.05)
    assert bursts.mean() == pytest.approx(0.05, rel=0.06)
    assert bursts.sum() / (np.diff(bursts, prepend=0) == 1).sum() == pytest.approx(5, rel=0.05)
    assert (queue > error_rates.queue_quantile(0.5, 0.95)).mean() == pytest.approx(0.05, rel=0.05)
    assert queue.mean() == pytest.approx(2, rel=0.05)


def test_the_queue_is_stationary_from_its_first_request() -> None:
    random = np.random.default_rng(1)
    first = [error_rates.queue(random, 2, 0.7)[0] for _ in range(4_000)]

    assert stats.kstest(first, stats.expon(scale=1 / 0.3).cdf).pvalue > 0.001


def test_the_command_prints_a_table_and_fails_over_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert error_rates.main(["--runs", "20", "--only", "attempts per request n=400"]) == 0
    assert "attempts per request n=400" in capsys.readouterr().out

    monkeypatch.setattr(error_rates, "cells", error_rates.naive)
    assert error_rates.main(["--runs", "20", "--only", "queue"]) == 1
    assert "OVER" in capsys.readouterr().out
