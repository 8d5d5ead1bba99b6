"""Labeling queues and their guidelines."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone


class Queue(models.Model):
    """Items of one kind that people review under common rules. The rules never change once items are answered."""

    class Kind(models.TextChoices):
        SCORE = "score", "Score a response"
        PAIR = "pair", "Confirm or override a pair"
        COMPARISON = "comparison", "Compare two checkpoints"

    class Order(models.TextChoices):
        ARRIVAL = "arrival", "By arrival"
        RANDOM = "random", "Random"
        IMPACT = "impact", "By impact"

    class Gate(models.TextChoices):
        LEAD = "lead", "By a lead"
        COUNT = "count", "At a number of reviewed items"
        SHARE = "share", "At a share of reviewed items"

    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=12, choices=Kind)
    iteration = models.ForeignKey(
        "alignment_app.Iteration", null=True, blank=True, on_delete=models.CASCADE, related_name="review_queues"
    )
    evaluation = models.ForeignKey(
        "alignment_app.Evaluation", null=True, blank=True, on_delete=models.CASCADE, related_name="review_queues"
    )
    dataset = models.ForeignKey(
        "alignment_app.Dataset", null=True, blank=True, on_delete=models.CASCADE, related_name="review_queues"
    )
    order = models.CharField(max_length=8, choices=Order, default=Order.IMPACT)
    seed = models.PositiveIntegerField(default=1, help_text="Seed of the random order, sides and prefilled items.")
    overlap = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(9)], help_text="People who answer each item."
    )
    lease_seconds = models.PositiveIntegerField(default=600, help_text="Length of a lease in seconds.")
    half_points = models.BooleanField(default=False, help_text="Scores of 0, 0.5, 1, … 5.")
    with_scores = models.BooleanField(default=False, help_text="Ask for a score of both responses of a pair.")
    blind = models.BooleanField(default=True, help_text="The person answers before the judge is shown.")
    prefill_share = models.FloatField(
        default=0.0,
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
        help_text="Share of items that show the judge first, to measure anchoring.",
    )
    held_out = models.BooleanField(
        default=False, help_text="Answers measure judges. They never change a pair or train a model."
    )
    gate = models.CharField(max_length=8, choices=Gate, default=Gate.LEAD)
    gate_count = models.PositiveIntegerField(default=0)
    gate_share = models.FloatField(default=1.0, validators=[MinValueValidator(0.0), MaxValueValidator(1.0)])
    min_seconds = models.FloatField(default=2.0, help_text="Faster answers are marked as too fast, in seconds.")
    deadline = models.DateTimeField(null=True, blank=True)
    people = models.ManyToManyField(
        settings.AUTH_USER_MODEL, blank=True, related_name="review_queues", help_text="Empty: every annotator."
    )
    is_open = models.BooleanField(default=True, help_text="Closed queues give out no items.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    task_count = models.PositiveIntegerField(default=0)
    done_count = models.PositiveIntegerField(default=0, help_text="Items with all required answers.")

    class Meta:
        ordering = ("-is_open", "-id")

    def __str__(self) -> str:
        return self.name

    @property
    def changes_pairs(self) -> bool:
        """Whether answers may change pairs and scores: not in a held-out or comparison queue."""
        return not self.held_out and self.kind != self.Kind.COMPARISON


class GuidelineVersion(models.Model):
    """A version of a queue's guidelines, in Markdown. Each answer refers to the version it was given under."""

    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, related_name="guidelines")
    number = models.PositiveIntegerField()
    text = models.TextField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("queue", "-number")
        constraints = [models.UniqueConstraint(fields=("queue", "number"), name="guideline_number_once_in_a_queue")]

    def __str__(self) -> str:
        return f"guidelines {self.number} of {self.queue}"
