"""What does a test ask for? The fixtures `mesh`, `experiment`, `inject` and `load`.

All of them stand on `_chaos_run`, which opens the run when the first experiment begins; by it a test that asks for any of them is
known. `_chaos_experiment` owns the undo: its finalizer ends injections and loads whatever the order of the test's arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from chaos.run.experiment import Experiment
    from chaos.run.run import Run
    from chaos.run.view import ExperimentView, Inject, Load, MeshView

RUN = "_chaos_run"
"""In the fixture names of every test that uses this plugin."""
EXPERIMENT = "_chaos_experiment"
"""In the fixture names of every experiment."""


@pytest.fixture(scope="session")
def _chaos_run(request: pytest.FixtureRequest) -> Run:
    """The run of this process. It is closed when the session ends, after every other fixture."""
    from pytest_chaos.session import of

    return of(request.config).opened()


@pytest.fixture
def _chaos_experiment(request: pytest.FixtureRequest, _chaos_run: Run) -> Iterator[Experiment]:
    from pytest_chaos.session import of

    yield from of(request.config).experiment(request.node)


@pytest.fixture(scope="session")
def mesh(_chaos_run: Run) -> MeshView:
    """The mesh under test: `mesh.services`, `mesh.pods`, `mesh.edge("productpage -> reviews")`."""
    from chaos.run.view import MeshView

    return MeshView(_chaos_run)


@pytest.fixture
def experiment(_chaos_experiment: Experiment, _chaos_run: Run) -> ExperimentView:
    """This experiment: its `name`, the `run` it belongs to, and `note(text)` for the report."""
    from chaos.run.view import ExperimentView

    return ExperimentView(_chaos_experiment, _chaos_run.id)


@pytest.fixture
def inject(_chaos_experiment: Experiment) -> Inject:
    """A fault on an edge: `with inject(delay("2s"), "productpage -> reviews"):`. Undone when the test ends, at the latest."""
    from chaos.run.view import Inject

    return Inject(_chaos_experiment)


@pytest.fixture
def load(_chaos_experiment: Experiment, _chaos_run: Run) -> Load:
    """Traffic: `with load("/productpage", rate="100/s") as traffic:`, then `traffic.window("10s")`."""
    from chaos.run.view import Load

    return Load(_chaos_experiment, _chaos_run)
