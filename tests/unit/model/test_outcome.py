from __future__ import annotations

import pytest

from chaos.model.outcome import Outcome

HELD, VIOLATED, INCONCLUSIVE = Outcome.HELD, Outcome.VIOLATED, Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("outcome", "negated"), [(HELD, VIOLATED), (VIOLATED, HELD), (INCONCLUSIVE, INCONCLUSIVE)], ids=lambda outcome: outcome.value
)
def test_the_opposite_claim_swaps_what_was_shown_and_keeps_what_was_not(outcome: Outcome, negated: Outcome) -> None:
    assert outcome.negated is negated


@pytest.mark.parametrize(
    ("outcomes", "combined"),
    [
        ([HELD, HELD], HELD),
        ([HELD, INCONCLUSIVE], INCONCLUSIVE),
        ([INCONCLUSIVE, VIOLATED, HELD], VIOLATED),
        ([], INCONCLUSIVE),
    ],
    ids=["all held", "one inconclusive", "one violated", "none"],
)
def test_claims_together_are_as_bad_as_the_worst_of_them(outcomes: list[Outcome], combined: Outcome) -> None:
    assert Outcome.combined(outcomes) is combined


def test_outcomes_are_the_words_of_the_report() -> None:
    assert [str(outcome) for outcome in Outcome] == ["held", "violated", "inconclusive"]
