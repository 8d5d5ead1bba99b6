"""Answers to held-out prompts: the evaluator's scores, and the lengths."""

from __future__ import annotations

from typing import Any

from training.config import RunConfig
from training.domain.intervals import mean_interval, paired_difference, wilson_interval
from training.domain.metric import Metric
from training.domain.metrics import mean
from training.domain.scores import comparable
from training.evaluation.measure import EVALUATOR, EvaluationContext, Measure, Requests, Responses, Rows, Sizes

PURPOSE = "evaluation"
#: Least score of a right answer, by an evaluator that knows the answers.
RIGHT = 5


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
            "score_gain", "Change of the mean score from the previous checkpoint", "points", "places2", "", "answers",
            short="score change", low="score_gain_low", high="score_gain_high", count=("score_gain_prompts", "prompts"),
            about="Paired by prompt: the difference of the scores of both checkpoints' answers, averaged.",
            places=("models",),
        ),
        Metric(
            "right_answers", "Right answers", "", "number", "up", "answers", "score=5",
            about="Held-out answers that a program grades as right: the miniature's oracle, or a verifier whose checks "
            "all passed.", low="right_answers_low", high="right_answers_high", count=("scored", "answers"),
            places=("models", "study"),
        ),
        Metric(
            "right_share", "Share of right answers", "", "percent", "up", "answers", "score=5", low="right_share_low",
            about="Right answers among those that were scored.", high="right_share_high",
            count=("scored", "answers"), places=("models", "study"),
        ),
        Metric("response_tokens_mean", "Mean answer length", "tokens", "places1", "", "answers", "order=long",
               low="response_tokens_low", high="response_tokens_high", places=("models",)),
        Metric("response_characters_mean", "Mean answer length", "characters", "places1", "", "answers", "order=long",
               low="response_characters_low", high="response_characters_high"),
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
        by_prompt = _scores(context, responses)
        scores = list(by_prompt.values())
        lengths = {
            "characters": [len(one.text) for one in answers],
            "tokens": [one.tokens for one in answers if one.tokens is not None],
        }
        figures: dict[str, Any] = {
            "mean_score": mean(scores),
            **_bounds("score", mean_interval(scores)),
            "scored": len(scores),
        }
        for unit, values in lengths.items():
            figures[f"response_{unit}_mean"] = mean(values)
            figures |= _bounds(f"response_{unit}", mean_interval(values))
        if context.has_previous:
            before = _scores(context, context.previous_responses(PURPOSE))
            both = [prompt for prompt in by_prompt if prompt in before]
            gain = paired_difference([before[prompt] for prompt in both], [by_prompt[prompt] for prompt in both])
            figures |= {"score_gain": gain.value, "score_gain_prompts": gain.items}
            figures |= _bounds("score_gain", (gain.low, gain.high))
        if context.config.model_of(context.config.evaluator_role).entry.knows_answers:
            right = sum(comparable(score) >= RIGHT for score in scores)
            share = wilson_interval(right, len(scores))
            figures["right_answers"] = right
            figures["right_share"] = right / len(scores) if scores else None
            figures |= _bounds("right_share", share or (None, None))
            count = (share[0] * len(scores), share[1] * len(scores)) if share else (None, None)
            figures |= _bounds("right_answers", count)
        return figures

    def cost(self, config: RunConfig, sizes: Sizes) -> list[Requests]:
        section, k = config.evaluation, config.judge_settings(config.evaluator_role).k
        length = sizes.response(section.max_new_tokens)
        return [
            Requests("student", section.count, sizes.prompt, length),
            Requests("evaluator", section.count * k, sizes.judge_prompt + length, sizes.judgement),
        ]


def _scores(context: EvaluationContext, responses: Responses) -> dict[int, float]:
    """Return the evaluator's score of each scored answer by prompt; there is one answer per prompt."""
    given = {one.response_id: one.score for one in context.judgements(responses, "evaluator")}
    return {one.prompt_id: score for one in context.answers(responses) if (score := given.get(one.id)) is not None}


def _bounds(name: str, interval: tuple[float | None, float | None]) -> dict[str, float | None]:
    return {f"{name}_low": interval[0], f"{name}_high": interval[1]}
