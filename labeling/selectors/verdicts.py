"""The answer in force of an item: a lead's word, else the majority's decision or the median score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alignment_app.models import Response
from labeling.models import Queue, Review, Task
from training.domain.consensus import majority, median


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer in force of an item."""

    decision: str
    score: float | None
    edited: Response | None
    reason: str
    by: str
    judge: str
    person_id: int | None
    scores: tuple[float, float] | None = None


def verdict(task: Task, lines: Sequence[Review] | None = None) -> Verdict | None:
    """The answer in force, or ``None`` while there is none. ``lines``: the lines in force, where they are read."""
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
        return Verdict("score", score, None, reasons, names, f"{names}, item {task.pk}", None)
    decision = majority([review.decision for review in reviews])
    if decision is None:
        return None
    those = [review for review in reviews if review.decision == decision]
    return Verdict(
        decision,
        None,
        those[-1].edited,
        " ".join(review.reason for review in those if review.reason),
        f"{len(those)} of {len(reviews)} people",
        f"median of {len(those)} people, item {task.pk}",
        None,
        _median_scores(those),
    )


def _word_of(review: Review, by: str) -> Verdict:
    return Verdict(
        review.decision,
        review.score,
        review.edited,
        review.reason,
        by,
        review.author,
        review.person_id,
        _median_scores([review]),
    )


def _median_scores(reviews: Sequence[Review]) -> tuple[float, float] | None:
    """Of both responses, over those who scored them."""
    given = [review.scores for review in reviews if review.scores]
    if not given:
        return None
    first, second = (median([scores[side] for scores in given]) for side in ("first", "second"))
    return None if first is None or second is None else (first, second)
