"""Answers to held-out prompts: what the teacher scores them, and how long they are."""

from __future__ import annotations

from training.domain.metric import Metric
from training.evaluation.measure import Measure


class Answers(Measure):
    """One answer to each held-out prompt, scored by the teacher where there is one."""

    key = "answers"
    title = "Answers to held-out prompts"
    metrics = (
        Metric(
            "mean_score", "Mean score", "0 to 5", "places2", "up", "answers", short="score",
            about="Of the held-out answers, by the evaluation's judge.",
            low="score_low", high="score_high", places=("models", "lineage", "study"),
        ),
        Metric(
            "right_answers", "Right answers", "", "number", "up", "answers", "score=5",
            about="Held-out answers that the miniature's oracle calls right.", places=("models", "study"),
        ),
        Metric("response_tokens_mean", "Mean answer length", "tokens", "places1", "", "answers", "order=long",
               places=("models",)),
        Metric("response_characters_mean", "Mean answer length", "characters", "places1", "", "answers", "order=long"),
    )  # fmt: skip
