"""Early stopping: stop when a checkpoint no longer beats the previous one (Yuan et al., 2024, section 3.1.3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from training.domain.metrics import both_orders_outcome
from training.domain.rows import Verdict

Decision = Literal["first", "go_on", "undecided", "stop"]


@dataclass(frozen=True, slots=True)
class CheckpointComparison:
    """Counts of a checkpoint against the previous one on validation prompts, and the decision.

    Each prompt is judged in both orders. A prompt with an unparsed reply counts as ``unparsed`` only.
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
    """Decide whether training continues.

    Args:
        verdicts: (verdict with the newer checkpoint first, verdict with it second) for each prompt.
        min_decided: with fewer wins and losses together, the decision is "undecided" and training continues.

    Training continues if the newer checkpoint has more wins than losses, and stops otherwise.
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
