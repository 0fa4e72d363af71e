"""Verdicts without an experiment: evidence in, verdict out, whatever it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chaos.claims.expect import expect
from chaos.model.verdict import Ledger, Verdict
from chaos.model.window import WindowEvidence
from chaos.testing.evidence import closed

Judged = Callable[..., Verdict]


@pytest.fixture
def judged() -> Judged:
    """`judged(evidence, lambda claims: claims.to_succeed())`; `edge="a -> b"` for claims on that edge."""

    def judge(
        evidence: WindowEvidence, claim: Callable[[Any], Any], *, edge: str = "", experiments: int = 1, allow_vacuous: bool = False
    ) -> Verdict:
        window = closed(evidence, Ledger(experiments=experiments))
        subject: Any = window.edge(edge) if edge else window
        verdict = claim(expect(subject, soft=True, allow_vacuous=allow_vacuous))
        assert isinstance(verdict, Verdict)
        assert window.ledger.verdicts == [verdict]
        return verdict

    return judge


def spaced(count: int, of: int) -> frozenset[int]:
    """`count` numbers spread evenly over range(of), so that they depend on nothing."""
    return frozenset((2 * i + 1) * of // (2 * count) for i in range(count))


@pytest.fixture(name="spaced")
def spaced_fixture() -> Callable[[int, int], frozenset[int]]:
    return spaced
