"""The answer in force of an item: a lead's word, else the majority's decision or the median score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from alignment_app.models import Response
from labeling.models import Queue, Review, Task
from training.domain.consensus import majority, median


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer in force of an item. ``line``: the newest line of the history that it is made of.

    ``judge``: the name of the person, or where it is ``of_several`` people, of them together on this item.
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
        judge = f"{names}, item {task.pk}"
        return Verdict("score", score, None, reasons, names, judge, None, line=_number(reviews[-1]), of_several=True)
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
        _number(those[-1]),
        reasons=_reasons(those),
        of_several=True,
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
        _number(review),
        review.adjudication,
        _reasons([review]),
    )


def _number(review: Review) -> float:
    """Its place in the history; a line that is not saved yet is the newest."""
    return inf if review.pk is None else review.pk


def _reasons(reviews: Sequence[Review]) -> tuple[str, str]:
    """Why those who scored both responses gave the first and the second what they gave."""
    given = [review.reasons for review in reviews if review.reasons]
    first, second = (" ".join(each[side] for each in given if each.get(side)) for side in ("first", "second"))
    return first, second


def _median_scores(reviews: Sequence[Review]) -> tuple[float, float] | None:
    """Of both responses, over those who scored them."""
    given = [review.scores for review in reviews if review.scores]
    if not given:
        return None
    first, second = (median([scores[side] for scores in given]) for side in ("first", "second"))
    return None if first is None or second is None else (first, second)
