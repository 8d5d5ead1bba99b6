"""Answers to held-out prompts: the evaluator's scores, and the lengths."""

from __future__ import annotations

from typing import Any

from training.config import RunConfig
from training.domain.metric import Metric
from training.domain.metrics import mean, mean_interval
from training.evaluation.measure import EVALUATOR, EvaluationContext, Measure, Requests, Rows, Sizes

PURPOSE = "evaluation"


class Answers(Measure):
    """One answer per held-out prompt, scored by the evaluator if there is one."""

    key = "answers"
    title = "Answers to held-out prompts"
    metrics = (
        Metric(
            "mean_score", "Mean score", "0 to 5", "places2", "up", "answers", short="score",
            about="Mean score by the evaluation's judge, with a bootstrap interval over prompts.",
            low="score_low", high="score_high", places=("models", "lineage", "study"),
        ),
        Metric(
            "right_answers", "Right answers", "", "number", "up", "answers", "score=5",
            about="Held-out answers that the miniature's oracle grades as right.", places=("models", "study"),
        ),
        Metric("response_tokens_mean", "Mean answer length", "tokens", "places1", "", "answers", "order=long",
               places=("models",)),
        Metric("response_characters_mean", "Mean answer length", "characters", "places1", "", "answers", "order=long"),
    )  # fmt: skip

    def rows(self, context: EvaluationContext) -> Rows:
        responses = context.responses(PURPOSE)
        done = responses.count() + len(context.judgements(responses, "evaluator"))
        return Rows(done, len(context.prompts) * (1 + context.config.has_evaluator))

    def run(self, context: EvaluationContext) -> None:
        context.generate(context.prompts, purpose=PURPOSE, n=1, sampling=context.config.evaluation)
        if context.config.has_evaluator:
            context.judge(context.responses(PURPOSE), EVALUATOR)

    def figures(self, context: EvaluationContext) -> dict[str, Any]:
        responses = context.responses(PURPOSE)
        answers = context.answers(responses)
        given = {one.response_id: one.score for one in context.judgements(responses, "evaluator")}
        scores = [score for one in answers if (score := given.get(one.id)) is not None]
        low, high = mean_interval(scores)
        figures: dict[str, Any] = {
            "mean_score": context.mean_score(responses, "evaluator"),
            "score_low": low,
            "score_high": high,
            "scored": len(scores),
            "response_characters_mean": mean([len(one.text) for one in answers]),
            "response_tokens_mean": mean([one.tokens for one in answers if one.tokens is not None]),
        }
        if context.config.model_of(context.config.evaluator_role).entry.knows_answers:
            figures["right_answers"] = sum(score >= 5 for score in scores)
        return figures

    def cost(self, config: RunConfig, sizes: Sizes) -> list[Requests]:
        section, k = config.evaluation, config.judge_settings(config.evaluator_role).k
        length = sizes.response(section.max_new_tokens)
        return [
            Requests("student", section.count, sizes.prompt, length),
            Requests("evaluator", section.count * k, sizes.judge_prompt + length, sizes.judgement),
        ]
