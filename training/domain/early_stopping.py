"""When a training stops: a checkpoint no longer wins against the one before (001 section 3.1.3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from training.domain.metrics import both_orders_outcome
from training.domain.rows import Verdict

Decision = Literal["first", "go_on", "undecided", "stop"]


@dataclass(frozen=True, slots=True)
class CheckpointComparison:
    """A checkpoint against the one before, over validation prompts asked in both orders, and what follows.

    ``unparsed`` prompts, where a reply held no verdict, are neither won, tied nor lost.
    """

    wins: int
    ties: int
    losses: int
    unparsed: int
    decision: Decision

    @property
    def decided(self) -> int:
        """Prompts that one side won in both orders."""
        return self.wins + self.losses


FIRST_CHECKPOINT = CheckpointComparison(0, 0, 0, 0, "first")


def compare_checkpoints(verdicts: Iterable[tuple[Verdict, Verdict]], *, min_decided: int) -> CheckpointComparison:
    """What the verdicts (newer one asked first, newer one asked second) say of the newer checkpoint.

    It goes on where the newer one won more prompts than it lost, and stops where it did not: as many losses as wins is
    no longer a win. With fewer than ``min_decided`` prompts won or lost the comparison says nothing, and it goes on.
    """
    counts = {"win": 0, "tie": 0, "lose": 0}
    unparsed = 0
    for first, second in verdicts:
        if "unparsed" in (first, second):
            unparsed += 1
        else:
            counts[both_orders_outcome(first, second)] += 1
    wins, losses = counts["win"], counts["lose"]
    decision: Decision = "undecided" if wins + losses < min_decided else "go_on" if wins > losses else "stop"
    return CheckpointComparison(wins, counts["tie"], losses, unparsed, decision)
