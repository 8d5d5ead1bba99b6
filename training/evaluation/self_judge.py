"""The self-judge: how well a checkpoint judges its own sampled answers."""

from __future__ import annotations

from training.domain.metric import Metric
from training.evaluation.measure import Measure


class SelfJudge(Measure):
    """The checkpoint judges its own sampled answers; the teacher, where there is one, judges the same."""

    key = "self_judge"
    title = "Self-judge on its own answers"
    metrics = (
        Metric(
            "judge_parse_rate", "Self-judge parse rate", "", "percent", "up", "judgements", "only=unparsed",
            about="Replies of the self-judge that hold a score.", places=("models", "loop"),
        ),
        Metric(
            "judge_pairwise_accuracy", "Self-judge pairwise accuracy", "", "percent", "up", "judgements",
            about="Pairs of answers that the self-judge orders as the teacher does; ties of either are left out.",
            count=("judge_pairs", "pairs"), places=("models", "loop"),
        ),
    )  # fmt: skip
