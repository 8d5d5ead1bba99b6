"""Runs, iterations, stages and attempts: the configuration, the state and the workers of a run."""

from __future__ import annotations

import uuid
from datetime import datetime
from functools import cached_property

from django.conf import settings
from django.db import models
from django.utils import timezone

from training import plan
from training.config import RunConfig, StoredConfig, read_stored
from training.plan.spec import StageData


class Run(models.Model):
    """One alignment run: M0 → M1 → …, by a config that never changes."""

    class Status(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        WAITING = "waiting", "Waiting for review"
        PAUSED = "paused", "Paused"
        CANCELLING = "cancelling", "Cancelling"
        CANCELLED = "cancelled", "Cancelled"
        FAILED = "failed", "Failed"
        CRASHED = "crashed", "Crashed"
        FINISHED = "finished", "Finished"

    #: States in which a worker may be running, or will start without user action.
    ACTIVE = (Status.QUEUED, Status.RUNNING, Status.CANCELLING)
    #: States that only a user action ends.
    STOPPED = (Status.PAUSED, Status.CANCELLED, Status.FAILED, Status.CRASHED)

    name = models.CharField(max_length=120)
    config = models.JSONField(help_text="A training.config.RunConfig, every field present.")  # read by stored_config
    config_hash = models.CharField(max_length=64, db_index=True)
    judges = models.JSONField(
        default=dict, blank=True, help_text="Judges by config field, as at launch, with version and hash."
    )
    preset = models.CharField(max_length=80, blank=True)
    paradigm = models.CharField(max_length=32, db_index=True)
    status = models.CharField(max_length=16, choices=Status, default=Status.QUEUED, db_index=True)
    status_reason = models.TextField(blank=True, help_text="Why the run has this status, as text.")
    pause_requested = models.BooleanField(default=False, help_text="Pause at the next safe point.")
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    budget_tokens = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="The teacher budget, if changed after launch; null: the config's."
    )
    budget_usd = models.FloatField(null=True, blank=True, help_text="The same, in USD.")
    cloned_from = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="clones")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="runs"
    )
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    last_seq = models.PositiveBigIntegerField(default=0, help_text="Sequence number of the newest event.")

    class Meta:
        ordering = ("-created_at", "-id")

    def __str__(self) -> str:
        return f"{self.name} (run {self.pk})"

    @cached_property
    def stored_config(self) -> StoredConfig:
        """The stored config, read by the current version. Never raises; problems are listed in the result's notes."""
        return read_stored(self.config)

    @property
    def typed_config(self) -> RunConfig:
        """The config's values by field. To launch a run, parse ``stored_config.data`` strictly instead."""
        return self.stored_config.config


class Iteration(models.Model):
    """One iteration. Iteration 0 fine-tunes M0 into M1; iteration t ≥ 1 trains M_t into M_t+1."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="iterations")
    number = models.PositiveSmallIntegerField()
    input_checkpoint = models.ForeignKey(
        "alignment_app.Checkpoint", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    score_rule = models.JSONField(
        default=dict, help_text="A training.domain.score_rule.ScoreRule: which score of a response is used."
    )
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    ift_location = models.CharField(
        max_length=500,
        blank=True,
        help_text="The model fine-tuned on instruction data only, which judges ranked responses; relative path.",
    )

    class Meta:
        ordering = ("number",)
        constraints = [models.UniqueConstraint(fields=("run", "number"), name="iteration_number_once_in_a_run")]

    def __str__(self) -> str:
        return f"iteration {self.number} of run {self.run_id}"


def stage_kinds() -> list[tuple[str, str]]:
    """The stage kinds with their titles. A callable, so that adding a stage needs no migration."""
    return [(spec.kind, spec.title) for spec in plan.LOOP]


class Stage(models.Model):
    """One stage of an iteration. The database row, not the job queue, decides whether it has to run."""

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"  # an earlier stage is not finished
        QUEUED = "queued", "Queued"  # may be claimed by a worker
        RUNNING = "running", "Running"
        WAITING = "waiting", "Waiting"  # for human review
        STOPPED = "stopped", "Stopped"  # paused, cancelled, failed or crashed: see the run's status
        DONE = "done", "Done"
        SKIPPED = "skipped", "Skipped"

    class Queue(models.TextChoices):
        """The queue of a stage. A worker can serve several queues."""

        LIGHT = "light", "Light"  # database work: prompts from a data set, pairs, freezing
        GENERATION = "generation", "Generation"  # needs an engine: responses, self-judgements, evaluation
        TEACHER = "teacher", "Teacher"  # calls a remote teacher
        TRAINING = "training", "Training"

    iteration = models.ForeignKey(Iteration, on_delete=models.CASCADE, related_name="stages")
    kind = models.CharField(max_length=32, choices=stage_kinds)
    position = models.PositiveSmallIntegerField()
    queue = models.CharField(max_length=16, choices=Queue)
    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING, db_index=True)
    reason = models.TextField(blank=True)
    queued_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    done = models.PositiveIntegerField(default=0, help_text="Rows (or training steps) completed so far.")
    total = models.PositiveIntegerField(default=0, help_text="Rows (or training steps) in total; 0 until known.")
    unit = models.CharField(max_length=24, default="rows")
    rate = models.FloatField(null=True, blank=True, help_text="Units per second of the open attempt.")
    progress = models.JSONField(
        default=dict, blank=True, help_text="Metrics of the running stage; see the progress model of its kind."
    )
    result = models.JSONField(
        default=dict, blank=True, help_text="Result of the finished stage; see the result model of its kind."
    )
    forgiven = models.PositiveSmallIntegerField(
        default=0, help_text="Crashes up to this attempt number are not counted, because the run was resumed since."
    )

    class Meta:
        ordering = ("iteration__number", "position")
        constraints = [models.UniqueConstraint(fields=("iteration", "kind"), name="stage_kind_once_in_an_iteration")]
        indexes = [models.Index(fields=("status", "queue", "queued_at"), name="stage_claim")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.iteration}"

    @property
    def spec(self) -> plan.StageSpec:
        """The specification of the stage's kind."""
        return plan.spec_of(self.kind)

    def figures(self) -> StageData:
        """The newest typed metrics: the result if there is one, else the progress."""
        return self.spec.result.read(self.result) if self.result else self.spec.progress.read(self.progress)


class StageAttempt(models.Model):
    """One worker's attempt at a stage. It can write only while its lease is valid and its outcome is open."""

    class Outcome(models.TextChoices):
        OPEN = "open", "At work"
        FINISHED = "finished", "Finished"
        PAUSED = "paused", "Paused"
        CANCELLED = "cancelled", "Cancelled"
        FAILED = "failed", "Failed"
        CRASHED = "crashed", "Crashed"  # the lease expired or the process died

    class Reason(models.TextChoices):
        """Why an attempt ended before the stage was finished."""

        DRIFT = "drift", "The judge drifts"
        PARSE_RATE = "parse_rate", "Too few replies hold a score"
        NO_PROMPT = "no_prompt", "No prompt passed the filters"
        BUDGET = "budget", "The budget is used up"
        UNANSWERED = "unanswered", "The provider does not respond"
        NOTHING_TO_DO = "nothing_to_do", "No input rows"
        ENGINE = "engine", "Engine not available"
        TRAINING = "training", "Training failed"
        ERROR = "error", "Unexpected error"
        DATABASE = "database", "The database did not respond"
        SILENT = "silent", "The lease expired"
        DIED = "died", "The process died"
        WORKER_STOPPED = "worker_stopped", "The worker was stopped"

    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="attempts")
    token = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    number = models.PositiveSmallIntegerField()
    worker = models.CharField(max_length=200)
    host = models.CharField(max_length=200)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField(default=timezone.now)
    heartbeat_at = models.DateTimeField(default=timezone.now)
    lease_expires_at = models.DateTimeField(db_index=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=16, choices=Outcome, default=Outcome.OPEN, db_index=True)
    reason = models.TextField(blank=True)
    reason_code = models.CharField(max_length=16, choices=Reason, blank=True)
    traceback = models.TextField(blank=True)
    rows_written = models.PositiveIntegerField(default=0)
    held_prompt_tokens = models.PositiveBigIntegerField(
        default=0, help_text="Reserved for teacher requests in flight; 0 once they are finalized."
    )
    held_completion_tokens = models.PositiveBigIntegerField(default=0)
    failed_requests = models.PositiveIntegerField(
        default=0, help_text="Requests to a paid teacher that failed without cost."
    )

    class Meta:
        ordering = ("stage", "number")
        constraints = [
            models.UniqueConstraint(fields=("stage", "number"), name="attempt_number_once_in_a_stage"),
            models.UniqueConstraint(
                fields=("stage",), condition=models.Q(outcome="open"), name="one_open_attempt_a_stage"
            ),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} at {self.stage}"

    def is_live(self, now: datetime | None = None) -> bool:
        """Return whether the attempt is open and its lease is valid."""
        return self.outcome == self.Outcome.OPEN and self.lease_expires_at > (now or timezone.now())
