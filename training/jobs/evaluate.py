"""The evaluation job: run every measure that the config enables on a checkpoint."""

from __future__ import annotations

from alignment_app.models import IterationPrompt, Judge, Response
from alignment_app.selectors import work as selectors
from alignment_app.services import rows
from training.domain.rows import PromptRow
from training.evaluation.measure import EvaluationContext
from training.evaluation.registry import MEASURES
from training.jobs.drift import stop_on_drift
from training.jobs.evaluation_context import DatabaseContext
from training.jobs.health import evaluation_health
from training.jobs.stage_work import CannotContinue, StageWork
from training.plan.training import EvaluationResult

ROLE = IterationPrompt.Role.EVALUATION


def evaluate(job: StageWork) -> EvaluationResult:
    """Run the measures in order, save their metrics, and pause the run if its judge drifts."""
    checkpoint = selectors.checkpoint(job.run.pk, job.iteration.number + 1)
    prompts = _held_out_prompts(job)
    evaluation = rows.start_evaluation(
        job.attempt,
        checkpoint,
        against=checkpoint.parent if checkpoint.number > 1 else None,
        judge=job.judge_row(None, purpose=Judge.Purpose.COMPARE, role=job.config.evaluator_role)
        if job.config.has_evaluator
        else None,
        prompt_count=len(prompts),
    )
    database = DatabaseContext(job, checkpoint, evaluation, prompts)
    context: EvaluationContext = database
    measures = [one for one in MEASURES if not one.unmet(job.config, has_previous=context.has_previous)]
    counts = [measure.rows(context) for measure in measures]
    database.begin(sum(count.done for count in counts), sum(count.total for count in counts))
    for measure in measures:
        measure.run(context)
    figures = {key: value for measure in MEASURES for key, value in measure.figures(context).items()}
    rows.save_metrics(job.attempt, evaluation, figures)
    if job.config.evaluation.stop_on_drift:
        stop_on_drift(job)
    probes = job.iteration.responses.filter(purpose=Response.Purpose.PROBE)
    return EvaluationResult(metrics=figures, health=evaluation_health(job, evaluation, probes))


def _held_out_prompts(job: StageWork) -> list[PromptRow]:
    config = job.config.evaluation
    prompts = job.fixed_prompts(config.dataset, config.count, ROLE)
    if not prompts:
        raise CannotContinue(
            f"The data set {config.dataset!r} holds no prompts to evaluate on. Import some, then resume."
        )
    return prompts
