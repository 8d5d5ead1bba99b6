"""Head-to-head: each checkpoint's answers against the previous checkpoint's, judged in both orders."""

from __future__ import annotations

from training.domain.metric import Metric
from training.evaluation.measure import Measure


class HeadToHead(Measure):
    """The teacher compares the answers of two checkpoints in both orders (Yuan et al., 2024, section 3.1.2)."""

    key = "head_to_head"
    title = "Head-to-head against the previous checkpoint"
    needs_previous = True
    metrics = (
        Metric("n", "Prompts compared with the previous checkpoint", rows="comparisons"),
        Metric("win", "Wins", rows="comparisons", filter="outcome=win"),
        Metric("tie", "Ties", rows="comparisons", filter="outcome=tie"),
        Metric("lose", "Losses", rows="comparisons", filter="outcome=lose"),
        Metric(
            "win_rate", "Win rate against the previous checkpoint, ties as half", "", "percent", "", "comparisons",
            short="win rate", about="A win counts only where the judge says so in both orders.",
            low="win_low", high="win_high", places=("models", "lineage", "study"),
        ),
        Metric("sign_test_p", "Sign test, p", "", "p", "", "comparisons",
               about="Exact and two-sided, over the prompts that are no tie."),
    )  # fmt: skip
