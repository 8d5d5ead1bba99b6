"""Lists and details of a queue's items, for leads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Q, QuerySet

from alignment_app.models import PreferencePair
from labeling.models import Queue, Review, Task
from labeling.selectors.pair_targets import outcome_of, resolutions_on_pair, score_of, score_resolutions
from labeling.selectors.resolutions import Resolution
from training.domain.rows import NoPair

PAGE = 50
FILTERS = {
    "": "In order",
    "disagreement": "Lowest agreement first",
    "undecided": "Answered without a majority",
    "flagged": "Flagged",
    "late": "Late answers that do not count",
    "gold": "Gold",
}


#: Lists ordered by agreement, then rank. The others are ordered by rank.
BY_AGREEMENT = ("disagreement", "undecided")


@dataclass(frozen=True, slots=True)
class ItemPage:
    """A page of items. ``before`` and ``after``: positions of its first and last item, for the links of the pager."""

    rows: list[Task]
    number: int
    pages: int
    total: int
    has_previous: bool
    has_next: bool
    before: str | None = None
    after: str | None = None

    @property
    def lines(self) -> list[tuple[Task, str]]:
        """Each item with the current state of its pair; an empty string if it has no pair."""
        roots = {task.pair_id for task in self.rows} - {None}
        pairs = PreferencePair.objects.filter(
            Q(pk__in=roots) | Q(stands_for__in=roots), state__in=PreferencePair.TRAINABLE
        )
        live = {row.stands_for_id or row.pk: row.get_state_display().lower() for row in pairs}
        out = str(PreferencePair.State.EXCLUDED.label).lower()
        return [(task, live.get(task.pair_id, out) if task.pair_id else "") for task in self.rows]


def items_page(
    queue: Queue, show: str, page: str | None, *, after: str | None = None, before: str | None = None
) -> ItemPage:
    """A page of a queue's items.

    The list of all items is paged by rank. Filtered lists continue ``after`` or ``before`` a position, so that no item
    is skipped when others leave the list; ``page`` is then only the displayed number.
    """
    tasks = Task.objects.filter(queue=queue).select_related("prompt")
    wanted = int(page) if page and page.isascii() and page.isdigit() and len(page) < 9 else 1
    if show not in FILTERS or not show:
        pages = max(1, -(-queue.task_count // PAGE))
        number = min(max(wanted, 1), pages)
        start = (number - 1) * PAGE
        rows = list(tasks.filter(rank__gte=start, rank__lt=start + PAGE).order_by("rank"))
        return ItemPage(rows, number, pages, queue.task_count, number > 1, number < pages)
    return _filtered_page(
        _filtered(tasks, show), show in BY_AGREEMENT, wanted, _parse_position(after), _parse_position(before)
    )


#: Agreement (0 to 1), if any, and rank of an item.
ListPosition = tuple[float | None, int]


def _filtered_page(
    tasks: QuerySet[Task], by_agreement: bool, wanted: int, after: ListPosition | None, before: ListPosition | None
) -> ItemPage:
    total = tasks.count()
    pages = max(1, -(-total // PAGE))
    number = min(max(wanted, 1), pages)
    order = [F("agreement").asc(nulls_last=True)] if by_agreement else []
    rows: list[Task]
    if after:
        rows = list(tasks.filter(_after(after, by_agreement)).order_by(*order, "rank")[: PAGE + 1])
        has_previous, has_next = True, len(rows) > PAGE
        rows = rows[:PAGE]
    elif before:
        back = [F("agreement").desc(nulls_first=True)] if by_agreement else []
        rows = list(tasks.exclude(_at_or_after(before, by_agreement)).order_by(*back, "-rank")[: PAGE + 1])
        has_previous, has_next = len(rows) > PAGE, True
        rows = rows[:PAGE][::-1]
    else:
        start = (number - 1) * PAGE
        rows = list(tasks.order_by(*order, "rank")[start : start + PAGE])
        has_previous, has_next = number > 1, number < pages
    if not has_previous:
        number = 1
    ends = [_format_position(row, by_agreement) for row in (rows[0], rows[-1])] if rows else [None, None]
    return ItemPage(rows, number, pages, total, has_previous, has_next, ends[0], ends[1])


def _after(key: ListPosition, by_agreement: bool) -> Q:
    """Condition for items after this position."""
    agreement, rank = key
    if not by_agreement:
        return Q(rank__gt=rank)
    if agreement is None:
        return Q(agreement=None, rank__gt=rank)
    return Q(agreement__gt=agreement) | Q(agreement=agreement, rank__gt=rank) | Q(agreement=None)


def _at_or_after(key: ListPosition, by_agreement: bool) -> Q:
    """Condition for the item at this position and those after it."""
    agreement, rank = key
    return _after(key, by_agreement) | (Q(agreement=agreement, rank=rank) if by_agreement else Q(rank=rank))


def _parse_position(text: str | None) -> ListPosition | None:
    """Parse a position from the URL; ``None`` if it is invalid."""
    match = re.fullmatch(r"(\d\.\d{1,20})?_(\d{1,9})", text or "")
    return (float(match[1]) if match[1] else None, int(match[2])) if match else None


def _format_position(task: Task, by_agreement: bool) -> str:
    agreement = task.agreement if by_agreement else None
    return f"{'' if agreement is None else repr(agreement)}_{task.rank}"


def _filtered(tasks: QuerySet[Task], show: str) -> QuerySet[Task]:
    if show == "disagreement":
        return tasks.filter(agreement__isnull=False)
    if show == "undecided":
        return tasks.filter(state=Task.State.DONE, settled_by="")
    if show == "flagged":
        return tasks.filter(flagged=True)
    if show == "late":
        late = Review.objects.filter(late=True, in_force=False, reversed_by__isnull=True)
        return tasks.filter(pk__in=late.values("task")).exclude(
            reviews__in=Review.objects.filter(adjudication=True, in_force=True)
        )
    return tasks.filter(expected__isnull=False)


def history(task: Task) -> list[Review]:
    """All reviews of an item, oldest first."""
    return list(task.reviews.select_related("person", "guideline", "edited", "reverses").order_by("pk"))


@dataclass(frozen=True, slots=True)
class OtherAnswer:
    """An answer in force on the same pair or response. ``said``: its decision in terms of this item's responses."""

    item: Task
    said: str
    by: str
    by_lead: bool
    counts: bool


def answers_elsewhere(task: Task) -> list[OtherAnswer]:
    """All answers in force on the item's pair or response; empty if no other item asks about it."""
    if not task.queue.changes_pairs:
        return []
    answers = resolutions_on_pair(task.pair_id) if task.pair_id else score_resolutions(task.first_id)
    if all(item.pk == task.pk for item, _ in answers):
        return []
    return [
        OtherAnswer(one, _describe(task, one, answer), answer.by, answer.by_lead, (one, answer) == answers[-1])
        for one, answer in answers
    ]


def _describe(task: Task, item: Task, answer: Resolution) -> str:
    if task.pair_id is None:
        return f"{score_of(item, answer, task.first_id):g} points"
    outcome = outcome_of(item, answer, edited_id=0)
    if isinstance(outcome, NoPair):
        return str(Review.Decision(answer.decision).label)
    sides = {(task.first_id, task.second_id): "First response", (task.second_id, task.first_id): "Second response"}
    return sides.get((outcome.chosen_id, outcome.rejected_id), "A response of their own")


def adjudication_counts(queue: Queue) -> dict[str, int]:
    """Number of items that wait for a lead, by reason."""
    tasks = Task.objects.filter(queue=queue)
    return {
        "undecided": tasks.filter(state=Task.State.DONE, settled_by="").filter(Q(flagged=False)).count(),
        "flagged": tasks.filter(flagged=True).count(),
        "late": Review.objects.filter(queue=queue, late=True, in_force=False, reversed_by__isnull=True).count(),
    }


def next_to_adjudicate(queue: Queue, after: Task) -> Task | None:
    """The next item to adjudicate, by lowest agreement."""
    waiting: QuerySet[Task, Any] = Task.objects.filter(queue=queue).filter(
        Q(flagged=True) | Q(state=Task.State.DONE, settled_by="")
    )
    return waiting.exclude(pk=after.pk).order_by(F("agreement").asc(nulls_last=True), "rank").first()
