"""How do the test process and Locust's process speak? One JSON object per line over a socket pair.

    to the child      {"do": "start", "flow": 1, "plan": {...}, "files": {...}}    {"do": "stop", "flow": 1}
    from the child    {"did": "ready"}
                      {"did": "started", "flow": 1, "at": ns}    {"did": "refused", "flow": 1, "why": "..."}
                      {"did": "stopped", "flow": 1, "at": ns}    {"did": "failed", "flow": 1, "why": "..."}

"refused" answers a start and is the author's fault; "failed" may come at any time and is the generator's. The `at` of
"stopped" is the moment after which nothing was scheduled; the message itself comes when the last request has ended and
everything is written. The child ends when its end of the socket closes, so there is no message for that.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from chaos.load.locust.files import Files
from chaos.load.port import ClosedModel, LoadPlan, OpenModel, Requests, Script
from chaos.model.marks import FlowMark

READY: Final = "ready"
STARTED: Final = "started"
REFUSED: Final = "refused"
STOPPED: Final = "stopped"
FAILED: Final = "failed"

Message = dict[str, Any]


def start(flow: int, plan: LoadPlan, files: Files) -> Message:
    return {
        "do": "start",
        "flow": flow,
        "plan": {
            "what": _what(plan.what),
            "model": _model(plan.model),
            "timeout": plan.timeout,
            "mark": plan.mark.prefix,
        },
        "files": {"records": str(files.records), "tables": str(files.tables), "starts": str(files.starts)},
    }


def stop(flow: int) -> Message:
    return {"do": "stop", "flow": flow}


def plan_of(message: Mapping[str, Any]) -> LoadPlan:
    plan = message["plan"]
    return LoadPlan(
        what=_what_of(plan["what"]),
        model=_model_of(plan["model"]),
        timeout=plan["timeout"],
        mark=FlowMark(prefix=plan["mark"]),
    )


def files_of(message: Mapping[str, Any]) -> Files:
    return Files(**{name: Path(path) for name, path in message["files"].items()})


def _what(what: Requests | Script) -> Message:
    if isinstance(what, Script):
        return {"file": str(what.file.resolve()), "user": what.user, "host": what.host}
    return {
        "url": what.url,
        "host": what.host,
        "method": what.method,
        "headers": dict(what.headers),
        "body": None if what.body is None else base64.b64encode(what.body).decode(),
    }


def _what_of(given: Mapping[str, Any]) -> Requests | Script:
    if "file" in given:
        return Script(file=Path(given["file"]), user=given["user"], host=given["host"])
    body = given["body"]
    return Requests(
        url=given["url"],
        host=given["host"],
        method=given["method"],
        headers=given["headers"],
        body=None if body is None else base64.b64decode(body),
    )


def _model(model: OpenModel | ClosedModel) -> Message:
    if isinstance(model, ClosedModel):
        return {"users": model.users}
    return {"rate": model.rate, "arrivals": model.arrivals, "seed": model.seed}


def _model_of(given: Mapping[str, Any]) -> OpenModel | ClosedModel:
    return ClosedModel(**given) if "users" in given else OpenModel(**given)
