"""Pausing a run whose judge drifts away from what people say."""

from __future__ import annotations

from typing import Final

from alignment_app import human_feedback
from alignment_app.models import StageAttempt
from alignment_app.services import events
from training.jobs.stage_work import Halt, StageWork

REMEDY: Final = (
    "Look at the judges of this run. Then resume to go on all the same, or clone the run and fine-tune it on people's "
    "scores (sft.corrections), or with a teacher as judge."
)


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
