"""The self-judge: how well a checkpoint judges its own sampled answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from training.config import CandidatesConfig, RunConfig
from training.domain.metric import Metric
from training.domain.metrics import pairwise_accuracy, parse_rate
from training.domain.rows import PromptRow
from training.evaluation.measure import EVALUATOR, EvaluationContext, JudgeSource, Measure, Requests, Rows, Sizes

PURPOSE = "probe"
SOURCES: Final[tuple[JudgeSource, ...]] = ("self", "evaluator")


class SelfJudge(Measure):
    """The checkpoint judges its own sampled answers; the evaluator, if there is one, judges the same answers."""

    key = "self_judge"
    title = "Self-judge on its own answers"
    metrics = (
        Metric(
            "judge_parse_rate", "Self-judge parse rate", "", "percent", "up", "judgements", "only=unparsed",
            about="Replies of the self-judge that contain a score.", places=("models", "loop"),
        ),
        Metric(
            "judge_pairwise_accuracy", "Self-judge pairwise accuracy", "", "percent", "up", "judgements",
            about="Pairs of answers that the self-judge orders like the evaluator; ties of either are excluded.",
            count=("judge_pairs", "pairs"), places=("models", "loop"),
        ),
    )  # fmt: skip

    def is_enabled(self, config: RunConfig) -> bool:
        return config.evaluation.self_judge

    def rows(self, context: EvaluationContext) -> Rows:
        responses = context.responses(PURPOSE)
        judged = sum(len(context.judgements(responses, source)) for source in SOURCES)
        expected = len(_prompts(context)) * sampling(context.config).n
        return Rows(responses.count() + judged, expected * (2 + context.config.has_evaluator))

    def run(self, context: EvaluationContext) -> None:
        section = sampling(context.config)
        context.generate(_prompts(context), purpose=PURPOSE, n=section.n, sampling=section)
        responses = context.responses(PURPOSE)
        context.judge(responses, context.checkpoint)
        if context.config.has_evaluator:
            context.judge(responses, EVALUATOR)

    def figures(self, context: EvaluationContext) -> dict[str, Any]:
        """Return the parse rate over all replies, and the pairwise accuracy against the evaluator, without ties."""
        responses = context.responses(PURPOSE)
        judged = context.judgements(responses, "self")
        own = {one.response_id: one.score for one in judged}
        given = {one.response_id: one.score for one in context.judgements(responses, "evaluator")}
        groups: dict[int, list[int]] = {}
        for answer in context.answers(responses):
            groups.setdefault(answer.prompt_id, []).append(answer.id)
        accuracy, pairs = pairwise_accuracy(
            [[own.get(one) for one in group] for group in groups.values()],
            [[given.get(one) for one in group] for group in groups.values()],
        )
        return {
            "judge_parse_rate": parse_rate([score for one in judged for score in one.replies]),
            "judge_pairwise_accuracy": accuracy,
            "judge_pairs": pairs,
        }

    def cost(self, config: RunConfig, sizes: Sizes) -> list[Requests]:
        section, k = sampling(config), config.judging.k
        evaluator_k = config.judge_settings(config.evaluator_role).k
        samples = min(config.evaluation.self_judge_prompts, config.evaluation.count) * section.n
        length = sizes.response(section.max_new_tokens)
        prompt = sizes.judge_prompt + length
        return [
            Requests("student", samples, sizes.prompt, length),
            Requests("student", samples * k, prompt, sizes.judgement, per_prompt=k),
            Requests("evaluator", samples * evaluator_k, prompt, sizes.judgement),
        ]


def sampling(config: RunConfig) -> CandidatesConfig:
    """Return the sampling of the judged answers: that of candidates, with at least two per prompt."""
    candidates = config.candidates
    return candidates if candidates.n > 1 else candidates.model_copy(update={"n": 4})


def _prompts(context: EvaluationContext) -> Sequence[PromptRow]:
    return context.prompts[: context.config.evaluation.self_judge_prompts]
