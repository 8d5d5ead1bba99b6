"""Judge–human agreement: the run's judges score the held-out responses that people scored blind."""

from __future__ import annotations

from typing import Any

from training.config import RunConfig
from training.evaluation.measure import TEACHER, EvaluationContext, JudgeRef, Measure, Requests, Rows, Sizes


class HumanAgreement(Measure):
    """All checkpoints so far and the teacher judge the responses that people scored without seeing a judgement.

    People may score at any time, so the measure has no metrics of its own: the judges page of a run computes the
    agreement from all current scores and judgements, including those saved here.
    """

    key = "human_agreement"
    title = "Judge–human agreement"
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
        """Return no requests: the number of human scores is unknown before the run."""
        return []


def _judges(context: EvaluationContext) -> list[JudgeRef]:
    return [*context.self_judges, *([TEACHER] if context.config.teacher.exists else [])]
