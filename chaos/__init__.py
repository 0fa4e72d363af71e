"""Resilience tests for services on an Istio mesh: the public names, and nothing else.

They are looked up when they are first used, so that a process of ours that needs one small module (the watchdog, the load
generator) does not import all the others.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from chaos.claims.expect import expect
    from chaos.errors import Inconclusive, Violated
    from chaos.model.edge import Edge
    from chaos.model.fault import Fault, abort, delay, throttle
    from chaos.model.patience import EffectiveTimeout
    from chaos.model.window import EdgeWindow, Window
    from chaos.run.loading import locustfile
    from chaos.run.traffic import Traffic
    from chaos.run.view import ExperimentView as Experiment
    from chaos.run.view import Inject, Load
    from chaos.run.view import MeshView as Mesh

__all__ = [
    "Edge",
    "EdgeWindow",
    "EffectiveTimeout",
    "Experiment",
    "Fault",
    "Inconclusive",
    "Inject",
    "Load",
    "Mesh",
    "Traffic",
    "Violated",
    "Window",
    "abort",
    "delay",
    "expect",
    "locustfile",
    "throttle",
]

_HOMES: Final = {
    "Edge": "chaos.model.edge",
    "EdgeWindow": "chaos.model.window",
    "EffectiveTimeout": "chaos.model.patience",
    "Experiment": "chaos.run.view:ExperimentView",
    "Fault": "chaos.model.fault",
    "Inconclusive": "chaos.errors",
    "Inject": "chaos.run.view",
    "Load": "chaos.run.view",
    "Mesh": "chaos.run.view:MeshView",
    "Traffic": "chaos.run.traffic",
    "Violated": "chaos.errors",
    "Window": "chaos.model.window",
    "abort": "chaos.model.fault",
    "delay": "chaos.model.fault",
    "expect": "chaos.claims.expect",
    "locustfile": "chaos.run.loading",
    "throttle": "chaos.model.fault",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    value = globals()[name] = getattr(importlib.import_module(module), attribute or name)
    return value


def __dir__() -> list[str]:
    return __all__
