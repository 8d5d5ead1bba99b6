"""The self-judge: how well a checkpoint judges its own sampled answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from training.config import CandidatesConfig, RunConfig
from training.domain.intervals import share_interval
from training.domain.metric import Metric
from training.domain.ranking import ranking_agreement
from training.domain.rows import PromptRow
from training.evaluation.measure import EVALUATOR, EvaluationContext, JudgeSource, Measure, Requests, Rows, Sizes

PURPOSE = "probe"
#: Statistics of :class:`training.domain.ranking.RankAgreement` are stored by their names with this prefix.
PREFIX = "self_judge_"
SOURCES: Final[tuple[JudgeSource, ...]] = ("self", "evaluator")


class SelfJudge(Measure):
    """The checkpoint judges its own sampled answers; the evaluator, if there is one, judges the same answers."""

    key = "self_judge"
    title = "Self-judge on its own answers"
    metrics = (
        Metric(
            "judge_parse_rate", "Self-judge parse rate", "", "percent", "up", "judgements", "only=unparsed",
            about="Replies of the self-judge that contain a score.", low="judge_parse_rate_low",
            high="judge_parse_rate_high", places=("models", "loop"),
        ),
        Metric(
            "self_judge_accuracy", "Self-judge pairwise accuracy, ties as half", "", "percent", "up", "judgements",
            about="Pairs of answers to one prompt that the self-judge orders like the evaluator. A tie of its own "
            "counts as half; pairs that the evaluator ties are left out.", low="self_judge_accuracy_low",
            high="self_judge_accuracy_high", count=("self_judge_pairs", "pairs"), places=("models", "loop"),
        ),
        Metric(
            "judge_pairwise_accuracy", "Self-judge pairwise accuracy, without ties", "", "percent", "up", "judgements",
            about="The same over pairs that neither ties.", low="self_judge_untied_accuracy_low",
            high="self_judge_untied_accuracy_high", count=("judge_pairs", "pairs"), places=("models",),
        ),
        Metric(
            "self_judge_five_best_untied", "5-best of the self-judge", "", "percent", "up", "judgements",
            about="Share of the answers scored 5 by the self-judge that the evaluator scores highest of their prompt. "
            "Prompts whose answers the evaluator ties throughout are left out.", low="self_judge_five_best_untied_low",
            high="self_judge_five_best_untied_high", count=("self_judge_fives_untied", "answers"),
        ),
        Metric(
            "self_judge_five_best", "5-best of the self-judge, all prompts", "", "percent", "up", "judgements",
            about="5-best by the convention of Yuan et al. (2024): an answer to a prompt that the evaluator ties "
            "throughout is always the best.", low="self_judge_five_best_low", high="self_judge_five_best_high",
            count=("self_judge_fives", "answers"),
        ),
        Metric(
            "self_judge_exact", "Exact match of the self-judge", "", "percent", "up", "judgements",
            about="Prompts whose answers the self-judge orders exactly like the evaluator, ties included.",
            low="self_judge_exact_low", high="self_judge_exact_high", count=("self_judge_prompts", "prompts"),
        ),
        Metric("self_judge_spearman", "Spearman correlation of the self-judge and the evaluator", "", "places2", "up",
               "judgements", about="Rank correlation within a prompt, averaged over prompts.",
               low="self_judge_spearman_low", high="self_judge_spearman_high"),
        Metric("self_judge_kendall", "Kendall τ of the self-judge and the evaluator", "", "places2", "up", "judgements",
               about="Kendall's τ-b within a prompt, averaged over prompts.",
               low="self_judge_kendall_low", high="self_judge_kendall_high"),
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
        """Return the parse rate over all replies, and the ranking agreement with the evaluator; intervals over prompts.

        The rank of an answer is the order of the evaluator's scores. Answers without a score by it are left out.
        """
        responses = context.responses(PURPOSE)
        own = {one.response_id: one for one in context.judgements(responses, "self")}
        given = {one.response_id: one.score for one in context.judgements(responses, "evaluator")}
        groups: dict[int, list[int]] = {}
        for answer in context.answers(responses):
            groups.setdefault(answer.prompt_id, []).append(answer.id)
        replies = [[score for one in group if one in own for score in own[one].replies] for group in groups.values()]
        parsed = share_interval(
            [sum(score is not None for score in prompt) for prompt in replies], list(map(len, replies))
        )
        agreement = ranking_agreement(
            [
                [
                    (own[one].score if one in own else None, -score)
                    for one in group
                    if (score := given.get(one)) is not None
                ]
                for group in groups.values()
            ]
            if given
            else ()
        )
        return {
            "judge_parse_rate": parsed.value,
            "judge_parse_rate_low": parsed.low,
            "judge_parse_rate_high": parsed.high,
            "judge_pairwise_accuracy": agreement.untied_accuracy,
            "judge_pairs": agreement.untied_pairs,
            **{f"{PREFIX}{name}": value for name, value in agreement.as_data().items()},
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
