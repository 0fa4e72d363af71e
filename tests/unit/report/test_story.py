"""Events become experiments, each with what belongs to it."""

from __future__ import annotations

from collections.abc import Callable

from chaos.model.events import Event, ExperimentStarted, Noted, UndoFailure, WindowClosed
from chaos.report.story import INTERRUPTED, Story


def of(events: list[Event], process: str = "main") -> Story:
    return Story.of((process, event) for event in events)


def test_a_whole_run(run: list[Event]) -> None:
    story = of(run)
    (told,) = story.experiments

    assert (story.run, story.topology, story.mesh["kind"], story.processes) == (
        "0123456789ab",
        "/shop/chaos.yaml",
        "fake",
        ["main"],
    )
    assert (story.started, story.ended, story.outcomes) == (0.5, 3.0, {"held": 1})
    assert (told.name, told.hypothesis, told.outcome, told.seconds) == ("test_shop.py::test_it", "it holds", "held", 12.3)
    assert [load.target for load in told.loads] == ["/"]
    assert [window.kind for window in told.windows] == ["steady", "fault"]
    assert [str(each) for each in told.injections] == ["delay 2s on front -> back (caller side)"]
    assert [each.gone.gone_ms for each in told.injections if each.gone] == [2.5]
    assert [verdict.claim for verdict in told.verdicts] == ["to_succeed()"]
    assert told.notes == ["full moon"]


def test_key_numbers_are_those_under_the_fault(told: Callable[..., list[Event]]) -> None:
    (one,) = of(told(requests=200, errors=10, p95=1.5)).experiments

    assert (one.requests, one.error_share, one.p95) == (200, 0.05, 1.5)


def test_without_a_fault_they_are_those_of_all_windows(window: Callable[..., WindowClosed]) -> None:
    events = [
        ExperimentStarted(at=1, experiment="a"),
        window("a", 2, kind="steady", p95=0.1, errors=1),
        window("a", 3, kind="steady", p95=0.3),
    ]
    (one,) = of(events).experiments

    assert (one.requests, one.error_share, one.p95) == (200, 0.005, 0.3)


def test_numbers_that_are_not_there(window: Callable[..., WindowClosed]) -> None:
    nothing = of([ExperimentStarted(at=1, experiment="a")]).experiments[0]
    unanswered = of([ExperimentStarted(at=1, experiment="a"), window("a", 2, p95=None), window("a", 3)]).experiments[0]

    assert (nothing.requests, nothing.error_share, nothing.p95) == (0, None, None)
    assert (unanswered.requests, unanswered.p95) == (200, None)


def test_who_never_finished_was_interrupted() -> None:
    story = of([ExperimentStarted(at=1, experiment="a"), UndoFailure(at=2, experiment="a", message="still there")])

    assert story.outcomes == {INTERRUPTED: 1}
    assert story.experiments[0].undo_failures == ["still there"]


def test_the_same_test_twice_is_two_experiments(told: Callable[..., list[Event]]) -> None:
    again = of([*told(at=1, outcome="violated"), *told(at=5)])
    each = Story.of([(process, event) for process in ("gw0", "gw1") for event in told()])

    assert [one.outcome for one in again.experiments] == ["violated", "held"]
    assert [(one.process, len(one.windows)) for one in each.experiments] == [("gw0", 2), ("gw1", 2)]


def test_events_of_nobody_are_left_out() -> None:
    assert of([Noted(at=1, experiment="never began", text="hello")]).experiments == []
