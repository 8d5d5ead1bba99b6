"""JudgeRef–human agreement: the run's judges judge the held-out responses that people scored blind."""

from __future__ import annotations

from typing import Any

from training.config import RunConfig
from training.evaluation.measure import TEACHER, EvaluationContext, JudgeRef, Measure, Requests, Rows, Sizes


class HumanAgreement(Measure):
    """Every checkpoint so far and the teacher judge what people scored before any judge was shown.

    People may score at any time, so its figures are not those of one evaluation: the page of a run's judges computes
    them from all scores and judgements that there are, and the judgements made here are the rows behind them.
    """

    key = "human_agreement"
    title = "JudgeRef–human agreement"
    metrics = ()
    datasets = ()

    def is_enabled(self, config: RunConfig) -> bool:
        return config.evaluation.held_to_people

    def rows(self, context: EvaluationContext) -> Rows:
        responses = context.scored_blind()
        return Rows(0, sum(context.unjudged(responses, judge) for judge in _judges(context)))

    def run(self, context: EvaluationContext) -> None:
        responses = context.scored_blind()
        for judge in _judges(context):
            context.judge(responses, judge)

    def figures(self, context: EvaluationContext) -> dict[str, Any]:
        return {}

    def cost(self, config: RunConfig, sizes: Sizes) -> list[Requests]:
        """Nothing: how many responses people will have scored is not known before the run."""
        return []


def _judges(context: EvaluationContext) -> list[JudgeRef]:
    return [*context.self_judges, *([TEACHER] if context.config.teacher.exists else [])]
