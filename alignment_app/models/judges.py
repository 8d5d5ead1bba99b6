"""Judges, and the versions of judges that people define as YAML: a prompt and a parser each."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class JudgeVersion(models.Model):
    """One version of a judge. Immutable: an edit creates the next version, and runs keep a copy of the version used."""

    class Kind(models.TextChoices):
        SCORE = "score", "Scores a response"
        COMPARISON = "comparison", "Compares two responses"

    name = models.CharField(max_length=40)
    version = models.PositiveIntegerField()
    kind = models.CharField(max_length=12, choices=Kind)
    document = models.TextField(help_text="The YAML text as entered.")
    content_hash = models.CharField(max_length=64, help_text="SHA-256 of kind, prompt and parser.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("name", "-version")
        constraints = [models.UniqueConstraint(fields=("name", "version"), name="judge_version_once")]

    def __str__(self) -> str:
        return f"{self.name}, version {self.version}"


class Judge(models.Model):
    """A source of judgements: a model of a run, a person, a panel of people, or a score column of a data set.

    A model with another judge prompt, or used for another purpose, is another judge. Create rows with
    :func:`alignment_app.services.judge_rows.judge_for`.
    """

    class Kind(models.TextChoices):
        MODEL = "model", "Model"
        PERSON = "person", "Person"
        PANEL = "panel", "Several people"  # the median of their scores for one item
        IMPORTED = "imported", "Imported"

    #: Kinds that score on the annotation page.
    PEOPLE = (Kind.PERSON, Kind.PANEL)

    class Purpose(models.TextChoices):
        SCORE = "score", "Scores responses"
        RANKED = "ranked", "Scores ranked responses"  # eft.k samples, to measure ranking agreement
        COMPARE = "compare", "Compares responses"

    kind = models.CharField(max_length=8, choices=Kind)
    purpose = models.CharField(max_length=8, choices=Purpose, default=Purpose.SCORE)
    run = models.ForeignKey(
        "alignment_app.Run", null=True, blank=True, on_delete=models.CASCADE, related_name="judge_rows"
    )
    checkpoint = models.ForeignKey(
        "alignment_app.Checkpoint",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="judge_rows",
        help_text="Null for a teacher, and for a model that is not a checkpoint of its run.",
    )
    person = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    name = models.CharField(max_length=200, help_text="Name of the checkpoint, teacher model, person or column.")
    template = models.CharField(max_length=80, blank=True, help_text="Name of the judge prompt.")
    template_version = models.CharField(max_length=20, blank=True)
    label = models.CharField(max_length=240, help_text="The name with the run, for lists across runs.")

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(
                fields=("checkpoint", "name", "purpose", "template", "template_version"),
                condition=models.Q(kind="model", checkpoint__isnull=False),
                name="judge_once_a_checkpoint",
            ),
            models.UniqueConstraint(
                fields=("run", "name", "purpose", "template", "template_version"),
                condition=models.Q(kind="model", checkpoint__isnull=True),
                name="judge_once_a_run",
            ),
            # Rows of a deleted person keep the name, and another person may take the same name later.
            models.UniqueConstraint(
                fields=("person", "name", "template", "template_version"),
                condition=models.Q(kind="person", person__isnull=False),
                name="judge_once_a_person",
            ),
            models.UniqueConstraint(
                fields=("kind", "name", "template", "template_version"),
                condition=models.Q(kind__in=("panel", "imported")),
                name="judge_once_a_name",
            ),
        ]

    def __str__(self) -> str:
        return self.label
