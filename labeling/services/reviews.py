"""Submit answers, take them back, and adjudicate. Reviews are added and never deleted.

Late answers, saved after the lease has expired: if the slot is still free, the answer counts and is marked late. If
another person has taken it, the answer is stored, has no effect until a lead adopts it, and the request fails with 409
``lease-lost``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F, Max
from django.utils import timezone

from alignment_app.models import Prompt, Response
from alignment_app.services.errors import Refused
from labeling.models import Assignment, Queue, Review, Task
from labeling.services import gates, leases
from labeling.services.access import require_lead
from labeling.services.answers import Answer, by_response, draft_of, read_answer
from labeling.services.effects import apply_resolution
from training.domain.overrides import PairChange

_DONE: Final = Assignment.State.DONE


@dataclass(frozen=True, slots=True)
class SavedReview:
    """A stored review and its change of the training set, if any."""

    review: Review
    change: PairChange | None


def submit(assignment: Assignment, answer: Answer) -> SavedReview:
    """Store an answer and apply its effects.

    The same answer sent again returns the existing review; a different one replaces the person's earlier answer.
    Raises :class:`Refused`: an invalid answer (400), or ``lease-lost`` (409), see the module.
    """
    with transaction.atomic():
        # Assignment first, then item: the same lock order as the return of expired leases.
        now, mine = timezone.now(), Assignment.objects.filter(pk=assignment.pk)
        leased = mine.filter(state=Assignment.State.LEASED)
        in_time = bool(leased.filter(lease_expires_at__gt=now).update(state=_DONE))
        holds = in_time or bool(leased.update(state=_DONE))
        task = _locked(assignment.task_id, assignment.queue)
        answer = read_answer(task.queue, task, answer)
        own = None
        if not holds and mine.filter(state=_DONE).exists():
            holds = in_time = True
            own = _own_answer(assignment)
            if own and _same(own, answer):
                return SavedReview(own, None)
        elif not holds and leases.take_slot(task.pk):
            task.free -= 1
            holds = bool(mine.update(state=_DONE))
        if own:
            Review.objects.filter(pk=own.pk).update(in_force=False)
        review = _new_review(assignment, task, answer, late=not in_time, in_force=holds)
        change = _apply_review(review, task) if holds else None
        review.save()
    if not holds:
        raise Refused(
            "lease-lost",
            "Your lease on this item expired and another person has it. Your answer is kept for a lead. Go on with "
            "the next item.",
        )
    gates.open_if_due(task.queue)
    return SavedReview(review, change)


def _locked(task_id: int, queue: Queue) -> Task:
    """The item with its pair and run, locked until the transaction ends.

    Its prompt is locked first: two queues may ask about one pair, and the second answer must see the first one.
    """
    if connection.features.has_select_for_update:
        asked = Task.objects.filter(pk=task_id).values("prompt")
        Prompt.objects.select_for_update(no_key=True).only("pk").get(pk__in=asked)
    task = Task.objects.select_for_update(of=("self",)).select_related("pair__iteration__run").get(pk=task_id)
    task.queue = queue
    return task


def _apply_review(review: Review, task: Task) -> PairChange | None:
    """Apply the answers in force, including this unsaved review, and describe the change on it. The caller saves it."""
    change = _update_item(task, [review] if review.in_force else [])
    if change and (change.kind != "same" or change.note):
        review.change = change.sentence
    return change


def _own_answer(assignment: Assignment) -> Review | None:
    own = Review.objects.filter(task=assignment.task_id, person=assignment.person_id, in_force=True, adjudication=False)
    return own.exclude(decision=Review.Decision.SKIP).first()


def _same(review: Review, answer: Answer) -> bool:
    return (review.decision, review.score, review.scores, review.reasons, review.text, review.reason) == (
        answer.decision,
        answer.score,
        answer.scores,
        answer.reasons,
        answer.text,
        answer.reason,
    )


def _new_review(assignment: Assignment, task: Task, answer: Answer, *, late: bool, in_force: bool) -> Review:
    """The answer as an unsaved review."""
    queue, now = assignment.queue, timezone.now()
    seconds = (now - assignment.shown_at).total_seconds() if assignment.shown_at else None
    first = assignment.first_answer
    return Review(
        task=task,
        queue=queue,
        person_id=assignment.person_id,
        author=assignment.person.get_username(),
        decision=answer.decision,
        score=answer.score,
        scores=answer.scores,
        reasons=answer.reasons,
        text=answer.text if answer.decision == "edit" else "",
        edited=_own_response(task, answer, assignment.person) if answer.decision == "edit" and in_force else None,
        reason=answer.reason,
        first_answer=first,
        blind=queue.blind and not assignment.prefilled,
        swapped=assignment.swapped,
        prefilled=assignment.prefilled,
        late=late,
        too_fast=seconds is not None and seconds < queue.min_seconds,
        gold_right=_gold_right(task, answer),
        seconds=seconds,
        guideline_id=queue.guidelines.order_by("-number").values_list("pk", flat=True).first(),
        in_force=in_force,
    )


def _own_response(task: Task, answer: Answer, person: User) -> Response:
    """Store the better response that a person wrote, as a response with the source human."""
    iteration = task.pair.iteration if task.pair else None
    name = person.get_username()
    same = Response.objects.filter(prompt=task.prompt_id, iteration=iteration, source=Response.Source.HUMAN)
    # Another pair of the prompt needs its own response, even with the same text.
    again = same.filter(text=answer.text, author=name, edits__task__pair=task.pair_id).first()
    if again:
        return again
    highest = same.filter(purpose=Response.Purpose.DEMONSTRATION).aggregate(top=Max("index"))["top"]
    return Response.objects.create(
        prompt_id=task.prompt_id,
        iteration=iteration,
        source=Response.Source.HUMAN,
        purpose=Response.Purpose.DEMONSTRATION,
        author=name,
        index=0 if highest is None else highest + 1,
        text=answer.text,
        finish_reason="stop",
    )


def _gold_right(task: Task, answer: Answer) -> bool | None:
    if task.expected is None or answer.decision == "flag":
        return None
    if "score" in task.expected:
        return answer.score is not None and abs(answer.score - float(task.expected["score"])) <= 0.5
    return answer.decision == task.expected.get("decision")


def _update_item(task: Task, new: list[Review]) -> PairChange | None:
    """Update the item's counters and apply the answers in force, including the unsaved reviews ``new``."""
    queue = task.queue
    was_done = task.state == Task.State.DONE
    answered = task.assignments.filter(state=_DONE).count()
    lines = [*task.reviews.filter(in_force=True).select_related("edited").order_by("id"), *new]
    adjudicated = any(line.adjudication for line in lines)
    task.answers = answered
    task.flagged = any(line.decision == Review.Decision.FLAG for line in lines) and not adjudicated
    done = answered >= queue.overlap or adjudicated
    task.state = Task.State.DONE if done else Task.State.OPEN if task.free else Task.State.HELD
    if was_done != done:
        Queue.objects.filter(pk=queue.pk).update(done_count=F("done_count") + (1 if done else -1))
    change = apply_resolution(task, lines)
    task.save(
        update_fields=[
            "answers",
            "state",
            "flagged",
            "settled_by",
            "agreement",
            "judgement",
            "second_judgement",
        ]
    )
    return change


@transaction.atomic
def skip(assignment: Assignment, reason: str = "") -> Review:
    """Return the item for others; this person does not get it again. A second call returns the first review."""
    assignment = Assignment.objects.select_related("queue", "task", "person").get(pk=assignment.pk)
    if assignment.state == Assignment.State.DONE:
        raise Refused("answered", "You have answered this item. Take the answer back first.")
    if assignment.state == Assignment.State.SKIPPED:
        return Review.objects.filter(task=assignment.task, person=assignment.person, decision="skip").latest("id")
    was_leased = Assignment.objects.filter(pk=assignment.pk, state=Assignment.State.LEASED).update(
        state=Assignment.State.SKIPPED
    )
    if was_leased:
        leases.free_slot(assignment.task_id)
    else:
        Assignment.objects.filter(pk=assignment.pk).update(state=Assignment.State.SKIPPED)
    line = _new_review(assignment, assignment.task, Answer("skip", reason=reason), late=False, in_force=True)
    line.save()
    return line


@transaction.atomic
def undo(queue: Queue, person: User) -> Assignment | None:
    """Take back the person's newest review in this queue and lease them the item again, with the answer as draft.

    Raises :class:`Refused` if the person has no review to take back.
    """
    review = (
        Review.objects.filter(queue=queue, person=person, in_force=True, adjudication=False)
        .exclude(decision=Review.Decision.UNDO)
        .select_related("task")
        .order_by("-id")
        .first()
    )
    if review is None:
        raise Refused("nothing-to-undo", "You have no answer to take back in this queue.")
    return take_back(review, by=person)


@transaction.atomic
def take_back(review: Review, *, by: User) -> Assignment | None:
    """Take a review and its effects back. A lead may do this for others.

    Returns the person's assignment, leased again; ``None`` if they had none, as for an adjudication.
    """
    if by.pk != review.person_id:
        require_lead(by)
    task = _locked(review.task_id, Queue.objects.get(pk=review.queue_id))
    ended = Review.objects.filter(pk=review.pk, in_force=True).update(in_force=False)
    if not ended or review.decision == Review.Decision.UNDO:
        raise Refused("taken-back", "This answer has been taken back already.")
    line = Review(
        task=task,
        queue=task.queue,
        person=by,
        author=by.get_username(),
        decision=Review.Decision.UNDO,
        reverses=review,
        in_force=False,
        swapped=review.swapped,
    )
    assignment = Assignment.objects.filter(task=task, person=review.person_id).first()
    if assignment and not review.adjudication:
        _lease_again(assignment, review, task)
    _apply_review(line, task)
    line.save()
    return assignment


def _lease_again(assignment: Assignment, review: Review, task: Task) -> None:
    """Lease the item to the person again. A skipped item needs a free slot."""
    if assignment.state == Assignment.State.SKIPPED:
        if not leases.take_slot(task.pk):
            return
        task.free -= 1
    now = timezone.now()
    assignment.state = Assignment.State.LEASED
    # The oldest lease is the one that the desk shows next.
    oldest = (
        Assignment.objects.filter(person=assignment.person_id, queue=assignment.queue_id, state=Assignment.State.LEASED)
        .order_by("leased_at")
        .values_list("leased_at", flat=True)
        .first()
    )
    assignment.leased_at = min(now, oldest - timedelta(milliseconds=1)) if oldest else now
    assignment.lease_expires_at = now + timedelta(seconds=task.queue.lease_seconds)
    assignment.draft = draft_of(review, task).as_json()
    assignment.draft_saved_at = now
    assignment.save()


@transaction.atomic
def adjudicate(task: Task, answer: Answer, *, by: User) -> SavedReview:
    """Store a lead's decision, which counts before every answer and replaces an earlier adjudication."""
    require_lead(by)
    queue = Queue.objects.get(pk=task.queue_id)
    task = _locked(task.pk, queue)
    answer = read_answer(queue, task, answer)
    if answer.decision == "flag":
        raise Refused("unknown-decision", "A lead cannot flag an item. Choose a decision.", status=400)
    task.reviews.filter(in_force=True, adjudication=True).update(in_force=False)
    review = Review(
        task=task,
        queue=queue,
        person=by,
        author=by.get_username(),
        decision=answer.decision,
        score=answer.score,
        scores=answer.scores,
        reasons=answer.reasons,
        text=answer.text if answer.decision == "edit" else "",
        edited=_own_response(task, answer, by) if answer.decision == "edit" else None,
        reason=answer.reason,
        blind=False,
        adjudication=True,
        guideline=queue.guidelines.order_by("-number").first(),
    )
    change = _apply_review(review, task)
    review.save()
    transaction.on_commit(lambda: gates.open_if_due(queue))
    return SavedReview(review, change)


@transaction.atomic
def adopt(review: Review, *, by: User) -> SavedReview:
    """Adjudicate with a late answer that had no effect."""
    if review.in_force or not review.late:
        raise Refused("not-late", "Only a late answer that does not count can be adopted.")
    reason = f"{review.reason} (late answer of {review.author})"
    scores, reasons = (by_response(review.task, given) for given in (review.scores, review.reasons))
    return adjudicate(
        review.task, Answer(review.decision, None, review.score, review.text, reason, scores, reasons), by=by
    )
