"""The pytest plugin: experiments are tests that ask for `inject`, `load`, `experiment` or `mesh`.

This module is what pytest loads, in every session, so it imports the standard library and pytest only; a session that selects no
experiment goes no further. What happens otherwise:

    selection   which tests are experiments, which topology they share; refuses what cannot work before anything starts
    session     the run of this process: opened by the first experiment, closed when the session ends
    outcomes    what a test came to: held, violated, inconclusive, no claim ...
    distribution  with xdist: the part of the process that hands out the tests
    results     reports and terminal summary, from the events of all processes
    progress    a line about the window under way
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from pytest_chaos import newhooks, options
from pytest_chaos.distribution import Controller, refusals_told
from pytest_chaos.fixtures import RUN, _chaos_experiment, _chaos_run, experiment, inject, load, mesh
from pytest_chaos.selection import refuse_strange_chaos

if TYPE_CHECKING:
    from chaos.model.topology import Choice, Topology
    from chaos.run.run import Run, RunOptions

__all__ = ["_chaos_experiment", "_chaos_run", "experiment", "inject", "load", "mesh"]

MARKER = (
    "chaos(hypothesis='', exclusive=False): a resilience experiment; given to every test that uses the fixtures of istio-chaos. "
    "hypothesis: what is believed, for the report; exclusive: needs its callees for itself (on the local mesh every experiment has)"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(newhooks)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Before xdist starts its workers."""
    plugins = session.config.pluginmanager
    if plugins.hasplugin("dsession"):
        plugins.register(Controller(session.config), "pytest_chaos_controller")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before `-m` selects."""
    for item in items:
        if RUN in getattr(item, "fixturenames", ()) and item.get_closest_marker("chaos") is None:
            item.add_marker("chaos")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Before the terminal shows what was collected."""
    items = [item for item in session.items if RUN in getattr(item, "fixturenames", ())]
    if items and not session.config.option.collectonly:
        with refusals_told(session.config):
            refuse_strange_chaos()
            from pytest_chaos.session import prepare

            prepare(session.config, items)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """`from chaos import delay` fails where a project has a `chaos` of its own: say what that means."""
    if report.failed and "'chaos" in report.longreprtext:
        refuse_strange_chaos()


@pytest.hookimpl(trylast=True)
def pytest_chaos_mesh(kind: str, topology: Topology, choice: Choice) -> Callable[[RunOptions], Run] | None:
    from chaos.run import meshes

    return meshes.check(kind, topology, choice) if kind in meshes.KINDS else None


def pytest_make_parametrize_id(val: object) -> str | None:
    """`delay-2s` rather than `fault0`. Nothing of ours can be there unless its module is."""
    modules = ("chaos.model.fault", "Fault"), ("chaos.model.edge", "Edge")
    for module, name in modules:
        if module in sys.modules and isinstance(val, getattr(sys.modules[module], name)):
            return str(val.id)
    return None


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Says what a number of a window is: `assert during.latency("p95") < 0.8`."""
    window = sys.modules.get("chaos.model.window")
    if window is None or not any(isinstance(side, (window.Count, window.Measure)) for side in (left, right)):
        return None
    shown = [window.describe(side) if isinstance(side, (int, float)) else repr(side) for side in (left, right)]
    return [f"{shown[0]} {op} {shown[1]}"]


def pytest_report_teststatus(
    report: pytest.CollectReport | pytest.TestReport,
) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Outcomes that pytest has no word for. They are failures to everybody else."""
    match getattr(report, "chaos_outcome", None):
        case "inconclusive":
            return "inconclusive", "I", ("INCONCLUSIVE", {"yellow": True})
        case "no claim":
            return "no claim", "N", ("NO CLAIM", {"yellow": True})
        case "planned":
            return "planned", "p", ("PLANNED", {"green": True})
        case "refused":
            return "refused", "R", ("REFUSED", {"red": True})
    return None
