"""What people decided as data sets: scores that train a judge, and an iteration's pairs as they stand now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet

from alignment_app.models import Dataset, Iteration, Judgement
from alignment_app.selectors.work import preference_rows
from alignment_app.services.errors import Refused
from alignment_app.services.imports import import_rows
from labeling.models import Queue, Task
from labeling.services.access import require_lead
from training import judges

TEMPLATE = "additive_5"


@dataclass(frozen=True, slots=True)
class Corrections:
    """What an export would hold, and what it leaves out."""

    usable: int
    without_reason: int
    held_out: int


def _scored(queue: Queue) -> QuerySet[Task]:
    """Items whose people's score is in force."""
    return Task.objects.filter(queue=queue, judgement__source=Judgement.Source.HUMAN).order_by("rank")


def _held_out_prompts() -> Any:
    """Content of prompts in held-out queues: whatever judges are measured on is never trained on."""
    return Task.objects.filter(queue__held_out=True).values("prompt__content_hash")


def count(queue: Queue) -> Corrections:
    """What :func:`export` would take from this queue now."""
    scored = _scored(queue)
    free = scored.exclude(prompt__content_hash__in=_held_out_prompts())
    usable = free.exclude(judgement__rationale="").count()
    return Corrections(usable, free.count() - usable, scored.count() - free.count())


def _rows(queue: Queue) -> Iterator[dict[str, str]]:
    tasks = _scored(queue).exclude(judgement__rationale="").exclude(prompt__content_hash__in=_held_out_prompts())
    for task in tasks.select_related("prompt", "first", "judgement").iterator(chunk_size=500):
        assert task.judgement is not None
        yield {
            "prompt": judges.get(TEMPLATE).render(task.prompt.text, task.first.text),
            "response": f"{task.judgement.rationale.strip()}\n\nScore: {task.judgement.score:g}",
        }


def export(queue: Queue, name: str, *, by: User) -> tuple[Dataset, int]:
    """A new data set of demonstrations out of a queue's scores, to be chosen in a run's fine-tuning mix.

    A row is the judge prompt, the rationale and the score (001 section 3.1.1).

    Scores without a reason are left out, and every prompt of a held-out queue. Raises :class:`Refused` where nothing
    is left or the name is taken: a set that a run may have trained on never changes.
    """
    require_lead(by)
    _check_free(name)
    if not count(queue).usable:
        raise Refused("no-corrections", "No score with a reason is in force here. Have people say why they score.")
    report = import_rows(
        name,
        Dataset.Kind.DEMONSTRATIONS,
        _rows(queue),
        description=f"People's scores of the queue {queue.name} as rows that train a judge.",
        user=by,
    )
    return Dataset.objects.get(name=name.strip()), report.added


def _check_free(name: str) -> None:
    if Dataset.objects.filter(name=name.strip()).exists():
        raise Refused("name-taken", f"There is a data set named {name.strip()} already. Choose another name.")


def export_pairs(iteration: Iteration, name: str, *, by: User) -> tuple[Dataset, int]:
    """A new data set of the iteration's trainable pairs as they stand, so that a run can train on decisions that came
    after the freeze: a clone that takes its pairs from it. Raises :class:`Refused` as :func:`export` does."""
    require_lead(by)
    _check_free(name)
    rows = (row for row, _ in preference_rows(iteration.run_id, iteration.number, mix_previous=False))
    report = import_rows(
        name,
        Dataset.Kind.PREFERENCES,
        rows,
        description=f"Pairs of {iteration.run.name}, iteration {iteration.number}, with what people decided.",
        user=by,
    )
    return Dataset.objects.get(name=name.strip()), report.added
