"""Judge–human agreement: the run's judges score the held-out responses that people scored blind."""

from __future__ import annotations

from typing import Any, Final

from training.config import RunConfig
from training.domain.agreement import IntervalEstimate
from training.domain.calibration import Calibration
from training.domain.metric import Metric
from training.evaluation.measure import EVALUATOR, TEACHER, EvaluationContext, JudgeRef, Measure, Requests, Rows, Sizes

PREFIX: Final = "human_"
#: Statistics of :class:`training.domain.calibration.Calibration`, by their names with :data:`PREFIX`.
AGREEMENT_METRICS: Final = (
    Metric("human_pairwise", "Judge–human agreement, pairwise accuracy", "", "places2", "up",
           short="Pairwise accuracy", limits=(0.0, 1.0), places=("run_judges",),
           about="Share of pairs of responses to one prompt that the judge orders as people do; a tie counts half."),
    Metric("human_kappa", "Judge–human agreement, quadratic κ", "", "places2", "up", short="Quadratic κ",
           limits=(-1.0, 1.0), places=("run_judges",), about="Cohen's κ with quadratic weights, on whole points."),
    Metric("human_spearman", "Judge–human agreement, Spearman correlation", "", "places2", "up", short="Spearman",
           limits=(-1.0, 1.0), about="Rank correlation of the judge's and people's scores."),
    Metric("human_absolute_error", "Absolute error of the judge", "points", "places2", short="Absolute error",
           limits=(0.0, 5.0), about="Mean absolute difference of the judge's and people's scores."),
    Metric("human_mean_error", "Mean error of the judge", "points", "places2", short="Mean error",
           limits=(-5.0, 5.0), about="The judge's score minus people's; positive if the judge scores higher."),
)  # fmt: skip


def estimate_of(metric: Metric, calibration: Calibration) -> IntervalEstimate:
    """Return the estimate of one of :data:`AGREEMENT_METRICS` with its interval."""
    found: IntervalEstimate = getattr(calibration, metric.key.removeprefix(PREFIX))
    return found


class HumanAgreement(Measure):
    """All checkpoints so far, teacher and evaluator judge the responses that people scored without seeing a judgement.

    People may score at any time, so :data:`AGREEMENT_METRICS` are not stored with an evaluation: the page of a run's
    judges computes them from the current scores and judgements. This measure makes the judgements.
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
            context.judge(responses, judge, required=False)

    def figures(self, context: EvaluationContext) -> dict[str, Any]:
        return {}

    def cost(self, config: RunConfig, sizes: Sizes) -> list[Requests]:
        """Return no requests: the number of human scores is unknown before the run."""
        return []


def _judges(context: EvaluationContext) -> list[JudgeRef]:
    config = context.config
    judges = [*context.self_judges, *([TEACHER] if config.teacher.exists else [])]
    has_own_evaluator = config.has_evaluator and config.evaluator_role == "evaluator"
    return [*judges, EVALUATOR] if has_own_evaluator else judges
