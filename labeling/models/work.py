"""Items, assignments and reviews."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.conf import settings
from django.db import models
from django.utils import timezone

from labeling.models.queues import Queue


class Task(models.Model):
    """One item of a queue. ``free``: number of slots that are neither leased nor answered."""

    class State(models.TextChoices):
        OPEN = "open", "Open"  # free > 0: a person may lease it
        HELD = "held", "In progress"  # every slot is leased or answered, and some are not answered
        DONE = "done", "Answered"

    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, related_name="tasks")
    state = models.CharField(max_length=4, choices=State, default=State.OPEN)
    free = models.PositiveSmallIntegerField(default=1)
    answers = models.PositiveSmallIntegerField(default=0, help_text="Answers in force.")
    rank = models.IntegerField(help_text="Place in the queue's order, lowest first.")
    prompt = models.ForeignKey("alignment_app.Prompt", on_delete=models.CASCADE, related_name="+")
    first = models.ForeignKey(
        "alignment_app.Response",
        on_delete=models.CASCADE,
        related_name="+",
        help_text="The response to score, the chosen one, or that of the newer checkpoint.",
    )
    second = models.ForeignKey(
        "alignment_app.Response", null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    pair = models.ForeignKey(
        "alignment_app.PreferencePair",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="review_tasks",
        help_text="The original pair, even if another pair replaced it.",
    )
    original = models.JSONField(
        default=dict, blank=True, help_text="The pair when the queue was made: ids, scores, margin, state, reason."
    )
    judgement = models.ForeignKey(
        "alignment_app.Judgement",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="People's stored score of the first response.",
    )
    second_judgement = models.ForeignKey(
        "alignment_app.Judgement",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="People's stored score of the second response of a pair.",
    )
    impact = models.FloatField(default=0.0)
    expected = models.JSONField(
        null=True, blank=True, help_text="A gold item's right answer: {decision, preferred} or {score}."
    )
    flagged = models.BooleanField(default=False)
    agreement = models.FloatField(
        null=True, blank=True, help_text="Agreement of the answers, 0 to 1; null with fewer than two."
    )
    settled_by = models.CharField(max_length=200, blank=True, help_text="Description of the answer in force.")

    class Meta:
        ordering = ("queue", "rank")
        constraints = [models.UniqueConstraint(fields=("queue", "rank"), name="task_rank_once_in_a_queue")]
        indexes = [
            models.Index(fields=("queue", "state", "rank"), name="task_next"),
            models.Index(fields=("queue", "agreement"), name="task_agreement"),
        ]

    def __str__(self) -> str:
        return f"item {self.rank} of {self.queue}"

    @property
    def is_gold(self) -> bool:
        return self.expected is not None


class Assignment(models.Model):
    """An item with one person: a lease, then an answer or a skip."""

    class State(models.TextChoices):
        LEASED = "leased", "Leased"
        DONE = "done", "Answered"
        SKIPPED = "skipped", "Skipped"
        RETURNED = "returned", "Returned"  # released, or the lease expired

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="assignments")
    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, related_name="assignments")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="review_assignments")
    state = models.CharField(max_length=8, choices=State, default=State.LEASED)
    token = models.UUIDField(default=uuid.uuid4, editable=False)
    leased_at = models.DateTimeField(default=timezone.now)
    lease_expires_at = models.DateTimeField()
    shown_at = models.DateTimeField(null=True, blank=True, help_text="When the person first saw the item.")
    swapped = models.BooleanField(default=False, help_text="Whether the second response is shown on the left.")
    prefilled = models.BooleanField(default=False, help_text="Whether the judge is shown first.")
    first_answer = models.JSONField(null=True, blank=True, help_text="The answer before the judge was shown.")
    draft = models.JSONField(null=True, blank=True)
    draft_saved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("queue", "id")
        constraints = [models.UniqueConstraint(fields=("task", "person"), name="one_assignment_a_person_and_task")]
        indexes = [
            models.Index(fields=("queue", "state", "lease_expires_at"), name="assignment_expiry"),
            models.Index(fields=("person", "queue", "state"), name="assignment_of_person"),
        ]

    def is_live(self, now: datetime | None = None) -> bool:
        """Whether the item is leased and the lease has not expired."""
        return self.state == self.State.LEASED and self.lease_expires_at > (now or timezone.now())


class Review(models.Model):
    """One line of an item's history: an answer, or the withdrawal of one.

    Only ``in_force``, whether the answer counts now, changes after saving.
    """

    class Decision(models.TextChoices):
        SCORE = "score", "Scored"
        CONFIRM = "confirm", "Confirmed"
        FLIP = "flip", "Flipped"
        TIE = "tie", "Tie"
        BOTH_BAD = "both_bad", "Both bad"
        EDIT = "edit", "Edited"
        FIRST = "first", "Newer checkpoint better"
        SECOND = "second", "Older checkpoint better"
        FLAG = "flag", "Flagged"
        SKIP = "skip", "Skipped"
        UNDO = "undo", "Taken back"

    #: Decisions that answer an item; flags, skips and withdrawals do not.
    DECISIVE = (
        Decision.SCORE,
        Decision.CONFIRM,
        Decision.FLIP,
        Decision.TIE,
        Decision.BOTH_BAD,
        Decision.EDIT,
        Decision.FIRST,
        Decision.SECOND,
    )

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="reviews")
    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, related_name="reviews")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="reviews")
    author = models.CharField(max_length=150, help_text="The person's name at the time.")
    decision = models.CharField(max_length=8, choices=Decision)
    score = models.FloatField(null=True, blank=True, help_text="0 to 5.")
    scores = models.JSONField(null=True, blank=True, help_text="Of a pair: {first, second}, 0 to 5 each.")
    reasons = models.JSONField(null=True, blank=True, help_text="Reasons for the scores: {first, second}.")
    text = models.TextField(blank=True, help_text="The better response that the person wrote.")
    edited = models.ForeignKey(
        "alignment_app.Response",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="edits",
        help_text="The person's response, stored.",
    )
    reason = models.TextField(blank=True)
    first_answer = models.JSONField(null=True, blank=True, help_text="Before the judge was shown, where it differs.")
    blind = models.BooleanField(default=True, help_text="Answered before the judge was shown.")
    swapped = models.BooleanField(default=False, help_text="Whether the second response was shown on the left.")
    prefilled = models.BooleanField(default=False)
    adjudication = models.BooleanField(default=False, help_text="A lead's decision, which counts before every answer.")
    late = models.BooleanField(default=False, help_text="Saved after the lease expired.")
    too_fast = models.BooleanField(default=False)
    gold_right = models.BooleanField(null=True, blank=True, help_text="Whether a gold item was answered as expected.")
    seconds = models.FloatField(
        null=True, blank=True, help_text="Time from showing the item to the answer, in seconds."
    )
    guideline = models.ForeignKey(
        "labeling.GuidelineVersion", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    reverses = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="reversed_by")
    in_force = models.BooleanField(default=True)
    change = models.TextField(blank=True, help_text="Description of what the review changed.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("id",)
        indexes = [
            models.Index(fields=("task", "in_force"), name="review_in_force"),
            models.Index(fields=("queue", "person", "created_at"), name="review_of_person"),
            models.Index(fields=("queue", "decision", "created_at"), name="review_decision"),
        ]

    def __str__(self) -> str:
        return f"{self.decision} by {self.author}"
