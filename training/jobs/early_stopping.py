"""Early stopping: a judge compares the checkpoints of every n steps (Yuan et al., 2024, section 3.1.3).

At each comparison, training pauses with a checkpoint to resume from. Its model answers the validation prompts, and the
judge compares the answers with those of the previous checkpoint in both orders. Saved answers and verdicts are reused
after a restart.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from alignment_app.models import IterationPrompt, Judge, Response, StepCheck
from alignment_app.services import events, rows, stages, step_checks
from alignment_app.services.progress import Progress
from training.config import EarlyStoppingConfig
from training.domain.early_stopping import FIRST_CHECKPOINT, compare_checkpoints
from training.domain.rows import ComparisonItem, LeftOut, PromptRow, ResponseRow, Verdict
from training.jobs.stage_work import CannotContinue, StageWork
from training.plan.training import StepComparing
from training.stages.comparisons import compare_responses
from training.stages.responses import ResponseRequest, generate_responses
from training.trainers import checkpoints
from training.trainers.loop import result_of
from training.trainers.results import TrainResult

Train = Callable[[int], TrainResult]
ROLE, PURPOSE = IterationPrompt.Role.VALIDATION, Response.Purpose.VALIDATION


def train_with_early_stopping(
    job: StageWork, folder: Path, stopping: EarlyStoppingConfig, train: Train
) -> tuple[TrainResult, dict[str, Any]]:
    """Train until a checkpoint no longer wins, or to the end; publish the better one at ``folder/model``.

    ``train`` trains to the given step, or to the end if that comes first. Returns the training result and the early
    stopping entry of the checkpoint's metrics.
    """
    checker = _Checker(job, stopping)
    while True:
        last = job.iteration.step_checks.order_by("step").last()
        if last and last.decision == StepCheck.Decision.STOP:
            assert last.against_step is not None
            return _publish(folder, last.against_step), _stopping_metrics(last, last.against_step)
        result = train((last.step if last else 0) + stopping.every)
        if result.finished and (last is None or result.steps == last.step):
            if last is None:
                events.log(
                    job.run.pk,
                    f"The training ended after {result.steps} steps, before a second checkpoint: early stopping had "
                    f"nothing to compare. Set training.early_stopping.every below {stopping.every}.",
                    "warning",
                )
            shutil.rmtree(folder / checkpoints.STEPS, ignore_errors=True)
            return result, _stopping_metrics(last, result.steps)
        checker.check(result, last)
        _keep_newest(folder, last, result)


def _stopping_metrics(last: StepCheck | None, published: int) -> dict[str, Any]:
    stopped_at = last.step if last and last.decision == StepCheck.Decision.STOP else None
    return {"early_stopping": {"stopped_at": stopped_at, "published_step": published}}


def _keep_newest(folder: Path, last: StepCheck | None, result: TrainResult) -> None:
    """Remove the weights of all steps but the last two; earlier ones can no longer be published."""
    kept = {checkpoints.step_folder(folder, step) for step in (last.step if last else 0, result.steps)}
    for path in (folder / checkpoints.STEPS).glob("step-*"):
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)


def _publish(folder: Path, step: int) -> TrainResult:
    """Move a step's weights to ``folder/model`` with a single rename."""
    final, kept = folder / checkpoints.MODEL, checkpoints.step_folder(folder, step)
    if kept.exists():
        shutil.rmtree(final, ignore_errors=True)
        kept.rename(final)
    summary = checkpoints.read_summary(final)
    if summary is None:
        raise CannotContinue(f"The weights of step {step} are missing from {kept}. Clone the run to train again.")
    for place in (checkpoints.STEPS, checkpoints.RESUME):
        shutil.rmtree(folder / place, ignore_errors=True)
    return result_of({**summary, "finished": True}, folder)


class _Checker:
    """Generates and compares the validation answers of one training, and decides when to stop."""

    def __init__(self, job: StageWork, stopping: EarlyStoppingConfig) -> None:
        self.job, self.stopping, self.role = job, stopping, job.config.stopping_role
        self.prompts = self._prompts()
        self.judge = (
            job.judge_row(job.start, purpose=Judge.Purpose.COMPARE)
            if self.role == "self"
            else job.judge_row(None, purpose=Judge.Purpose.COMPARE, role=self.role)
        )

    def _prompts(self) -> list[PromptRow]:
        job, name = self.job, self.stopping.dataset
        prompts = job.fixed_prompts(name, self.stopping.count, ROLE)
        if not prompts:
            raise CannotContinue(f"The data set {name!r} holds no validation prompts. Import some, then resume.")
        return prompts

    def check(self, result: TrainResult, last: StepCheck | None) -> None:
        """Generate this step's answers, compare them with the previous step's, and save the decision."""
        job, step = self.job, result.steps
        before = last.step if last else None
        self._answer(step, result.model_dir)
        finding = FIRST_CHECKPOINT
        if before is not None:
            self._compare(step, before)
            comparisons = job.iteration.step_comparisons.filter(step=step)
            verdicts = comparisons.values_list("verdict_first", "verdict_second")
            pairs = cast(list[tuple[Verdict, Verdict]], list(verdicts))
            finding = compare_checkpoints(pairs, min_decided=self.stopping.min_decided)
        job.engines.close_all()  # training needs the memory
        step_checks.decide(job.attempt, job.iteration, step=step, against=before, judge=self.judge, finding=finding)

    def _answer(self, step: int, model: Path) -> None:
        job = self.job
        answered = set(self._answers(step))
        missing = [prompt for prompt in self.prompts if prompt.id not in answered]
        if not missing:
            return
        progress = _ValidationProgress(job, step, done=len(answered), total=len(self.prompts))
        section = job.config.evaluation
        sampling = job.sampling(section)
        requests = [ResponseRequest(prompt, step, job.seed("validation", prompt.words)) for prompt in missing]
        left_out: list[LeftOut] = []
        student = job.engines.student(job.config, str(model))
        progress.save_in_batches(
            generate_responses(requests, student, sampling, left_out=left_out.append),
            lambda drafts: rows.save_responses(
                job.attempt,
                job.iteration,
                drafts,
                purpose=PURPOSE,
                author=f"M{job.start.number + 1} at step {step}",
                sampling={
                    "temperature": sampling.temperature,
                    "top_p": sampling.top_p,
                    "max_new_tokens": sampling.max_new_tokens,
                },
            ),
        )
        job.leave_out(left_out, total=len(self.prompts))

    def _answers(self, step: int) -> dict[int, ResponseRow]:
        """Return the answers of a step's model, by prompt id."""
        responses = self.job.iteration.responses.filter(purpose=PURPOSE, index=step)
        return {row.prompt_id: ResponseRow(row.pk, row.prompt_id, row.index, row.text) for row in responses}

    def _compare(self, step: int, before: int) -> None:
        job = self.job
        newer, older = self._answers(step), self._answers(before)
        done = set(job.iteration.step_comparisons.filter(step=step).values_list("prompt_id", flat=True))
        both = [prompt for prompt in self.prompts if prompt.id in newer and prompt.id in older]
        items = [
            ComparisonItem(prompt, newer[prompt.id], older[prompt.id], job.seed("validation compare", prompt.words))
            for prompt in both
            if prompt.id not in done
        ]
        if not items:
            return
        progress = _ValidationProgress(job, step, done=len(done), total=len(both), against=before)
        left_out: list[LeftOut] = []
        if self.role == "self":
            engine, sampling = job.student(job.start), job.sampling(job.config.judging)
            form = job.judge_of("evaluation.judge")
            drafts = compare_responses(items, engine, form, sampling, left_out=left_out.append)
        else:
            drafts = job.compare(items, self.role, progress, left_out=left_out.append)
        progress.save_in_batches(
            drafts, lambda batch: step_checks.save_comparisons(job.attempt, job.iteration, step, batch)
        )
        job.leave_out(left_out, total=len(both))


class _ValidationProgress(Progress):
    """Progress of a comparison, shown beside the training's progress bar, which counts steps."""

    def __init__(self, job: StageWork, step: int, *, done: int, total: int, against: int | None = None) -> None:
        self.step, self.against = step, against
        super().__init__(job.heartbeat, done=done, total=total)

    def publish(self) -> None:
        """Publish the step that is compared, and the number of rows done."""
        comparing = StepComparing(step=self.step, against=self.against, done=self.done, total=self.total)
        stages.note(self.attempt, comparing=comparing)
