"""Runs, iterations, stages, attempts and events."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet

from alignment_app.admin.base import RecordAdmin, export_actions, short
from alignment_app.models import (
    Iteration,
    Judgement,
    OneTimePassword,
    PreferencePair,
    Response,
    Run,
    RunEvent,
    Stage,
    StageAttempt,
    StepCheck,
    StepComparison,
    Study,
    StudyRun,
)


def _pairs_of(field: str) -> Any:
    def narrow(marked: QuerySet[Any]) -> QuerySet[Any]:
        return PreferencePair.objects.filter(
            **{f"{field}__in": marked.values("pk")}, state__in=PreferencePair.TRAINABLE
        )

    return narrow


def _responses_of(field: str) -> Any:
    return lambda marked: Response.objects.filter(**{f"{field}__in": marked.values("pk")})


def _judgements_of(field: str) -> Any:
    return lambda marked: Judgement.objects.filter(**{f"{field}__in": marked.values("pk")})


@admin.register(Run)
class RunAdmin(RecordAdmin):
    list_display = ("id", "name", "paradigm", "status", "reason", "created_by", "created_at", "finished_at")
    list_display_links = ("id", "name")
    list_filter = ("status", "paradigm")
    list_select_related = ("created_by",)
    words = ("name__icontains", "config_hash__startswith")
    actions = [
        *export_actions("pairs", _pairs_of("iteration__run")),
        *export_actions("responses", _responses_of("iteration__run")),
        *export_actions("judgements", _judgements_of("iteration__run")),
    ]

    @admin.display(description="Why")
    def reason(self, run: Run) -> str:
        return short(run.status_reason)


@admin.register(Study)
class StudyAdmin(RecordAdmin):
    list_display = ("id", "name", "preset", "created_by", "created_at")
    list_display_links = ("id", "name")
    list_select_related = ("created_by",)
    words = ("name__icontains",)


@admin.register(StudyRun)
class StudyRunAdmin(RecordAdmin):
    list_display = ("id", "study", "run", "position", "values")
    list_select_related = ("study", "run")
    numbers = {"study": "study", "run": "run"}


@admin.register(Iteration)
class IterationAdmin(RecordAdmin):
    list_display = ("id", "run", "number", "input_checkpoint", "started_at", "finished_at")
    list_select_related = ("run", "input_checkpoint")
    numbers = {"run": "run"}
    actions = [
        *export_actions("pairs", _pairs_of("iteration")),
        *export_actions("responses", _responses_of("iteration")),
        *export_actions("judgements", _judgements_of("iteration")),
    ]


@admin.register(Stage)
class StageAdmin(RecordAdmin):
    list_display = ("id", "iteration", "kind", "queue", "status", "done", "total", "unit", "started_at", "finished_at")
    list_filter = ("kind", "status", "queue")
    list_select_related = ("iteration",)
    numbers = {"run": "iteration__run", "iteration": "iteration"}


@admin.register(StageAttempt)
class StageAttemptAdmin(RecordAdmin):
    list_display = (
        "id",
        "stage",
        "number",
        "worker",
        "host",
        "pid",
        "outcome",
        "reason_code",
        "started_at",
        "finished_at",
    )
    list_filter = ("outcome", "reason_code")
    list_select_related = ("stage__iteration",)
    numbers = {"stage": "stage", "run": "stage__iteration__run"}
    words = ("worker__icontains", "host__icontains")


@admin.register(RunEvent)
class RunEventAdmin(RecordAdmin):
    list_display = ("id", "run_number", "seq", "kind", "what", "created_at")
    list_filter = ("kind",)
    numbers = {"run": "run"}

    @admin.display(description="Run")
    def run_number(self, event: RunEvent) -> int:
        return event.run_id

    @admin.display(description="What")
    def what(self, event: RunEvent) -> str:
        return short(str(event.payload))


@admin.register(OneTimePassword)
class OneTimePasswordAdmin(RecordAdmin):
    list_display = ("id", "user", "made_by", "made_at")
    list_select_related = ("user", "made_by")
    words = ("user__username__icontains",)


@admin.register(StepCheck)
class StepCheckAdmin(RecordAdmin):
    list_display = ("id", "iteration", "step", "against_step", "wins", "ties", "losses", "decision", "created_at")
    list_filter = ("decision",)
    list_select_related = ("iteration__run",)


@admin.register(StepComparison)
class StepComparisonAdmin(RecordAdmin):
    list_display = ("id", "iteration", "step", "prompt_start", "verdict_first", "verdict_second", "outcome")
    list_filter = ("outcome",)
    list_select_related = ("iteration__run", "prompt")

    @admin.display(description="Prompt")
    def prompt_start(self, row: StepComparison) -> str:
        return short(row.prompt.text)
