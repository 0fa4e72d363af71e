"""Whose fault is it? The one tree of exceptions, split by who has to act.

    ChaosError
    ├── ExperimentError          the author of the experiment: wrong value, wrong use of the API
    │   ├── InvalidValue         a value that no fault, edge, duration or share can have (also a ValueError)
    │   ├── Vacuous              a claim that could not have failed
    │   ├── NoClaim              an experiment that says nothing of what it saw
    │   └── Refused              an injection or a claim that would not show what it seems to show
    ├── ConfigurationError       files and options: chaos.yaml, manifests, command line
    │   ├── TopologyError        chaos.yaml: names file, line, key and the nearest valid spelling
    │   ├── ManifestError        Kubernetes and Istio manifests: names file, line and path inside the object
    │   └── NotAllowed           the guard: something the topology does not allow; says which line to add
    ├── EnvironmentFailure       the machine, the proxies, the applications, the cluster
    │   ├── MeshFailure          a mesh that cannot start, or whose proxy rejected or lost configuration
    │   │   └── ApiFailure       a Kubernetes API server that says no
    │   │       ├── NotFound     there is no such object, or no such kind
    │   │       ├── Conflict     somebody else was first
    │   │       └── Forbidden    no rights, or credentials that are not valid any more
    │   ├── LoadFailure          the load generator did not start, died or fell behind
    │   ├── Occupied             another run has the callee
    │   ├── LeaseLost            this run had the callee, and may only undo from now on
    │   ├── Stopped              nobody may inject there now: stop switch, istiod away, no reaper
    │   ├── Unreachable          an API server, admin port or entry that does not answer
    │   └── UndoFailed           something of ours may still be there: the loudest of all
    └── Inconclusive             not enough evidence for a verdict
        └── Aborted              a watch ended an injection while the experiment was waiting

    Violated (AssertionError)    the system under test broke a claim; not a ChaosError, so that no handler for our own
                                 errors ever swallows a finding
    PlannedUpToHere (BaseException)  a plan ends where a number would be read: no handler of a test, and no `pytest.raises`,
                                 takes it for an error

Every message names the place and the remedy. Causes are chained. Nothing below this module may be imported here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ChaosError(Exception):
    """Root of everything this project raises on purpose, but for `Violated`."""


class ExperimentError(ChaosError):
    """The author of the experiment has to change something."""


class InvalidValue(ExperimentError, ValueError):
    """A value that can never be right, found when it was written down."""


class Vacuous(ExperimentError):
    """A claim that cannot fail is not a claim; `allow_vacuous=True` overrides."""


class NoClaim(ExperimentError):
    """An experiment that neither claims anything nor reads any evidence has no outcome."""


class Refused(ExperimentError):
    """It would have run, and the result would have said nothing about what it seems to test."""


class ConfigurationError(ChaosError):
    """A file or an option has to be changed."""


class TopologyError(ConfigurationError):
    """chaos.yaml cannot be used as it stands."""


class ManifestError(ConfigurationError):
    """A Kubernetes or Istio manifest cannot be used as it stands."""


class NotAllowed(ConfigurationError):
    """The topology does not allow this; the message has the line to add."""


class EnvironmentFailure(ChaosError):
    """Neither the experiment nor the system under test: the ground they stand on."""


class MeshFailure(EnvironmentFailure):
    """The mesh did not start, or a proxy did not take or keep what it was given."""


class ApiFailure(MeshFailure):
    """A Kubernetes API server answered, and the answer was no."""


class NotFound(ApiFailure):
    """What was asked for is not there."""


class Conflict(ApiFailure):
    """It is there already, was written by somebody else meanwhile, or is somebody else's."""


class Forbidden(ApiFailure):
    """We may not; the message has the rule to add."""


class LoadFailure(EnvironmentFailure):
    """The load generator did not start, died, or could not do what was asked of it."""


class Occupied(EnvironmentFailure):
    """Another run holds the lease of a callee; the message names it."""


class LeaseLost(EnvironmentFailure):
    """A lease of ours was not renewed in time, or is gone: whoever had it may only undo."""


class Stopped(EnvironmentFailure):
    """No injection may begin, and those that are on end; the message says why and who decided it."""


class Unreachable(EnvironmentFailure):
    """Something that must answer does not."""


class UndoFailed(EnvironmentFailure):
    """An injection may still be in force. Exit status 16, above every other outcome."""


class Inconclusive(ChaosError):
    """The evidence does not carry a verdict; the message says what is missing and the next step."""


class Aborted(Inconclusive):
    """A watch ended the injection under which the experiment was waiting."""

    window: object = None
    """Where a guard claim ended it: the window that was open, cut short at that moment; its claims can still be judged."""


class Violated(AssertionError):
    """A claim does not hold."""


class PlannedUpToHere(BaseException):
    """What follows depends on what would be measured, and a plan measures nothing."""


def nearest(given: str, valid: Iterable[str]) -> str:
    """`'; did you mean "reviews"?'` for a near miss, `'; there are: a, b'` otherwise: the tail of an error message."""
    names = sorted(set(valid))
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.6)
    if close:
        return f'; did you mean "{close[0]}"?'
    return f"; there are: {', '.join(names)}" if names else "; there are none"
