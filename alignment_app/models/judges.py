"""Who judges, a row each, and the judges that people add: a prompt, a parser and a version each, as data."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class JudgeVersion(models.Model):
    """One version of a judge. It never changes: an edit makes the next one. Runs keep what they used themselves."""

    class Kind(models.TextChoices):
        SCORE = "score", "Scores a response"
        COMPARISON = "comparison", "Compares two responses"

    name = models.CharField(max_length=40)
    version = models.PositiveIntegerField()
    kind = models.CharField(max_length=12, choices=Kind)
    document = models.TextField(help_text="YAML, as it was typed.")
    content_hash = models.CharField(max_length=64, help_text="SHA-256 over kind, prompt and parser.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("name", "-version")
        constraints = [models.UniqueConstraint(fields=("name", "version"), name="judge_version_once")]

    def __str__(self) -> str:
        return f"{self.name}, version {self.version}"


class Judge(models.Model):
    """Who judged: a model of a run, a person, several people together, or a score column of a data set.

    A model's judge is that model with one prompt: the same checkpoint with another template, or asked for another
    purpose, is another judge. Rows are made by :func:`alignment_app.services.judge_rows.judge_for`.
    """

    class Kind(models.TextChoices):
        MODEL = "model", "Model"
        PERSON = "person", "Person"
        PANEL = "panel", "Several people"  # the median of their answers to one item
        IMPORTED = "imported", "Imported"

    #: Kinds that score on the annotation page.
    PEOPLE = (Kind.PERSON, Kind.PANEL)

    class Purpose(models.TextChoices):
        SCORE = "score", "Scores responses"
        RANKED = "ranked", "Scores ranked responses"  # sampled eft.k times, to measure its agreement with rankings
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
        help_text="Null for a teacher, and for a model that is no checkpoint of its run.",
    )
    person = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    name = models.CharField(max_length=200, help_text="Checkpoint, teacher's model, person or column.")
    template = models.CharField(max_length=80, blank=True, help_text="Name of the judge's prompt.")
    template_version = models.CharField(max_length=20, blank=True)
    label = models.CharField(max_length=240, help_text="The name with the run, for lists of several runs.")

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
            # A deleted person's rows keep the name; another person may have it since.
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
