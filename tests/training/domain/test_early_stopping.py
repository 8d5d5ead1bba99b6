"""Decisions of early stopping."""

from __future__ import annotations

import pytest

from training.domain.early_stopping import Decision, compare_checkpoints
from training.domain.rows import Verdict

WIN: tuple[Verdict, Verdict] = ("first", "second")
LOSE: tuple[Verdict, Verdict] = ("second", "first")
TIE: tuple[Verdict, Verdict] = ("first", "first")
UNPARSED: tuple[Verdict, Verdict] = ("first", "unparsed")


@pytest.mark.parametrize(
    ("verdicts", "decision"),
    [
        ([WIN, WIN, LOSE], "go_on"),
        ([WIN, LOSE], "stop"),
        ([LOSE, LOSE, WIN], "stop"),
        ([WIN, TIE, TIE], "undecided"),
        ([UNPARSED] * 9, "undecided"),
        ([], "undecided"),
    ],
)
def test_training_continues_only_with_more_wins_than_losses(
    verdicts: list[tuple[Verdict, Verdict]], decision: Decision
) -> None:
    assert compare_checkpoints(verdicts, min_decided=2).decision == decision


def test_a_win_needs_both_orders_and_unparsed_replies_are_not_counted() -> None:
    found = compare_checkpoints([WIN, TIE, ("second", "second"), ("tie", "second"), UNPARSED, LOSE], min_decided=1)
    assert (found.wins, found.ties, found.losses, found.unparsed) == (1, 3, 1, 1)
    assert found.decided == 2
