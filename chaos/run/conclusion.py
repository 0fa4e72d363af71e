"""Does a test that went through without a failure say anything? What an experiment still owes when its body has ended.

Asked by a front end after the body and before the undo. What the body raised is its outcome, and nothing here replaces it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.errors import ExperimentError, Inconclusive, NoClaim
from chaos.model.verdict import Ledger

if TYPE_CHECKING:
    from chaos.model.injection import InjectionRecord
    from chaos.run.experiment import Experiment


def conclude(experiment: Experiment) -> None:
    """Raises what a body that did not fail comes to: nothing if its claims held on evidence of every fault it injected.

    - ExperimentError: an `expect(x)` that no claim follows;
    - an ExceptionGroup of Violated and Inconclusive: the soft claims that did not hold;
    - NoClaim: nothing was claimed and no number was read;
    - Inconclusive: an injection that was never proven, or under which nothing was looked at.
    """
    ledger = experiment.ledger
    if ledger.unfinished:
        first = next(iter(ledger.unfinished.values()))
        raise ExperimentError(f"{first} is followed by no claim: write {first}.to_..., or leave it out")
    if soft := soft_failures(ledger):
        raise ExceptionGroup(f"{len(soft)} soft claims did not hold", soft)
    if not ledger.claims and not ledger.looked_at:
        raise NoClaim(
            "nothing was claimed and no number of a window was read: write expect(window).to_..., "
            'or assert window.latency("p95") < ...'
        )
    if missing := _unproven(experiment.history, ledger):
        raise Inconclusive(missing)


def soft_failures(ledger: Ledger) -> list[Exception]:
    """The soft claims that did not hold, as the errors they are."""
    return [error for verdict in ledger.soft if (error := verdict.error()) is not None]


def _unproven(history: list[InjectionRecord], ledger: Ledger) -> str:
    for record in history:
        if not record.proven:
            return f"{record} was never seen in force in every proxy"
    if history and "fault" not in ledger.looked_at:
        return (
            f"{history[0]} was injected, but nothing was claimed of a window under it: open one inside the block of the injection, "
            "`during = traffic.window(...)`, and claim something of it"
        )
    if history and not ledger.looked_at["fault"]:
        return f"{history[0]}: no window under it has evidence that it hit anything"
    return ""
