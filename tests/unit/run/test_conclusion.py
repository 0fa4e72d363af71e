"""What a body that went through still owes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from chaos.errors import ExperimentError, Inconclusive, NoClaim, Violated
from chaos.model.fault import delay
from chaos.model.injection import InjectionRecord
from chaos.model.outcome import Outcome
from chaos.model.verdict import Ledger, Verdict
from chaos.run.conclusion import conclude, soft_failures
from chaos.testing.evidence import injection

INJECTED = injection(delay("2s"), "a -> b")


@dataclass
class Body:
    """As much of an experiment as is asked."""

    ledger: Ledger = field(default_factory=Ledger)
    history: list[InjectionRecord] = field(default_factory=list)


def verdict(outcome: Outcome) -> Verdict:
    return Verdict(claim="to_succeed()", subject="window 1", outcome=outcome, summary="as it was")


def looked(**kinds: bool) -> Ledger:
    return Ledger(claims=1, looked_at=kinds)


@pytest.mark.parametrize(
    "body",
    [
        Body(looked(steady=True)),
        Body(Ledger(looked_at={"steady": True})),
        Body(Ledger(claims=1)),
        Body(looked(fault=True, recovery=True), [INJECTED]),
    ],
    ids=["claimed", "read", "claimed of what is not looked at", "injected and looked at"],
)
def test_owes_nothing(body: Body) -> None:
    conclude(body)  # type: ignore[arg-type]


def test_a_claim_that_was_begun() -> None:
    ledger = looked(steady=True)
    ledger.unfinished[7] = "expect(window 1)"

    with pytest.raises(ExperimentError, match=r"^expect\(window 1\) is followed by no claim: write expect\(window 1\)\.to_"):
        conclude(Body(ledger))  # type: ignore[arg-type]


def test_soft_claims_come_together() -> None:
    ledger = looked(steady=True)
    for outcome in (Outcome.VIOLATED, Outcome.HELD, Outcome.INCONCLUSIVE):
        ledger.settle(verdict(outcome), soft=True)

    with pytest.raises(ExceptionGroup, match="2 soft claims did not hold") as raised:
        conclude(Body(ledger))  # type: ignore[arg-type]
    assert (
        [type(each) for each in raised.value.exceptions]
        == [type(each) for each in soft_failures(ledger)]
        == [Violated, Inconclusive]
    )


def test_nothing_at_all() -> None:
    with pytest.raises(NoClaim):
        conclude(Body())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ledger", "record", "says"),
    [
        (looked(steady=True), replace(INJECTED, proven=0), "was never seen in force"),
        (looked(steady=True, recovery=True), INJECTED, "nothing was claimed of a window under it"),
        (looked(fault=False), INJECTED, "no window under it has evidence that it hit anything"),
    ],
)
def test_a_fault_nobody_can_say_anything_of(ledger: Ledger, record: InjectionRecord, says: str) -> None:
    with pytest.raises(Inconclusive, match=says):
        conclude(Body(ledger, [record]))  # type: ignore[arg-type]
