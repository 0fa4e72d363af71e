"""What can machines read of a run? `report.json`: all that a report knows, in a form with a version (report.schema.json)."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from chaos.model.events import Event
from chaos.report.story import Injected, Story, Told
from chaos.report.stream import plain
from chaos.report.writer import StoryWriter

VERSION: Final = 1
"""Grows when a reader of the older form would go wrong; new keys alone do not."""

SCHEMA: Final = Path(__file__).with_name("report.schema.json")


class JsonReport(StoryWriter):
    """Writes report.json into the run's folder."""

    file = "report.json"

    def text(self, story: Story) -> str:
        return json.dumps(report(story), ensure_ascii=False, indent=1) + "\n"


def report(story: Story) -> dict[str, Any]:
    """The content of report.json."""
    told: dict[str, Any] = plain(
        {
            "format": "istio-chaos report",
            "version": VERSION,
            "run": {"id": story.run, "started": story.started, "ended": story.ended, "processes": story.processes},
            "mesh": story.mesh,
            "topology": story.topology,
            "versions": story.versions,
            "outcomes": story.outcomes,
            "experiments": [_experiment(each) for each in story.experiments],
        }
    )
    return told


def _experiment(told: Told) -> dict[str, Any]:
    return {
        "name": told.name,
        "hypothesis": told.hypothesis,
        "process": told.process,
        "outcome": told.outcome,
        "message": told.message,
        "started": told.started,
        "seconds": told.seconds,
        "loads": [_values(event) for event in told.loads],
        "injections": [_injection(each) for each in told.injections],
        "windows": [_values(event) for event in told.windows],
        "verdicts": [_values(event) for event in told.verdicts],
        "notes": told.notes,
        "undo_failures": told.undo_failures,
        "plan": [{"event": type(event).__name__, **_values(event)} for event in told.plan],
    }


def _injection(injected: Injected) -> dict[str, Any]:
    gone = injected.gone
    return {
        **_values(injected.proven),
        "gone_at": gone.at if gone else None,
        "gone_ms": gone.gone_ms if gone else None,
        "aborted": gone.aborted if gone else "",
    }


def _values(event: Event) -> dict[str, Any]:
    return {field.name: getattr(event, field.name) for field in fields(event) if field.name != "experiment"}
