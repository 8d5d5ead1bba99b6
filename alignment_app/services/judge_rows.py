"""Get or create the row of a judge."""

from __future__ import annotations

from django.db import transaction

from alignment_app.models import Checkpoint, Judge, Run, StageAttempt
from alignment_app.services.stages import leased
from training.domain.judges import Judge as JudgePrompt

#: The template name of judges who use the annotation page instead of a prompt.
PEOPLE = "people"
#: The template name of verifiers, which apply the checks of the prompts.
CHECKS = "checks"


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
    """Get or create the judge with exactly these fields, which together are its identity."""
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
    # Deleted people can share a name: use the oldest row.
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
    # A checkpoint is also a judge of candidates, so only the purpose "ranked" is named.
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
    """Get or create the judge of a checkpoint, or of another model of the run, with its prompt.

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


def verifier_judge(attempt: StageAttempt, run: Run, *, name: str, purpose: str, version: str) -> Judge:
    """Get or create the judge that checks responses by a program, without a prompt.

    Raises :class:`alignment_app.services.errors.LeaseLost`.
    """
    with leased(attempt):
        return judge_for(Judge.Kind.MODEL, name, purpose=purpose, run=run, template=CHECKS, template_version=version)


def person_judge(name: str, person_id: int | None) -> Judge:
    """Get or create a person's judge, by their name at the time; ``person_id`` is ``None`` for a deleted person."""
    return judge_for(Judge.Kind.PERSON, name[:200], person_id=person_id, template=PEOPLE)


def panel_judge(name: str) -> Judge:
    """Get or create the judge for the combined answers of several people."""
    return judge_for(Judge.Kind.PANEL, name[:200], template=PEOPLE)


def imported_judge(column: str) -> Judge:
    """Get or create the judge for a score column of imported data."""
    return judge_for(Judge.Kind.IMPORTED, column)
