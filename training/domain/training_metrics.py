"""Metrics of a training: at every step (the curves), and once at the end."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from training.domain.metric import Metric

#: Progress values of every step, which are not displayed as curves.
CLOCKS: Final = (
    Metric("epoch", "Epochs"),
    Metric("seconds", "Training time", format="duration", places=("study",), group="machine",
           about="Time of the optimizer steps."),
    Metric("tokens", "Tokens", group="machine"),
)  # fmt: skip
#: Curves: values of every step, in the order of the CSV file.
CURVES: Final = (
    Metric("loss", "Loss", places=("study",), about="Not comparable between different losses."),
    Metric("chosen_reward", "Chosen reward", "β · nats", short="chosen", group="rewards",
           about="Mean β·log π/π_ref of the chosen responses."),
    Metric("rejected_reward", "Rejected reward", "β · nats", short="rejected", group="rewards",
           about="Mean β·log π/π_ref of the rejected responses."),
    Metric("margin", "Reward margin", "β · nats", group="rewards", about="Chosen reward minus rejected reward."),
    Metric("accuracy", "Reward accuracy", format="percent", group="rewards",
           about="Share of pairs whose chosen reward is higher."),
    Metric("augmented_margin", "Reward margin on augmented prompts", "β · nats", short="augmented prompts",
           group="rewards", about="Mean Δ, on p⊕x."),
    Metric("augmented_accuracy", "Reward accuracy on augmented prompts", format="percent", short="augmented prompts",
           group="rewards", about="Share of pairs with Δ > 0."),
    Metric("kl", "KL estimate", "nats per response", group="rewards",
           about="The k1 estimate of KL(π_ref ‖ π) on the pairs' responses."),
    Metric("grad_norm", "Gradient norm", about="Before clipping."),
    Metric("learning_rate", "Learning rate"),
    Metric("tokens_per_second", "Tokens per second", group="machine"),
    Metric("memory_bytes", "Memory", format="bytes", group="machine"),
)  # fmt: skip
#: The unit of the loss of fine-tuning: the mean negative log-likelihood.
FINE_TUNING_LOSS_UNIT: Final = "nats per token"
#: Values that are chosen during training.
CHOICES: Final = (Metric("lam", "λ, chosen on held-out pairs"),)

#: Statistics of measured pairs, with the names of :class:`training.domain.margins.MarginFigures`.
MARGINS: Final = (
    Metric("pairs", "Pairs"),
    Metric("accuracy", "Reward accuracy", format="percent", better="up", filter="order=low",
           about="Share of pairs whose chosen response has the higher log-ratio.",
           low="accuracy_low", high="accuracy_high"),
    Metric("augmented_accuracy", "Reward accuracy on augmented prompts", format="percent", filter="order=low",
           about="The same on p⊕x.", low="augmented_accuracy_low", high="augmented_accuracy_high"),
    Metric("margin", "Mean margin", "nats", "places2", filter="order=high",
           about="Mean difference of the log-ratios of the two responses.", low="margin_low", high="margin_high"),
    Metric("scored", "Pairs with two scores", filter="order=score"),
    Metric("pearson", "Margin–score correlation, Pearson", format="places2", better="up", filter="order=score",
           low="pearson_low", high="pearson_high"),
    Metric("spearman", "Margin–score correlation, Spearman", format="places2", better="up", filter="order=score",
           low="spearman_low", high="spearman_high"),
    Metric("kendall", "Margin–score correlation, Kendall τ-b", format="places2", better="up", filter="order=score",
           low="kendall_low", high="kendall_high"),
)  # fmt: skip
#: The sets of pairs, and their labels.
PARTS: Final = {
    "held_out": "held-out pairs",
    "evaluation": "evaluation pairs",
    "training": "training pairs",
}


def _of_part(metric: Metric, part: str) -> Metric:
    is_studied = metric.key in ("accuracy", "margin")
    return replace(
        metric,
        key=f"{part}_{metric.key}",
        label=f"{metric.label}, {PARTS[part]}",
        better="" if part == "training" and metric.key == "accuracy" else metric.better,
        rows=f"margins/{part}",
        low=metric.low and f"{part}_{metric.low}",
        high=metric.high and f"{part}_{metric.high}",
        places=("study",) if is_studied else (),
    )


PAIR_METRICS: Final = tuple(_of_part(metric, part) for part in PARTS for metric in MARGINS)
TRAINING_METRICS: Final = (*CURVES, *CHOICES, *CLOCKS)
