"""Pause a run whose judge drifts away from people's scores."""

from __future__ import annotations

from typing import Final

from alignment_app import human_feedback
from alignment_app.models import StageAttempt
from alignment_app.services import events
from training.jobs.stage_work import Halt, StageWork

REMEDY: Final = (
    "Look at the judges of this run. Then resume it, or clone the run and fine-tune it on people's "
    "scores (sft.corrections), or with a teacher as judge."
)


def stop_on_drift(job: StageWork) -> None:
    """Raise :class:`Halt` if the newest judge drifts significantly and more iterations follow.

    Each evaluation halts the run at most once: a person who resumes it has seen the reason.
    """
    if job.iteration.number == job.config.iterations:
        return
    drift = human_feedback.provider().drift(job.run)
    if drift is None or not drift.certain:
        return
    has_halted = job.stage.attempts.filter(reason_code=StageAttempt.Reason.DRIFT).exists()
    if has_halted:
        events.log(job.run.pk, "The judge drifts; the run continues because it was resumed.", "warning")
        return
    raise Halt(StageAttempt.Reason.DRIFT, f"The judge drifts. {drift.sentence} {REMEDY}")
