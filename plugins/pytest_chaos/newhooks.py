"""Which hooks does this plugin add? Implement them in a conftest.py or in a plugin of your own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from chaos.model.topology import Choice, Topology
    from chaos.run.run import Run, RunOptions


@pytest.hookspec(firstresult=True)
def pytest_chaos_mesh(kind: str, topology: Topology, choice: Choice) -> Callable[[RunOptions], Run] | None:
    """How is a run on the mesh `--chaos-mesh=kind` opened? None for a kind that is not yours.

    Called once before the first experiment; raise a `chaos.errors.ChaosError` for what cannot be used. What is returned is called
    when the first experiment begins, in every process of the run; lines in its attribute `header`, if it has one, are shown
    before. With --chaos-plan `options.plan` is set, and `Run.opened` only looks at the mesh. `choice` is what --chaos-target,
    --chaos-context and the like say. Stops at the first result that is not None.
    """
