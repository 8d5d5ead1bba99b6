"""The outputs of a run: frozen training sets, checkpoints and evaluations."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class DatasetSnapshot(models.Model):
    """The training set of one iteration: frozen, content-hashed, stored as a file and as rows."""

    class Kind(models.TextChoices):
        SFT = "sft", "Fine-tuning rows"
        PREFERENCE = "preference", "Preference pairs"

    iteration = models.OneToOneField("alignment_app.Iteration", on_delete=models.CASCADE, related_name="snapshot")
    kind = models.CharField(max_length=12, choices=Kind)
    content_hash = models.CharField(max_length=64, db_index=True, help_text="SHA-256 of the JSON Lines file.")
    path = models.CharField(max_length=500, help_text="Path of the JSON Lines file, relative to the data folder.")
    row_count = models.PositiveIntegerField()
    stale_reason = models.TextField(blank=True, help_text="Set when a score or a pair was changed after the freeze.")
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.kind} {self.content_hash[:8]} ({self.row_count} rows)"


class SnapshotItem(models.Model):
    """One row of a snapshot: a pair, a response used as a training target, or a human score that trains the judge."""

    snapshot = models.ForeignKey(DatasetSnapshot, on_delete=models.CASCADE, related_name="items")
    position = models.PositiveIntegerField()
    pair = models.ForeignKey(
        "alignment_app.PreferencePair", null=True, blank=True, on_delete=models.PROTECT, related_name="snapshot_items"
    )
    response = models.ForeignKey(
        "alignment_app.Response", null=True, blank=True, on_delete=models.PROTECT, related_name="snapshot_items"
    )

    judgement = models.ForeignKey(
        "alignment_app.Judgement",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="snapshot_items",
        help_text="Null also if the person has since changed the score; the file keeps the score used for training.",
    )

    class Meta:
        ordering = ("snapshot", "position")
        constraints = [
            models.UniqueConstraint(fields=("snapshot", "position"), name="snapshot_position_once"),
        ]


class Checkpoint(models.Model):
    """A model: the base model M0, or the output of a training stage."""

    class Kind(models.TextChoices):
        BASE = "base", "Base model"
        SFT = "sft", "Fine-tuned"
        PREFERENCE = "preference", "Preference-trained"

    run = models.ForeignKey("alignment_app.Run", on_delete=models.CASCADE, related_name="checkpoints")
    iteration = models.OneToOneField(
        "alignment_app.Iteration", null=True, blank=True, on_delete=models.CASCADE, related_name="checkpoint"
    )
    number = models.PositiveSmallIntegerField(help_text="The t in M_t; 0 is the base model.")
    kind = models.CharField(max_length=12, choices=Kind)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="children")
    reference = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    snapshot = models.ForeignKey(
        DatasetSnapshot, null=True, blank=True, on_delete=models.PROTECT, related_name="checkpoints"
    )
    config_hash = models.CharField(max_length=64)
    location = models.CharField(
        max_length=500, help_text="Path relative to the data folder, an absolute path, or a model name on a hub."
    )
    files = models.JSONField(default=list, blank=True, help_text='[{"name": "…", "size": bytes, "sha256": "…"}]')
    metrics = models.JSONField(default=dict, blank=True, help_text="Final training metrics.")
    steps = models.PositiveIntegerField(default=0)
    train_seconds = models.FloatField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("run", "number")
        constraints = [models.UniqueConstraint(fields=("run", "number"), name="checkpoint_number_once_in_a_run")]

    def __str__(self) -> str:
        return f"M{self.number} of run {self.run_id}"

    @property
    def name(self) -> str:
        """M0, M1, …"""
        return f"M{self.number}"


class Evaluation(models.Model):
    """The metrics of one checkpoint, with the rows they are computed from."""

    checkpoint = models.OneToOneField(Checkpoint, on_delete=models.CASCADE, related_name="evaluation")
    against = models.ForeignKey(Checkpoint, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    judge = models.ForeignKey(
        "alignment_app.Judge",
        null=True,
        blank=True,
        on_delete=models.RESTRICT,
        related_name="evaluations",
        help_text="The judge of the head-to-head comparison with the previous checkpoint; null: no comparison.",
    )
    prompt_count = models.PositiveIntegerField()
    metrics = models.JSONField(default=dict, help_text="Names and units: training.evaluation. Null: not measured.")
    leakage = models.JSONField(
        null=True,
        blank=True,
        help_text="training.domain.leakage.Leakage of the held-out prompts into the training rows; null: not measured.",
    )
    created_at = models.DateTimeField(default=timezone.now)


class Comparison(models.Model):
    """Two checkpoints' answers to one held-out prompt, judged in both orders.

    ``outcome`` is from the newer checkpoint's point of view.
    """

    class Outcome(models.TextChoices):
        WIN = "win", "Win"
        TIE = "tie", "Tie"
        LOSE = "lose", "Lose"

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="comparisons")
    prompt = models.ForeignKey("alignment_app.Prompt", on_delete=models.PROTECT, related_name="+")
    response = models.ForeignKey("alignment_app.Response", on_delete=models.CASCADE, related_name="+")
    against = models.ForeignKey("alignment_app.Response", on_delete=models.CASCADE, related_name="+")
    verdict_first = models.CharField(max_length=10, help_text="Newer answer shown first: first, second, tie, unparsed.")
    verdict_second = models.CharField(max_length=10, help_text="Newer answer shown second.")
    raw_first = models.TextField(blank=True, help_text="The judge's reply with the newer answer shown first.")
    raw_second = models.TextField(blank=True, help_text="Both replies are empty in rows of version 0.1.")
    outcome = models.CharField(max_length=4, choices=Outcome)

    class Meta:
        ordering = ("evaluation", "id")
        constraints = [models.UniqueConstraint(fields=("evaluation", "prompt"), name="comparison_once_a_prompt")]


class PairMargin(models.Model):
    """The margin of a preference pair under a trained checkpoint: log π/π_ref of both responses."""

    class Part(models.TextChoices):
        TRAINING = "training", "Trained on"
        HELD_OUT = "held_out", "Held out"
        EVALUATION = "evaluation", "Evaluation set"

    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.CASCADE, related_name="pair_margins")
    pair = models.ForeignKey("alignment_app.PreferencePair", on_delete=models.PROTECT, related_name="margins")
    part = models.CharField(max_length=12, choices=Part)
    chosen_log_ratio = models.FloatField(help_text="log π/π_ref of the chosen response, summed over tokens, in nats.")
    rejected_log_ratio = models.FloatField(help_text="The same for the rejected response.")
    margin = models.FloatField(help_text="Chosen minus rejected, in nats: Yu et al. (2024), section 4.1.")
    augmented_margin = models.FloatField(help_text="The margin given the refinement prompt p⊕x, in nats.")
    score_difference = models.FloatField(
        null=True, blank=True, help_text="Chosen score minus rejected score at the time of measurement, in points."
    )

    class Meta:
        ordering = ("checkpoint", "part", "id")
        constraints = [
            models.UniqueConstraint(fields=("checkpoint", "part", "pair"), name="pair_margin_once_a_checkpoint")
        ]
