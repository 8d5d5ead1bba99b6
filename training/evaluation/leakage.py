"""Leakage of the held-out prompts into the rows that a checkpoint was trained on."""

from __future__ import annotations

from typing import Any

from training.config import RunConfig
from training.domain.leakage import find_leakage
from training.domain.metric import Metric
from training.evaluation.measure import EvaluationContext, Measure, Requests, Rows, Sizes


class LeakageMeasure(Measure):
    """Compares the held-out prompts with all rows that the checkpoint and its predecessors were trained on.

    The rows are those of the frozen training sets, so prompts written by self-instruct and generated responses count.
    What the base model was trained on is not known.
    """

    key = "leakage"
    title = "Held-out prompts in the training rows"
    metrics = (
        Metric(
            "leakage_prompts", "Held-out prompts that occur in training rows", places=("models",),
            about="The same prompt, or a passage of it in a response. Their figures say little about other prompts.",
            count=("leakage_of", "prompts"),
        ),
        Metric("leakage_same", "Held-out prompts with the same words as a training prompt"),
        Metric("leakage_near", "Held-out prompts nearly the same as a training prompt",
               about="ROUGE-L of 0.7 or more."),
        Metric("leakage_passage", "Held-out prompts with a passage in a training response",
               about="13 consecutive words of the prompt or of its known answer."),
    )  # fmt: skip

    def rows(self, context: EvaluationContext) -> Rows:
        return Rows(0, 0)

    def run(self, context: EvaluationContext) -> None:
        if context.leakage() is None:
            context.save_leakage(find_leakage(context.evaluation_texts(), context.training_texts()))

    def figures(self, context: EvaluationContext) -> dict[str, Any]:
        found = context.leakage()
        if found is None:
            return {}
        return {
            "leakage_of": found.prompts,
            "leakage_prompts": found.contained,
            "leakage_same": found.same,
            "leakage_near": found.near,
            "leakage_passage": found.passage,
        }

    def cost(self, config: RunConfig, sizes: Sizes) -> list[Requests]:
        return []
