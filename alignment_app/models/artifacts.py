"""What a run leaves behind: frozen training sets, checkpoints and evaluations."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class DatasetSnapshot(models.Model):
    """Exactly what a training attempt consumed: frozen, content-hashed, as a file and as rows."""

    class Kind(models.TextChoices):
        SFT = "sft", "Fine-tuning rows"
        PREFERENCE = "preference", "Preference pairs"

    iteration = models.OneToOneField("alignment_app.Iteration", on_delete=models.CASCADE, related_name="snapshot")
    kind = models.CharField(max_length=12, choices=Kind)
    content_hash = models.CharField(max_length=64, db_index=True, help_text="SHA-256 of the JSON Lines file.")
    path = models.CharField(max_length=500, help_text="JSON Lines, relative to the data folder.")
    row_count = models.PositiveIntegerField()
    stale_reason = models.TextField(blank=True, help_text="Set when an override came after the freeze.")
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.kind} {self.content_hash[:8]} ({self.row_count} rows)"


class SnapshotItem(models.Model):
    """One row of a snapshot: a pair, a prompt's training target, or a person's score that trains the judge."""

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
        help_text="Empty, too, where the person has changed the score since; the file keeps what was trained on.",
    )

    class Meta:
        ordering = ("snapshot", "position")
        constraints = [
            models.UniqueConstraint(fields=("snapshot", "position"), name="snapshot_position_once"),
        ]


class Checkpoint(models.Model):
    """A model: M0 as it was found, or what a training stage made."""

    class Kind(models.TextChoices):
        BASE = "base", "Base model"
        SFT = "sft", "Fine-tuned"
        PREFERENCE = "preference", "Preference-trained"

    run = models.ForeignKey("alignment_app.Run", on_delete=models.CASCADE, related_name="checkpoints")
    iteration = models.OneToOneField(
        "alignment_app.Iteration", null=True, blank=True, on_delete=models.CASCADE, related_name="checkpoint"
    )
    number = models.PositiveSmallIntegerField(help_text="t of M_t: 0 is the base model.")
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
    """Everything measured on one checkpoint, with the rows behind it."""

    checkpoint = models.OneToOneField(Checkpoint, on_delete=models.CASCADE, related_name="evaluation")
    against = models.ForeignKey(Checkpoint, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    judge = models.ForeignKey(
        "alignment_app.Judge",
        null=True,
        blank=True,
        on_delete=models.RESTRICT,
        related_name="evaluations",
        help_text="Who compares its answers with those of the checkpoint before; null: nobody.",
    )
    prompt_count = models.PositiveIntegerField()
    metrics = models.JSONField(default=dict, help_text="Names and units in training.evaluation; null: not measured.")
    created_at = models.DateTimeField(default=timezone.now)


class Comparison(models.Model):
    """One held-out prompt answered by two checkpoints, judged in both orders. ``outcome`` is the newer one's."""

    class Outcome(models.TextChoices):
        WIN = "win", "Win"
        TIE = "tie", "Tie"
        LOSE = "lose", "Lose"

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="comparisons")
    prompt = models.ForeignKey("alignment_app.Prompt", on_delete=models.PROTECT, related_name="+")
    response = models.ForeignKey("alignment_app.Response", on_delete=models.CASCADE, related_name="+")
    against = models.ForeignKey("alignment_app.Response", on_delete=models.CASCADE, related_name="+")
    verdict_first = models.CharField(max_length=10, help_text="Newer one asked first: first, second, tie, unparsed.")
    verdict_second = models.CharField(max_length=10, help_text="Asked with the newer one second.")
    raw_first = models.TextField(blank=True, help_text="The judge's reply with the newer one first.")
    raw_second = models.TextField(blank=True, help_text="Both are empty in rows of an earlier version.")
    outcome = models.CharField(max_length=4, choices=Outcome)

    class Meta:
        ordering = ("evaluation", "id")
        constraints = [models.UniqueConstraint(fields=("evaluation", "prompt"), name="comparison_once_a_prompt")]


class PairMargin(models.Model):
    """A preference pair as a trained checkpoint weighs it: log π/π_ref of its two responses."""

    class Part(models.TextChoices):
        TRAINING = "training", "Trained on"
        HELD_OUT = "held_out", "Held out"
        EVALUATION = "evaluation", "Evaluation set"

    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.CASCADE, related_name="pair_margins")
    pair = models.ForeignKey("alignment_app.PreferencePair", on_delete=models.PROTECT, related_name="margins")
    part = models.CharField(max_length=12, choices=Part)
    chosen_log_ratio = models.FloatField(help_text="log π/π_ref of the chosen response, summed over its tokens, nats.")
    rejected_log_ratio = models.FloatField(help_text="The same of the rejected response.")
    margin = models.FloatField(help_text="Chosen minus rejected, nats: the marginal of 003 section 4.1.")
    augmented_margin = models.FloatField(help_text="The same on p⊕x, nats.")
    score_difference = models.FloatField(
        null=True, blank=True, help_text="Chosen score minus rejected score when it was measured, points."
    )

    class Meta:
        ordering = ("checkpoint", "part", "id")
        constraints = [
            models.UniqueConstraint(fields=("checkpoint", "part", "pair"), name="pair_margin_once_a_checkpoint")
        ]
