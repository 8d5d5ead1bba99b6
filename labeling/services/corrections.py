"""Make data sets from reviews: scores that train a judge, and an iteration's current pairs."""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib.auth.models import User

from alignment_app.models import Dataset, Iteration
from alignment_app.selectors.work import preference_rows
from alignment_app.services.errors import Refused
from alignment_app.services.imports import import_rows
from labeling.models import Queue
from labeling.selectors import corrections
from labeling.services.access import require_lead
from training import judges


def _rows(queue: Queue) -> Iterator[dict[str, str]]:
    scores = corrections.usable(corrections.scores_of(queue))
    for _, prompt, reply in corrections.demonstrations(scores, judges.get(judges.SCORING)):
        yield {"prompt": prompt, "response": reply}


def export(queue: Queue, name: str, *, by: User) -> tuple[Dataset, int]:
    """Make a data set of demonstrations from a queue's scores, for the fine-tuning of a run.

    A row has the judge prompt as prompt, and rationale and score as response (Yuan et al., 2024, section 3.1.1).
    Scores without a reason and prompts of held-out queues are left out. Returns the data set and its number of rows.

    Raises :class:`Refused` if no score is left or the name is taken; a data set never changes once it exists.
    """
    require_lead(by)
    _check_free(name)
    if not corrections.count(corrections.scores_of(queue)).usable:
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
    """Make a data set of the iteration's current trainable pairs, with decisions made after the freeze.

    A clone of the run can train on it. Returns the data set and its number of rows. Raises :class:`Refused` if the
    name is taken.
    """
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
