"""report.json keeps to its schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from chaos.model.events import Event, ExperimentStarted, InjectionProven
from chaos.report.json_report import SCHEMA, VERSION, JsonReport, report
from chaos.report.story import Story


@pytest.fixture(scope="module")
def schema() -> Any:
    return json.loads(SCHEMA.read_text())


def strict(schema: Any) -> Any:
    """No key that the schema does not know, so that a new one is not forgotten there."""
    if isinstance(schema, dict):
        inner = {key: strict(value) for key, value in schema.items()}
        return {**inner, "additionalProperties": False} if "required" in schema and "additionalProperties" not in schema else inner
    return [strict(each) for each in schema] if isinstance(schema, list) else schema


def test_the_schema_is_one(schema: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["version"]["const"] == VERSION


def test_a_whole_run(run: list[Event], schema: Any, tmp_path: Path) -> None:
    writer = JsonReport()
    writer.start(tmp_path)
    for event in run:
        writer.handle(event, "main")
    (file,) = writer.finish()
    content = json.loads(file.read_text())

    assert file == tmp_path / "report.json"
    jsonschema.validate(content, strict(schema), cls=jsonschema.Draft202012Validator)
    assert content["run"] == {"id": "0123456789ab", "started": 0.5, "ended": 3.0, "processes": ["main"]}
    (experiment,) = content["experiments"]
    assert experiment["injections"][0]["gone_at"] == 1.5
    assert experiment["verdicts"][0]["figures"] == {"n": 100}
    assert [window["p95"] for window in experiment["windows"]] == [0.01, 0.02]


def test_a_run_that_was_cut_short(schema: Any) -> None:
    proven = InjectionProven(
        at=2, experiment="a", number=1, fault="abort 503", edge="a -> b", side="callee", reason="", callers=(), in_force_ms=1.0
    )
    content = report(Story.of(("main", event) for event in (ExperimentStarted(at=1, experiment="a"), proven)))

    jsonschema.validate(content, strict(schema), cls=jsonschema.Draft202012Validator)
    assert content["experiments"][0]["outcome"] == "interrupted"
    assert content["experiments"][0]["injections"][0]["gone_at"] is None


def test_latencies_that_never_came_are_null(told: Callable[..., list[Event]], schema: Any) -> None:
    content = report(Story.of(("main", event) for event in told(p95=float("inf"))))

    jsonschema.validate(content, strict(schema), cls=jsonschema.Draft202012Validator)
    assert content["experiments"][0]["windows"][1]["p95"] is None
