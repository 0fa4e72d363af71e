"""What did a test come to? Held, violated, inconclusive, no claim, known weakness ... and what pytest is told of it.

What no verdict came of is a failure to pytest with a name of its own: exit status, `-x`, `--lf`, JUnit and xdist count it as not
passed, and an `xfail` mark cannot swallow it. A violated claim under `xfail(raises=Violated, strict=True)` is a known weakness.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

import pytest
from _pytest.pathlib import bestrelpath

import chaos
from chaos.errors import (
    ChaosError,
    ConfigurationError,
    EnvironmentFailure,
    Inconclusive,
    NoClaim,
    PlannedUpToHere,
    Refused,
    Stopped,
    UndoFailed,
    Violated,
)
from chaos.model.events import DoubtForeseen, Event, ExperimentFinished
from chaos.run.conclusion import conclude, soft_failures
from pytest_chaos.fixtures import EXPERIMENT

if TYPE_CHECKING:
    from chaos.run.experiment import Experiment

HELD: Final = "held"
VIOLATED: Final = "violated"
INCONCLUSIVE: Final = "inconclusive"
NO_CLAIM: Final = "no claim"
KNOWN_WEAKNESS: Final = "known weakness"
WEAKNESS_GONE: Final = "weakness gone"
"""An xfail that passes."""
FAILED: Final = "failed"
"""The test itself broke: neither the system nor the evidence."""
UNDO_FAILED: Final = "undo failed"
SKIPPED: Final = "skipped"
PLANNED: Final = "planned"
"""Of a plan: this is what it would do, up to the first number it reads."""
REFUSED: Final = "refused"
"""Of a plan: guard, topology or mesh would not let it."""

_OWN_NAMES: Final = {INCONCLUSIVE, NO_CLAIM, UNDO_FAILED, PLANNED, REFUSED}
"""Outcomes that no xfail mark may swallow."""
_PYTEST: Final = Path(pytest.__file__).resolve().parents[1]
_INSIDE: Final = (Path(chaos.__path__[0]).resolve(), Path(__file__).resolve().parent, _PYTEST / "_pytest", _PYTEST / "pluggy")


@dataclass(slots=True)
class _Course:
    """One experiment on its way through setup, call and teardown."""

    outcome: str = ""
    message: str = ""
    seconds: float = 0.0


class Outcomes:
    """The hooks that follow each experiment, and tell what it came to."""

    def __init__(self, emit: Callable[[Event], None], *, plans: bool = False) -> None:
        self._emit = emit
        self._plans = plans
        self._courses: dict[str, _Course] = {}
        self.experiments: dict[str, Experiment] = {}
        """By node id, from their set-up to their teardown."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """What the experiment still owes when its body has gone through."""
        experiment = self.experiments.get(item.nodeid)
        try:
            result = yield
        except Exception as failure:
            for soft in soft_failures(experiment.ledger) if experiment else []:
                failure.add_note(f"soft claim that did not hold: {soft}")
            raise
        if experiment is not None:
            self._conclude(experiment)
        return result

    def _conclude(self, experiment: Experiment) -> None:
        try:
            conclude(experiment)
        except (Inconclusive, NoClaim) as lacking:
            if not self._plans:
                raise
            experiment.emit(DoubtForeseen(experiment=experiment.name, text=str(lacking)))

    # First, and so outside of pytest's own handling of xfail.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        if EXPERIMENT not in getattr(item, "fixturenames", ()):
            return (yield)
        _show_only_the_test(item, call)
        report = yield
        failure = call.excinfo.value if call.excinfo else None
        if isinstance(failure, ChaosError) and not any(map(_is_foreign, _entries(failure))):
            report.longrepr = f"{type(failure).__name__}: {failure}"
        outcome = outcome_of(failure, report)
        refusals = self._refusals(item)
        if self._plans:
            outcome = planned_outcome(failure, report, refused=bool(refusals)) or outcome
        if outcome in _OWN_NAMES:
            report.outcome = "skipped" if outcome == PLANNED else "failed"
            report.__dict__["chaos_outcome"] = outcome  # xdist hands it on with the report
            report.__dict__.pop("wasxfail", None)
        message = _message(failure, report)
        if outcome in (PLANNED, REFUSED) and (failure is None or isinstance(failure, PlannedUpToHere)):
            path, line, _ = item.location
            message = "\n".join([*refusals, _planned_up_to(failure, item)])
            report.longrepr = message if refusals else (str(path), (line or 0) + 1, message)
            call.excinfo = None  # it is no error: nobody wants a debugger there
        self._follow(item, report, outcome, message)
        return report

    def _refusals(self, item: pytest.Item) -> list[str]:
        """Why a run of this experiment could not begin now, although it can be planned."""
        refusals: list[str] = getattr(self.experiments.get(item.nodeid), "refusals", [])
        return refusals

    def _follow(self, item: pytest.Item, report: pytest.TestReport, outcome: str, message: str) -> None:
        course = self._courses.setdefault(item.nodeid, _Course())
        if report.when != "setup":
            course.seconds += report.duration
        if outcome and (course.outcome in ("", HELD) or outcome == UNDO_FAILED):
            course.outcome, course.message = outcome, message
        if report.when == "teardown":
            del self._courses[item.nodeid]
            self.experiments.pop(item.nodeid, None)
            self._emit(
                ExperimentFinished(
                    experiment=item.nodeid, outcome=course.outcome or FAILED, seconds=course.seconds, message=course.message
                )
            )


def outcome_of(failure: BaseException | None, report: pytest.TestReport) -> str:
    """What one phase came to; empty where it says nothing (a setup or teardown that went well)."""
    if failure is not None and (undecided := _undecided(failure)):
        return undecided
    if report.skipped:
        expected = hasattr(report, "wasxfail")
        return (KNOWN_WEAKNESS if isinstance(failure, AssertionError) else "expected failure") if expected else SKIPPED
    if failure is not None:
        return VIOLATED if any(isinstance(leaf, AssertionError) for leaf in leaves(failure)) else FAILED
    if report.when != "call":
        return ""
    return WEAKNESS_GONE if report.failed or hasattr(report, "wasxfail") else HELD


def planned_outcome(failure: BaseException | None, report: pytest.TestReport, *, refused: bool = False) -> str:
    """What one phase of a plan came to; empty where it is the same as in a run. `refused`: the mesh would not let it begin."""
    found = leaves(failure) if failure is not None else []
    if any(isinstance(leaf, (ConfigurationError, Refused, Stopped)) for leaf in found):
        return REFUSED
    if any(isinstance(leaf, PlannedUpToHere) for leaf in found) or (not found and report.when == "call"):
        return REFUSED if refused else PLANNED
    return ""


def _planned_up_to(failure: BaseException | None, item: pytest.Item) -> str:
    """`planned up to here: experiments/test_1.py:12: assert steady.latency("p95") < 0.5 reads the numbers of window 1 ...`"""
    if failure is None:
        return "planned to its end"
    entry = next(reversed([each for each in _entries(failure) if _is_foreign(each)]), None)
    if entry is None:
        return f"planned up to here: {failure}"
    file, line = Path(entry.tb_frame.f_code.co_filename), entry.tb_lineno
    place = f"{bestrelpath(item.config.invocation_params.dir, file)}:{line}"
    code = linecache.getline(str(file), line).strip()
    return f"planned up to here: {place}: {code}\nit reads {failure}"


def leaves(failure: BaseException) -> list[BaseException]:
    """The exceptions in a group, or the one there is."""
    if isinstance(failure, BaseExceptionGroup):
        return [leaf for each in failure.exceptions for leaf in leaves(each)]
    return [failure]


def _undecided(failure: BaseException) -> str:
    found = leaves(failure)
    if any(isinstance(leaf, UndoFailed) for leaf in found):
        return UNDO_FAILED
    if all(isinstance(leaf, NoClaim) for leaf in found):
        return NO_CLAIM
    return INCONCLUSIVE if all(isinstance(leaf, (Inconclusive, EnvironmentFailure)) for leaf in found) else ""


def _message(failure: BaseException | None, report: pytest.TestReport) -> str:
    """In short, for summary and report."""
    if failure is None:
        return str(report.longrepr) if report.failed else ""
    if report.skipped and not hasattr(report, "wasxfail"):
        return str(failure)
    told = "\n".join(_said(leaf) for leaf in leaves(failure))
    reason = getattr(report, "wasxfail", "")
    return f"{reason.removeprefix('reason: ')}: {told}" if reason else told


def _said(failure: BaseException) -> str:
    speaks_for_itself = isinstance(failure, (ChaosError, AssertionError))
    return str(failure) if speaks_for_itself else f"{type(failure).__name__}: {failure}"


def _show_only_the_test(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Tracebacks of ours end in the test's own line: what is below it is the library, and the message says it.

    The traceback itself is made shorter: pytest's own filters (`__tracebackhide__`) would have to be set in every module.
    """
    failure = call.excinfo.value if call.excinfo else None
    if not isinstance(failure, (ChaosError, Violated, PlannedUpToHere)) or item.config.option.fulltrace:
        return
    if kept := [each for each in _entries(failure) if _is_foreign(each)]:
        shorter: TracebackType | None = None
        for each in reversed(kept):
            shorter = TracebackType(shorter, each.tb_frame, each.tb_lasti, each.tb_lineno)
        call.excinfo = pytest.ExceptionInfo.from_exception(failure.with_traceback(shorter))


def _entries(failure: BaseException) -> Iterator[TracebackType]:
    entry = failure.__traceback__
    while entry is not None:
        yield entry
        entry = entry.tb_next


def _is_foreign(entry: TracebackType) -> bool:
    """Neither of the library, nor of this plugin, nor of pytest."""
    file = Path(entry.tb_frame.f_code.co_filename)
    return not any(file.is_relative_to(folder) for folder in _INSIDE)
