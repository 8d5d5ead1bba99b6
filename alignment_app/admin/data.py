"""Data sets, prompts, responses, judgements and pairs."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from alignment_app.admin.base import RecordAdmin, export_actions, short
from alignment_app.models import Dataset, IterationPrompt, Judgement, PreferencePair, Prompt, RejectedPrompt, Response


def _responses_of_sets(sets: QuerySet[Any]) -> QuerySet[Any]:
    return Response.objects.filter(prompt__dataset__in=sets.values("pk"))


def _judgements_of_sets(sets: QuerySet[Any]) -> QuerySet[Any]:
    return Judgement.objects.filter(response__prompt__dataset__in=sets.values("pk"))


def _pairs_of_sets(sets: QuerySet[Any]) -> QuerySet[Any]:
    return PreferencePair.objects.filter(prompt__dataset__in=sets.values("pk"), state__in=PreferencePair.TRAINABLE)


@admin.register(Dataset)
class DatasetAdmin(RecordAdmin):
    list_display = ("id", "name", "kind", "licence", "run", "created_by", "created_at")
    list_display_links = ("id", "name")
    list_filter = ("kind",)
    list_select_related = ("run", "created_by")
    numbers = {"run": "run"}
    words = ("name__icontains",)
    fields = ("name", "kind", "description", "licence", "source_hash", "run", "created_by", "created_at")
    readonly_fields = ("name", "kind", "source_hash", "run", "created_by", "created_at")
    actions = [
        *export_actions("pairs", _pairs_of_sets),
        *export_actions("responses", _responses_of_sets),
        *export_actions("judgements", _judgements_of_sets),
    ]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Description and licence can be edited later."""
        return bool(request.user.is_superuser)


@admin.register(Prompt)
class PromptAdmin(RecordAdmin):
    list_display = ("id", "first_words", "dataset", "source", "created_at")
    list_filter = ("source",)
    list_select_related = ("dataset",)
    numbers = {"dataset": "dataset", "iteration": "uses__iteration"}
    words = ("text__icontains",)

    @admin.display(description="Prompt")
    def first_words(self, prompt: Prompt) -> str:
        return short(prompt.text)


@admin.register(IterationPrompt)
class IterationPromptAdmin(RecordAdmin):
    list_display = ("id", "iteration", "role", "position", "first_words", "outcome")
    list_filter = ("role", "outcome_code")
    list_select_related = ("iteration", "prompt")
    numbers = {"iteration": "iteration", "run": "iteration__run", "prompt": "prompt"}

    @admin.display(description="Prompt")
    def first_words(self, use: IterationPrompt) -> str:
        return short(use.prompt.text)


@admin.register(RejectedPrompt)
class RejectedPromptAdmin(RecordAdmin):
    list_display = ("id", "first_words", "reason", "rouge_l", "iteration", "round")
    list_filter = ("reason",)
    list_select_related = ("iteration",)
    numbers = {"iteration": "iteration", "run": "iteration__run"}
    words = ("text__icontains",)

    @admin.display(description="Prompt")
    def first_words(self, rejected: RejectedPrompt) -> str:
        return short(rejected.text)


@admin.register(Response)
class ResponseAdmin(RecordAdmin):
    list_display = ("id", "first_words", "prompt_number", "source", "purpose", "index", "iteration", "token_count")
    list_filter = ("source", "purpose")
    list_select_related = ("iteration",)
    numbers = {
        "prompt": "prompt",
        "iteration": "iteration",
        "run": "iteration__run",
        "checkpoint": "checkpoint",
    }
    words = ("text__icontains",)
    actions = export_actions("responses")

    @admin.display(description="Response")
    def first_words(self, response: Response) -> str:
        return short(response.text)

    @admin.display(description="Prompt")
    def prompt_number(self, response: Response) -> int:
        return response.prompt_id


@admin.register(Judgement)
class JudgementAdmin(RecordAdmin):
    list_display = (
        "id",
        "response_number",
        "source",
        "judge",
        "score_or_unparsed",
        "parsed",
        "iteration",
        "created_at",
    )
    list_filter = ("source", ("score", admin.EmptyFieldListFilter))
    list_select_related = ("iteration", "judge")
    numbers = {
        "response": "response",
        "prompt": "response__prompt",
        "iteration": "iteration",
        "run": "iteration__run",
        "judge": "judge",
    }
    words = ("judge__label__icontains",)
    actions = export_actions("judgements")

    @admin.display(description="Response")
    def response_number(self, judgement: Judgement) -> int:
        return judgement.response_id

    @admin.display(description="Score")
    def score_or_unparsed(self, judgement: Judgement) -> str:
        return "unparsed" if judgement.score is None else f"{judgement.score:.2f}"

    @admin.display(description="Parsed")
    def parsed(self, judgement: Judgement) -> str:
        return f"{judgement.parsed_count} of {judgement.sample_count}"


@admin.register(PreferencePair)
class PreferencePairAdmin(RecordAdmin):
    list_display = ("id", "first_words", "margin", "origin", "state", "iteration", "updated_at")
    list_filter = ("origin", "state")
    list_select_related = ("iteration", "prompt")
    numbers = {
        "prompt": "prompt",
        "iteration": "iteration",
        "run": "iteration__run",
        "dataset": "prompt__dataset",
        "response": "chosen",
    }
    actions = export_actions("pairs")

    @admin.display(description="Prompt")
    def first_words(self, pair: PreferencePair) -> str:
        return short(pair.prompt.text)
