"""Rows that a stage left out, because a model refused their prompts: count them, name them, and store the outcomes."""

from __future__ import annotations

from collections import Counter
from typing import Final

from alignment_app.models import IterationPrompt
from alignment_app.services import events, rows
from training.jobs.stage_work import StageWork
from training.plan.spec import ModelStageData, StageData

#: Roles of the prompts of stages that do not work on the iteration's training prompts.
_ROLES: Final = {"evaluation": IterationPrompt.Role.EVALUATION, "training": IterationPrompt.Role.VALIDATION}
_NAMED: Final = 5


def counted(job: StageWork, result: StageData) -> StageData:
    """Return the stage's result with the number of rows left out by cause, after logging and storing the causes."""
    if not job.left_out:
        return result
    assert isinstance(result, ModelStageData), f"the result of {job.stage.kind} must count what is left out"
    role = _ROLES.get(job.stage.kind, IterationPrompt.Role.TRAIN)
    rows.leave_out(job.attempt, job.iteration, job.left_out, role)
    prompts = len({one.prompt_id for one in job.left_out})
    reasons = list(dict.fromkeys(one.refusal.reason for one in job.left_out))
    more = f" {len(reasons) - _NAMED} more have other reasons." if len(reasons) > _NAMED else ""
    title, count = job.stage.get_kind_display(), len(job.left_out)
    events.log(
        job.run.pk,
        f"{title}: {count} row{'s' if count > 1 else ''} of {prompts} prompt{'s' if prompts > 1 else ''} "
        f"{'were' if count > 1 else 'was'} left out. {' '.join(reasons[:_NAMED])}{more}",
        "warning",
    )
    return result.changed({"left_out": dict(Counter(one.refusal.code.value for one in job.left_out))})
