"""Items of a queue as lists and pages for a lead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.paginator import Paginator
from django.db.models import F, Q, QuerySet

from labeling.models import Queue, Review, Task
from labeling.selectors.standing import decided, score_of, scores_on, words_on
from labeling.selectors.verdicts import Verdict
from training.domain.rows import NoPair

PAGE = 50
FILTERS = {
    "": "In order",
    "disagreement": "Lowest agreement first",
    "undecided": "Answered without a majority",
    "flagged": "Flagged",
    "late": "Late answers kept aside",
    "gold": "Gold",
}


@dataclass(frozen=True, slots=True)
class ItemPage:
    """A page of items with what its pager says."""

    rows: list[Task]
    number: int
    pages: int
    total: int

    @property
    def has_previous(self) -> bool:
        return self.number > 1

    @property
    def has_next(self) -> bool:
        return self.number < self.pages


def items_page(queue: Queue, show: str, page: str | None) -> ItemPage:
    """A page of a queue's items. The whole list goes by rank, so its last page is as quick as its first."""
    found = Task.objects.filter(queue=queue).select_related("prompt", "pair")
    if show not in FILTERS or not show:
        pages = max(1, -(-queue.task_count // PAGE))
        number = min(max(int(page) if page and page.isascii() and page.isdigit() and len(page) < 9 else 1, 1), pages)
        start = (number - 1) * PAGE
        rows = list(found.filter(rank__gte=start, rank__lt=start + PAGE).order_by("rank"))
        return ItemPage(rows, number, pages, queue.task_count)
    shown = Paginator(_filtered(found, show), PAGE).get_page(page)
    return ItemPage(list(shown), shown.number, shown.paginator.num_pages, shown.paginator.count)


def _filtered(found: QuerySet[Task], show: str) -> QuerySet[Task]:
    if show == "disagreement":
        return found.filter(agreement__isnull=False).order_by("agreement", "rank")
    if show == "undecided":
        return found.filter(state=Task.State.DONE, settled_by="").order_by(F("agreement").asc(nulls_last=True), "rank")
    if show == "flagged":
        return found.filter(flagged=True).order_by("rank")
    if show == "late":
        late = Review.objects.filter(late=True, in_force=False, reversed_by__isnull=True)
        return found.filter(pk__in=late.values("task")).exclude(
            reviews__in=Review.objects.filter(adjudication=True, in_force=True)
        )
    return found.filter(expected__isnull=False).order_by("rank")


def history(task: Task) -> list[Review]:
    """Every line of an item, oldest first."""
    return list(task.reviews.select_related("person", "guideline", "edited", "reverses").order_by("pk"))


@dataclass(frozen=True, slots=True)
class Word:
    """An answer in force on what an item asks about. ``said``: what it means for this item's responses."""

    item: Task
    said: str
    by: str
    by_lead: bool
    counts: bool


def elsewhere(task: Task) -> list[Word]:
    """Every answer in force on the item's pair, or on its response; empty where no other queue asks about the same."""
    if not task.queue.changes_pairs:
        return []
    words = words_on(task.pair_id) if task.pair_id else scores_on(task.first_id)
    if all(item.pk == task.pk for item, _ in words):
        return []
    return [Word(one, _said(task, one, word), word.by, word.by_lead, (one, word) == words[-1]) for one, word in words]


def _said(task: Task, item: Task, word: Verdict) -> str:
    if task.pair_id is None:
        return f"{score_of(item, word, task.first_id):g} points"
    outcome = decided(item, word, edited_id=0)
    if isinstance(outcome, NoPair):
        return str(Review.Decision(word.decision).label)
    sides = {(task.first_id, task.second_id): "First response", (task.second_id, task.first_id): "Second response"}
    return sides.get((outcome.chosen_id, outcome.rejected_id), "A response of their own")


def waits_for_a_lead(queue: Queue) -> dict[str, int]:
    """How many items a lead should look at, by reason."""
    tasks = Task.objects.filter(queue=queue)
    return {
        "undecided": tasks.filter(state=Task.State.DONE, settled_by="").filter(Q(flagged=False)).count(),
        "flagged": tasks.filter(flagged=True).count(),
        "late": Review.objects.filter(queue=queue, late=True, in_force=False, reversed_by__isnull=True).count(),
    }


def next_to_adjudicate(queue: Queue, after: Task) -> Task | None:
    """The next item that waits for a lead's word: lowest agreement first."""
    waiting: QuerySet[Task, Any] = Task.objects.filter(queue=queue).filter(
        Q(flagged=True) | Q(state=Task.State.DONE, settled_by="")
    )
    return waiting.exclude(pk=after.pk).order_by(F("agreement").asc(nulls_last=True), "rank").first()
