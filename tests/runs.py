"""A run for tests that look at counts and codes: its warm-up and steady windows are cut short, since no steady latency is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chaos.model.topology import Choice, Topology
from chaos.run import meshes, traffic
from chaos.run.experiment import Experiment
from chaos.run.run import Run, RunOptions, new_id
from chaos.run.view import Inject, Load


@contextmanager
def opened(folder: Path, topology: Topology, kind: str = "local", choice: Choice | None = None) -> Iterator[Run]:
    """With its mesh and load generator up; at the end everything was undone and journalled so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        for name in ("WARM_UP_SECONDS", "STEADY_SECONDS"):
            patch.setattr(traffic, name, 0.2)
        for name in ("WARM_UP_REQUESTS", "STEADY_REQUESTS"):
            patch.setattr(traffic, name, 5)
        run = meshes.open_run(kind, topology, RunOptions(id=new_id(), folder=folder / "run"), choice or Choice())
        try:
            yield run
        finally:
            run.close()
        assert run.failed_undos == []
        assert list((folder / "state").rglob("*.journal")) == []


@contextmanager
def experiment(run: Run) -> Iterator[tuple[Inject, Load, Experiment]]:
    """`inject` and `load` of one test; what it did is undone at the end."""
    one = run.experiment("a test")
    try:
        yield Inject(one), Load(one, run), one
    finally:
        one.finish()
