from __future__ import annotations

import json
from pathlib import Path

import pytest

from chaos.load.locust import wire
from chaos.load.locust.files import Files
from chaos.load.port import ClosedModel, LoadPlan, OpenModel, Requests, Script
from chaos.model.marks import FlowMark

MARK = FlowMark(prefix="0123456789ab00010002")


@pytest.mark.parametrize(
    ("what", "model"),
    [
        (Requests(url="http://127.0.0.1:1/p"), OpenModel(12.5)),
        (
            Requests(url="http://127.0.0.1:1/p", host="shop", method="POST", headers={"a": "b"}, body=b"\x00\xff"),
            OpenModel(0.1, "poisson", 7),
        ),
        (Requests(url="http://127.0.0.1:1/p", body=b""), ClosedModel(3)),
        (Script(file=Path("/tests/shop.py"), user="Shopper", host="http://entry"), ClosedModel(1)),
        (Script(file=Path("/tests/shop.py"), user=None, host="http://entry"), ClosedModel(1)),
    ],
)
def test_a_plan_arrives_as_it_was(what: Requests | Script, model: OpenModel | ClosedModel) -> None:
    plan = LoadPlan(what=what, model=model, timeout=2.5, mark=MARK)
    files = Files.of(Path("run"), 4)
    message = json.loads(json.dumps(wire.start(4, plan, files)))

    assert wire.plan_of(message) == plan
    assert wire.files_of(message) == files
    assert (message["do"], message["flow"]) == ("start", 4)


def test_a_relative_locustfile_is_named_in_full() -> None:
    plan = LoadPlan(what=Script(file=Path("shop.py"), user=None, host="x"), model=ClosedModel(1), timeout=1, mark=MARK)

    assert wire.start(1, plan, Files.of(Path("run"), 1))["plan"]["what"]["file"] == str(Path.cwd() / "shop.py")
