"""The row of who judges, made where it does not exist yet."""

from __future__ import annotations

from django.db import transaction

from alignment_app.models import Checkpoint, Judge, Run, StageAttempt
from alignment_app.services.stages import leased
from training.domain.judges import Judge as JudgePrompt

#: What people fill in, in place of a judge's prompt.
PEOPLE = "people"


def judge_for(
    kind: str,
    name: str,
    *,
    purpose: str = Judge.Purpose.SCORE,
    run: Run | None = None,
    checkpoint: Checkpoint | None = None,
    person_id: int | None = None,
    template: str = "",
    template_version: str = "",
) -> Judge:
    """The judge with exactly these fields, which are its identity; equal calls give the same row."""
    fields = {
        "kind": kind,
        "name": name,
        "purpose": purpose,
        "run": run,
        "checkpoint": checkpoint,
        "person_id": person_id,
        "template": template,
        "template_version": template_version,
    }
    # Several rows may have the name of people who were deleted; the first one stands for them.
    found = Judge.objects.filter(**{k: v for k, v in fields.items() if v is not None})
    found = found.filter(**{f"{k}__isnull": True for k, v in fields.items() if v is None})
    judge = found.order_by("pk").first()
    if judge is None:
        with transaction.atomic():
            judge, _ = Judge.objects.get_or_create(**fields, defaults={"label": _label(name, purpose, run, checkpoint)})
    return judge


def _label(name: str, purpose: str, run: Run | None, checkpoint: Checkpoint | None) -> str:
    if run is None:
        return name
    # A checkpoint judges candidates too; only its judging of ranked responses says so.
    what = " on rankings" if purpose == Judge.Purpose.RANKED and checkpoint else ""
    return f"{name}{what} of run {run.pk}"


def model_judge(
    attempt: StageAttempt,
    run: Run,
    prompt: JudgePrompt,
    *,
    name: str,
    checkpoint: Checkpoint | None,
    purpose: str = Judge.Purpose.SCORE,
) -> Judge:
    """A checkpoint, or without one another model of a run, with the prompt that it judges with.

    Raises :class:`alignment_app.services.errors.LeaseLost`.
    """
    with leased(attempt):
        return judge_for(
            Judge.Kind.MODEL,
            name,
            purpose=purpose,
            run=run,
            checkpoint=checkpoint,
            template=prompt.name,
            template_version=str(prompt.version),
        )


def person_judge(name: str, person_id: int | None) -> Judge:
    """A person by the name that they had when they scored; ``person_id`` is ``None`` once they are deleted."""
    return judge_for(Judge.Kind.PERSON, name[:200], person_id=person_id, template=PEOPLE)


def panel_judge(name: str) -> Judge:
    """Several people whose answers to one item are taken together."""
    return judge_for(Judge.Kind.PANEL, name[:200], template=PEOPLE)


def imported_judge(column: str) -> Judge:
    """Whoever gave the scores in a column of imported data."""
    return judge_for(Judge.Kind.IMPORTED, column)
