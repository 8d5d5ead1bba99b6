"""Judges held to people: they judge what people scored blind, and a run may pause where they part from people."""

from __future__ import annotations

from typing import Final

from alignment_app import human_feedback
from alignment_app.models import Checkpoint, Judgement, StageAttempt
from alignment_app.selectors import work as selectors
from alignment_app.services import events
from alignment_app.services.progress import Progress
from training.jobs.stage_work import Halt, StageWork

REMEDY: Final = (
    "Look at the judges of this run. Then resume to go on all the same, or clone the run and fine-tune it on people's "
    "scores (sft.corrections), or with a teacher as judge."
)


def _judges(job: StageWork, newest: int) -> list[Checkpoint]:
    """Every judge that the run has so far: people may have scored since the earlier ones were measured."""
    return list(job.run.checkpoints.filter(number__gte=1, number__lte=newest).order_by("-number"))


def missing_judgements(job: StageWork, newest: int) -> int:
    """How many judgements :func:`hold_to_people` will make."""
    responses = human_feedback.provider().blind_responses(job.run)
    missing = sum(
        len(selectors.unjudged(responses, source=Judgement.Source.SELF, judge=job.judge_row(one)))
        for one in _judges(job, newest)
    )
    if job.config.teacher.kind == "none":
        return missing
    return missing + len(selectors.unjudged(responses, source=Judgement.Source.TEACHER, judge=job.judge_row(None)))


def hold_to_people(job: StageWork, checkpoint: Checkpoint, progress: Progress) -> None:
    """Have every checkpoint so far, and the teacher, judge the held-out responses that people scored blind."""
    responses = human_feedback.provider().blind_responses(job.run)
    for one in _judges(job, checkpoint.number):
        job.judge(responses, source=Judgement.Source.SELF, checkpoint=one, progress=progress)
    if job.config.teacher.kind != "none":
        job.judge(responses, source=Judgement.Source.TEACHER, checkpoint=None, progress=progress)


def stop_on_drift(job: StageWork) -> None:
    """Raise :class:`Halt` once where the newest judge drifts for certain and more iterations would follow it.

    Somebody who resumes the run has seen the reason: the same evaluation does not stop it again.
    """
    if job.iteration.number == job.config.iterations:
        return
    drift = human_feedback.provider().drift(job.run)
    if drift is None or not drift.certain:
        return
    told = job.stage.attempts.filter(reason_code=StageAttempt.Reason.DRIFT).exists()
    if told:
        events.log(job.run.pk, "The judge drifts; the run goes on because somebody resumed it.", "warning")
        return
    raise Halt(StageAttempt.Reason.DRIFT, f"The judge drifts. {drift.sentence} {REMEDY}")
