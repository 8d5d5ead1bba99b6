"""Answers to items, and their validation by the rules of a queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from alignment_app.services.errors import Refused
from labeling.models import Queue, Review, Task

MAX_CHARACTERS: Final = 100_000
PAIR_DECISIONS: Final = ("confirm", "flip", "tie", "both_bad", "edit", "flag")
COMPARISON_DECISIONS: Final = ("first", "second", "tie", "both_bad", "flag")


@dataclass(frozen=True, slots=True)
class Answer:
    """A person's answer to an item.

    ``preferred``: id of the better response, which :func:`read_answer` turns into a decision. ``scores`` (0 to 5) and
    their ``reasons`` of a pair have response ids as keys before :func:`read_answer`, "first" and "second" after it.
    """

    decision: str = ""
    preferred: int | None = None
    score: float | None = None
    text: str = ""
    reason: str = ""
    scores: dict[str, float] | None = None
    reasons: dict[str, str] | None = None

    def as_json(self) -> dict[str, Any]:
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) not in ("", None)}


def read_answer(queue: Queue, task: Task, answer: Answer) -> Answer:
    """Validate an answer and return it with an explicit decision.

    Raises :class:`Refused` (400) if the queue does not accept it.
    """
    for name in ("text", "reason"):
        if len(getattr(answer, name)) > MAX_CHARACTERS:
            raise Refused(
                "too-long", f"The {name} is longer than {MAX_CHARACTERS:,} characters. Shorten it.", status=400
            )
    if queue.kind == Queue.Kind.SCORE:
        return _read_score(queue, answer)
    allowed = PAIR_DECISIONS if queue.kind == Queue.Kind.PAIR else COMPARISON_DECISIONS
    decision = answer.decision
    if answer.preferred is not None and decision in ("", "edit"):
        if answer.preferred not in (task.first_id, task.second_id):
            raise Refused("unknown-response", "The preferred response is not of this item. Reload it.", status=400)
        on_first = answer.preferred == task.first_id
        if queue.kind == Queue.Kind.COMPARISON:
            decision = "first" if on_first else "second"
        elif not decision:
            decision = "confirm" if on_first else "flip"
    if decision not in allowed:
        raise Refused(
            "unknown-decision",
            f"There is no decision {decision!r} here. Choose one of {', '.join(allowed)}.",
            status=400,
        )
    if decision == "edit" and not answer.text.strip():
        raise Refused("empty-edit", "The edited response is empty. Write it, or choose another decision.", status=400)
    scores = _read_scores(queue, task, decision, answer)
    reasons = _read_reasons(task, answer)
    if reasons and not scores and decision != "flag":
        raise Refused(
            "bad-score", "A reason for a score needs the scores. Score both responses, or say it at Why.", status=400
        )
    return Answer(decision, answer.preferred, None, answer.text, answer.reason, scores, reasons)


def _read_scores(queue: Queue, task: Task, decision: str, answer: Answer) -> dict[str, float] | None:
    """Validate the scores of both responses of a pair; ``None`` if the person gave none.

    Unequal scores must agree with the preference. Equal scores are allowed beside a preference, as in HelpSteer2.
    """
    if not answer.scores or decision == "flag":
        return None
    if not queue.with_scores:
        raise Refused("no-scores", "This queue does not ask for scores of pairs. Leave them out.", status=400)
    if set(answer.scores) != {str(task.first_id), str(task.second_id)}:
        raise Refused("bad-score", "Score both responses of this item, or neither.", status=400)
    first, second = (_checked_score(queue, answer.scores[str(pk)]) for pk in (task.first_id, task.second_id))
    preference_margin = {"confirm": first - second, "flip": second - first}.get(decision, 0.0)
    if preference_margin < 0:
        raise Refused("scores-contradict", "The response that you prefer has your lower score. Change one of them.",
                      status=400)  # fmt: skip
    return {"first": first, "second": second}


def _read_reasons(task: Task, answer: Answer) -> dict[str, str] | None:
    """The reasons for the scores of both responses; ``None`` if both are empty."""
    given = answer.reasons or {}
    if any(len(text) > MAX_CHARACTERS for text in given.values()):
        raise Refused(
            "too-long", f"A reason is longer than {MAX_CHARACTERS:,} characters. Shorten it.", status=400
        )  # fmt: skip
    first, second = (given.get(str(pk), "").strip() for pk in (task.first_id, task.second_id))
    return {"first": first, "second": second} if first or second else None


def _read_score(queue: Queue, answer: Answer) -> Answer:
    if answer.decision == "flag":
        return Answer("flag", reason=answer.reason)
    return Answer("score", None, _checked_score(queue, answer.score), "", answer.reason)


def _checked_score(queue: Queue, score: float | None) -> float:
    if score is None or not 0 <= score <= 5:
        raise Refused("bad-score", "A score is a number from 0 to 5. Choose one.", status=400)
    step = 0.5 if queue.half_points else 1.0
    if score % step:
        raise Refused("bad-score", f"This queue takes scores in steps of {step:g}. Choose one.", status=400)
    return float(score)


def draft_of(review: Review, task: Task) -> Answer:
    """Convert a review to an answer for the desk, with the preferred response instead of confirm or flip."""
    sides = {"confirm": task.first_id, "first": task.first_id, "flip": task.second_id, "second": task.second_id}
    preferred = sides.get(review.decision)
    decision = "" if preferred or review.decision in ("skip", "flag", "score") else review.decision
    scores, reasons = (by_response(task, given) for given in (review.scores, review.reasons))
    return Answer(decision, preferred, review.score, review.text, review.reason, scores, reasons)


def by_response(task: Task, given: dict[str, Any] | None) -> dict[str, Any] | None:
    """Convert the keys "first" and "second" of a review's scores or reasons to response ids."""
    return {str(task.first_id): given["first"], str(task.second_id): given["second"]} if given else None
