"""Ranking agreement: how well a checkpoint orders held-out responses that people ranked."""

from __future__ import annotations

from typing import Any

from training.config import RunConfig
from training.domain.metric import Metric
from training.domain.ranking import accuracy_change, ranking_agreement
from training.evaluation.measure import EvaluationContext, Measure, Requests, Rows, Sizes

PREFIX = "ranking_"
ROWS, FILTER = "judgements", "on=rankings"


class RankingAgreement(Measure):
    """Agreement with people's rankings on responses held out of the EFT rows (Yuan et al., 2024, table 4)."""

    key = "ranking_agreement"
    title = "Self-judge on people's rankings"
    datasets = ("eft.dataset",)
    metrics = (
        Metric(
            "ranking_parse_rate", "Responses of people's rankings that the self-judge scores", "", "percent", "up",
            ROWS, FILTER, short="Responses with a score", ratio=("ranking_scored", "ranking_responses"),
            low="ranking_parse_rate_low", high="ranking_parse_rate_high",
        ),
        Metric(
            "ranking_accuracy", "Self-judge pairwise accuracy on people's rankings, ties as half", "", "percent", "up",
            ROWS, FILTER, short="Pairwise accuracy, ties as half", low="ranking_accuracy_low",
            high="ranking_accuracy_high", count=("ranking_pairs", "pairs"), places=("models",),
        ),
        Metric(
            "ranking_untied_accuracy", "Self-judge pairwise accuracy on people's rankings, without ties", "", "percent",
            "up", ROWS, FILTER, short="Pairwise accuracy, without ties", low="ranking_untied_accuracy_low",
            high="ranking_untied_accuracy_high", count=("ranking_untied_pairs", "pairs"),
        ),
        Metric(
            "ranking_five_best_untied", "Responses scored 5 that people rank first", "", "percent", "up", ROWS, FILTER,
            short="5-best", about="Without prompts whose responses people tie throughout.",
            low="ranking_five_best_untied_low", high="ranking_five_best_untied_high",
            count=("ranking_fives_untied", "responses"),
        ),
        Metric(
            "ranking_five_best", "Responses scored 5 that people rank first, all prompts", "", "percent", "up", ROWS,
            FILTER, short="5-best, all prompts", about="The convention of Yuan et al. (2024).",
            low="ranking_five_best_low", high="ranking_five_best_high", count=("ranking_fives", "responses"),
        ),
        Metric(
            "ranking_exact", "Exact match of the self-judge with people's rankings", "", "percent", "up", ROWS, FILTER,
            short="Exact match", low="ranking_exact_low", high="ranking_exact_high",
            count=("ranking_prompts", "prompts"),
        ),
        Metric("ranking_spearman", "Correlation of the self-judge with people's rankings, Spearman", "", "places2",
               "up", ROWS, FILTER, short="Spearman correlation", low="ranking_spearman_low",
               high="ranking_spearman_high"),
        Metric("ranking_kendall", "Correlation of the self-judge with people's rankings, Kendall τ", "", "places2",
               "up", ROWS, FILTER, short="Kendall τ", low="ranking_kendall_low", high="ranking_kendall_high"),
    )  # fmt: skip

    def is_enabled(self, config: RunConfig) -> bool:
        return config.eft.enabled and config.evaluation.self_judge

    def rows(self, context: EvaluationContext) -> Rows:
        return Rows(0, context.unjudged_rankings())

    def run(self, context: EvaluationContext) -> None:
        context.judge_rankings()

    def figures(self, context: EvaluationContext) -> dict[str, Any]:
        """Return the agreement and its gain over the model before EFT; empty if no ranking is held out."""
        after, before = context.rankings(before=False), context.rankings(before=True)
        if not after:
            return {}
        common = [prompt for prompt in after if prompt in before]
        gain = accuracy_change([before[prompt] for prompt in common], [after[prompt] for prompt in common])
        agreement = ranking_agreement(after.values()).as_data() | {
            "gain": gain.value,
            "gain_low": gain.low,
            "gain_high": gain.high,
        }
        return {f"{PREFIX}{name}": value for name, value in agreement.items()}

    def cost(self, config: RunConfig, sizes: Sizes) -> list[Requests]:
        prompt = sizes.judge_prompt + sizes.response(config.evaluation.max_new_tokens)
        count = sizes.held_out_rankings(config.evaluation.self_judge_prompts)
        return [Requests("student", count * config.eft.k, prompt, sizes.judgement, per_prompt=config.eft.k)]
