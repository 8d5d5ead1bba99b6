"""The answer in force of an item: a lead's adjudication, else the majority decision or the median score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from alignment_app.models import Response
from labeling.models import Queue, Review, Task
from training.domain.consensus import majority, median


@dataclass(frozen=True, slots=True)
class Resolution:
    """The answer in force of an item.

    ``line``: id of the newest review that it is computed from. ``judge``: name of the judge under which its scores are
    stored: the person, or, if ``of_several``, one name for the people who answered this item.
    """

    decision: str
    score: float | None
    edited: Response | None
    reason: str
    by: str
    judge: str
    person_id: int | None
    scores: tuple[float, float] | None = None
    line: float = 0
    by_lead: bool = False
    reasons: tuple[str, str] = ("", "")
    of_several: bool = False


def resolve_item(task: Task, lines: Sequence[Review] | None = None) -> Resolution | None:
    """Compute the answer in force from the reviews in force (``lines``, read from the database by default).

    Returns ``None`` until enough people have answered, and without a majority.
    """
    if lines is None:
        lines = list(task.reviews.filter(in_force=True).select_related("edited").order_by("id"))
    reviews = [review for review in lines if review.decision in Review.DECISIVE]
    final = next((review for review in reversed(reviews) if review.adjudication), None)
    if final:
        return _word_of(final, f"adjudicated by {final.author}")
    if not reviews or task.state != Task.State.DONE:
        return None
    if len(reviews) == 1:
        return _word_of(reviews[0], f"answered by {reviews[0].author}")
    if task.queue.kind == Queue.Kind.SCORE:
        score = median([review.score for review in reviews if review.score is not None])
        reasons = " ".join(review.reason for review in reviews if review.reason)
        names = f"median of {len(reviews)} people"
        judge = f"{names}, item {task.pk}"
        return Resolution("score", score, None, reasons, names, judge, None, line=_number(reviews[-1]), of_several=True)
    decision = majority([review.decision for review in reviews])
    if decision is None:
        return None
    those = [review for review in reviews if review.decision == decision]
    return Resolution(
        decision,
        None,
        those[-1].edited,
        " ".join(review.reason for review in those if review.reason),
        f"{len(those)} of {len(reviews)} people",
        f"median of {len(those)} people, item {task.pk}",
        None,
        _median_scores(those),
        _number(those[-1]),
        reasons=_reasons(those),
        of_several=True,
    )


def _word_of(review: Review, by: str) -> Resolution:
    return Resolution(
        review.decision,
        review.score,
        review.edited,
        review.reason,
        by,
        review.author,
        review.person_id,
        _median_scores([review]),
        _number(review),
        review.adjudication,
        _reasons([review]),
    )


def _number(review: Review) -> float:
    """The review's id; infinity for an unsaved review, which is the newest."""
    return inf if review.pk is None else review.pk


def _reasons(reviews: Sequence[Review]) -> tuple[str, str]:
    """The joined reasons for the scores of the first and of the second response."""
    given = [review.reasons for review in reviews if review.reasons]
    first, second = (" ".join(each[side] for each in given if each.get(side)) for side in ("first", "second"))
    return first, second


def _median_scores(reviews: Sequence[Review]) -> tuple[float, float] | None:
    """The median scores of the first and second response, over the people who scored them."""
    given = [review.scores for review in reviews if review.scores]
    if not given:
        return None
    first, second = (median([scores[side] for scores in given]) for side in ("first", "second"))
    return None if first is None or second is None else (first, second)
