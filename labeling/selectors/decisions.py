"""People's decisions on the rows that a model was trained on, as of the freeze of the rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce

from alignment_app.models import Checkpoint, DatasetSnapshot, Judgement
from labeling.models import Review

#: A checkpoint's page lists at most this many decisions, the oldest.
MAX_LISTED = 200
ROWS_PER_PAGE = 20  # as on the page that shows a snapshot


@dataclass(frozen=True, slots=True)
class FrozenDecision:
    """A review in force at the freeze. ``position``: index of its row in the snapshot, ``None`` if it has no row."""

    review: Review
    position: int | None

    @property
    def page(self) -> int:
        return (self.position or 0) // ROWS_PER_PAGE + 1


@dataclass(frozen=True, slots=True)
class DecisionSummary:
    """People's decisions on a training set. ``by_person``: name, counts by decision, total."""

    total: int
    people: int
    counts: list[tuple[str, int]]
    by_person: list[tuple[str, list[int], int]]
    listed: list[FrozenDecision]
    scores: list[tuple[str, int]]


def reviews_at_freeze(snapshot: DatasetSnapshot) -> QuerySet[Review]:
    """The reviews in force when the snapshot was frozen, of queues that change its pairs."""
    iteration = snapshot.iteration
    run, mixes = iteration.run, iteration.run.typed_config.training.mix_previous
    numbers = {"number__lte": iteration.number} if mixes else {"number": iteration.number}
    of_pairs = Q(task__pair__iteration__run=run) & Q(**{f"task__pair__iteration__{k}": v for k, v in numbers.items()})
    of_scores = Q(queue__kind="score", queue__iteration__run=run) & Q(
        **{f"queue__iteration__{k}": v for k, v in numbers.items()}
    )
    frozen = snapshot.created_at
    counted = Q(in_force=True) | Q(reversed_by__created_at__gt=frozen)
    return (
        Review.objects.filter(of_pairs | of_scores, counted, created_at__lte=frozen, decision__in=Review.DECISIVE)
        .filter(queue__held_out=False, task__expected__isnull=True)
        .exclude(queue__kind="comparison")
        .distinct()
        .order_by("pk")
    )


def of_checkpoint(checkpoint: Checkpoint) -> DecisionSummary | None:
    """People's decisions on the rows that a checkpoint was trained on; ``None`` if there are none."""
    snapshot = checkpoint.snapshot
    if snapshot is None:
        return None
    scores = _scores(snapshot)
    if snapshot.kind == DatasetSnapshot.Kind.SFT:
        return DecisionSummary(0, len(scores), [], [], [], scores) if scores else None
    lines = reviews_at_freeze(snapshot)
    counts = Counter(lines.values_list("author", "decision"))
    if not counts:
        return None
    labels = {value: label for value, label in Review.Decision.choices if any(value == kind for _, kind in counts)}
    names = sorted({name for name, _ in counts})
    by_person = [
        (name, [counts[name, kind] for kind in labels], sum(counts[name, kind] for kind in labels)) for name in names
    ]
    listed = list(lines.select_related("task__prompt", "task__pair")[:MAX_LISTED])
    pairs = {line.task.pair_id for line in listed} - {None}
    of_pairs = snapshot.items.annotate(root=Coalesce("pair__stands_for", "pair")).filter(root__in=pairs)
    rows: dict[int | None, int] = dict(of_pairs.values_list("root", "position"))
    return DecisionSummary(
        sum(counts.values()),
        len(names),
        [(str(label), sum(counts[name, kind] for name in names)) for kind, label in labels.items()],
        by_person,
        [FrozenDecision(line, rows.get(line.task.pair_id)) for line in listed],
        scores,
    )


def _scores(snapshot: DatasetSnapshot) -> list[tuple[str, int]]:
    """Number of scores in the snapshot by the person who gave them."""
    rows = Judgement.objects.filter(snapshot_items__snapshot=snapshot).distinct()
    names = Counter(person or name for person, name in rows.values_list("judge__person__username", "judge__name"))
    return sorted(names.items())
