"""Answers: given, taken back, decided by a lead. The history only grows.

The rule for a late save. A lease that ran out but whose place nobody else has taken: the answer counts, marked late.
A place that somebody else has taken or answered: the answer is kept in the history, counts for nothing until a lead
adopts it, and the person is told (409, ``lease-lost``). Nothing that somebody wrote is lost.
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
from labeling.services.settling import settle
from training.domain.overrides import PairChange

_DONE: Final = Assignment.State.DONE


@dataclass(frozen=True, slots=True)
class Saved:
    """A saved answer and what it changed on the training set."""

    review: Review
    change: PairChange | None


def submit(assignment: Assignment, answer: Answer) -> Saved:
    """Save an answer and make the record follow it.

    The same answer sent again (a lost reply) returns the line that is there; a different one replaces the person's own.
    Raises :class:`Refused`: a bad answer (400), or ``lease-lost`` (409), where the answer is kept as said above.
    """
    with transaction.atomic():
        # The person's place first, then the item: whoever returns expired leases locks in the same order.
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
                return Saved(own, None)
        elif not holds and leases.take_place(task.pk):
            task.free -= 1
            holds = bool(mine.update(state=_DONE))
        if own:
            Review.objects.filter(pk=own.pk).update(in_force=False)
        review = _line(assignment, task, answer, late=not in_time, in_force=holds)
        change = _follow(review, task) if holds else None
        review.save()
    if not holds:
        raise Refused(
            "lease-lost",
            "Your time for this item ran out and somebody else has it. Your answer is kept for the lead; go on with "
            "the next item.",
        )
    gates.open_if_due(task.queue)
    return Saved(review, change)


def _locked(task_id: int, queue: Queue) -> Task:
    """The item, locked until the transaction ends, with what settling reads.

    Its prompt is locked before it: two queues may ask about one pair, and the second answer must see the first one.
    """
    if connection.features.has_select_for_update:
        asked = Task.objects.filter(pk=task_id).values("prompt")
        Prompt.objects.select_for_update(no_key=True).only("pk").get(pk__in=asked)
    task = Task.objects.select_for_update(of=("self",)).select_related("pair__iteration__run").get(pk=task_id)
    task.queue = queue
    return task


def _follow(review: Review, task: Task) -> PairChange | None:
    """Bring the record in line with the answers in force, this new one among them, and note on its line, which the
    caller saves, what that changed."""
    change = _recount(task, [review] if review.in_force else [])
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


def _line(assignment: Assignment, task: Task, answer: Answer, *, late: bool, in_force: bool) -> Review:
    """The answer as a line of the history, not saved yet."""
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
    """The better response that a person wrote, as a response of the record with a human source."""
    iteration = task.pair.iteration if task.pair else None
    name = person.get_username()
    same = Response.objects.filter(prompt=task.prompt_id, iteration=iteration, source=Response.Source.HUMAN)
    # The same text for another pair of the prompt is another response, so that both pairs can stand.
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


def _recount(task: Task, new: list[Review]) -> PairChange | None:
    """Bring the item's counters and the record in line with the answers in force; ``new`` ones are not saved yet."""
    queue = task.queue
    was_done = task.state == Task.State.DONE
    standing = task.assignments.filter(state=_DONE).count()
    lines = [*task.reviews.filter(in_force=True).select_related("edited").order_by("id"), *new]
    adjudicated = any(line.adjudication for line in lines)
    task.answers = standing
    task.flagged = any(line.decision == Review.Decision.FLAG for line in lines) and not adjudicated
    done = standing >= queue.overlap or adjudicated
    task.state = Task.State.DONE if done else Task.State.OPEN if task.free else Task.State.HELD
    if was_done != done:
        Queue.objects.filter(pk=queue.pk).update(done_count=F("done_count") + (1 if done else -1))
    change = settle(task, lines)
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
    """Leave the item to others. It does not come back to this person. Skipping twice is skipping once."""
    assignment = Assignment.objects.select_related("queue", "task", "person").get(pk=assignment.pk)
    if assignment.state == Assignment.State.DONE:
        raise Refused("answered", "You have answered this item. Take the answer back first.")
    if assignment.state == Assignment.State.SKIPPED:
        return Review.objects.filter(task=assignment.task, person=assignment.person, decision="skip").latest("id")
    held = Assignment.objects.filter(pk=assignment.pk, state=Assignment.State.LEASED).update(
        state=Assignment.State.SKIPPED
    )
    if held:
        leases.give_back_place(assignment.task_id)
    else:
        Assignment.objects.filter(pk=assignment.pk).update(state=Assignment.State.SKIPPED)
    line = _line(assignment, assignment.task, Answer("skip", reason=reason), late=False, in_force=True)
    line.save()
    return line


@transaction.atomic
def undo(queue: Queue, person: User) -> Assignment | None:
    """Take back the person's newest line in this queue; the item is theirs again, with what they had answered as draft.

    Raises :class:`Refused` where there is nothing to take back.
    """
    review = (
        Review.objects.filter(queue=queue, person=person, in_force=True, adjudication=False)
        .exclude(decision=Review.Decision.UNDO)
        .select_related("task")
        .order_by("-id")
        .first()
    )
    if review is None:
        raise Refused("nothing-to-undo", "There is nothing of yours to take back in this queue.")
    return take_back(review, by=person)


@transaction.atomic
def take_back(review: Review, *, by: User) -> Assignment | None:
    """Take one line back, with everything it changed. A lead may do it for others.

    The item goes to the person again; ``None`` where it was never lent (a lead's word).
    """
    if by.pk != review.person_id:
        require_lead(by)
    task = _locked(review.task_id, Queue.objects.get(pk=review.queue_id))
    ended = Review.objects.filter(pk=review.pk, in_force=True).update(in_force=False)
    if not ended or review.decision == Review.Decision.UNDO:
        raise Refused("taken-back", "This has been taken back already.")
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
        _lend_again(assignment, review, task)
    _follow(line, task)
    line.save()
    return assignment


def _lend_again(assignment: Assignment, review: Review, task: Task) -> None:
    """The person holds the item again. A skipped one gave its place away: it is taken again where there is one."""
    if assignment.state == Assignment.State.SKIPPED:
        if not leases.take_place(task.pk):
            return
        task.free -= 1
    now = timezone.now()
    assignment.state = Assignment.State.LEASED
    # First in the order of what they hold, so that it is what the desk shows next.
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
def adjudicate(task: Task, answer: Answer, *, by: User) -> Saved:
    """A lead's word on an item: it wins over every answer, and another word of a lead replaces it."""
    require_lead(by)
    queue = Queue.objects.get(pk=task.queue_id)
    task = _locked(task.pk, queue)
    answer = read_answer(queue, task, answer)
    if answer.decision == "flag":
        raise Refused("unknown-decision", "A lead decides; a flag would send the item back to you.", status=400)
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
    change = _follow(review, task)
    review.save()
    transaction.on_commit(lambda: gates.open_if_due(queue))
    return Saved(review, change)


@transaction.atomic
def adopt(review: Review, *, by: User) -> Saved:
    """Make a late answer, kept aside, the lead's word."""
    if review.in_force or not review.late:
        raise Refused("not-late", "Only a late answer that was kept aside can be adopted.")
    reason = f"{review.reason} (late answer of {review.author})"
    scores, reasons = (by_response(review.task, given) for given in (review.scores, review.reasons))
    return adjudicate(
        review.task, Answer(review.decision, None, review.score, review.text, reason, scores, reasons), by=by
    )
