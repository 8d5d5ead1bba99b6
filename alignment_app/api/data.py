"""API of data sets and their rows."""

from __future__ import annotations

import json
from typing import Any

from django.db.models import Count, Prefetch, QuerySet
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import mixins, parsers, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response as Answer

from alignment_app.api.base import BaseAPIView, PlainJSON
from alignment_app.api.pagination import Follow
from alignment_app.api.serializers import (
    DatasetSerializer,
    JudgementSerializer,
    PairSerializer,
    PromptSerializer,
    ResponseSerializer,
    RowSerializer,
)
from alignment_app.models import Dataset, Judgement, PreferencePair, Prompt, Response
from alignment_app.services import datasets, imports, people, uploads
from alignment_app.services.errors import Refused
from training.domain.importing import DATASET_KINDS

ROWS_AT_ONCE = 50_000


class MappingField(serializers.JSONField):
    """An object with text values, also accepted as JSON text in a form field."""

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if isinstance(data, str):
            try:
                data = json.loads(data or "{}")
            except (ValueError, RecursionError):
                raise serializers.ValidationError('must be a JSON object such as {"prompt": "instruction"}') from None
        if not isinstance(data, dict) or not all(isinstance(item, str) for item in data.values()) or len(data) > 50:
            raise serializers.ValidationError('must be an object with text values such as {"prompt": "instruction"}')
        return data


class ImportSerializer(serializers.Serializer[Any]):
    """A file (multipart) or rows (JSON), how to read them, and how to handle invalid lines."""

    name = serializers.CharField(max_length=120, help_text="Data set name; created if new.")
    file = serializers.FileField(required=False, help_text="JSON Lines, a JSON array, CSV or Parquet.")
    rows = serializers.ListField(
        required=False, child=serializers.JSONField(), max_length=ROWS_AT_ONCE, help_text="Rows instead of a file."
    )
    kind = serializers.ChoiceField(DATASET_KINDS, required=False, help_text="Default: derived from the first row.")
    mapping = MappingField(required=False, default=dict, help_text='{"prompt": "instruction"}')
    judges = MappingField(
        required=False, default=dict, help_text='{"teacher": "gemini"}; -1 means unparsed, null missing.'
    )
    source = serializers.ChoiceField(imports.PROMPT_SOURCES, default="imported")  # type: ignore[assignment]
    keep_good = serializers.BooleanField(default=False, help_text="Import the valid lines if others are invalid.")
    preview = serializers.BooleanField(default=False, help_text="Return how the rows are read, without storing them.")
    description = serializers.CharField(required=False, allow_blank=True, max_length=2000, default="")
    licence = serializers.CharField(required=False, allow_blank=True, max_length=80, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("file" in attrs) == ("rows" in attrs):
            raise serializers.ValidationError({"file": ["give either a file (multipart) or rows (JSON)"]})
        return attrs


class BadLineSerializer(serializers.Serializer[Any]):
    line = serializers.IntegerField()
    reason = serializers.CharField()


ImportAnswer = inline_serializer(
    "ImportReport",
    {
        "dataset": serializers.IntegerField(allow_null=True),
        "kind": serializers.CharField(),
        "added": serializers.IntegerField(),
        "repeated": serializers.IntegerField(help_text="Rows whose content already exists."),
        "bad_count": serializers.IntegerField(),
        "bad": BadLineSerializer(many=True),
        "mapping": serializers.DictField(child=serializers.CharField()),
    },
)


class DatasetViewSet(BaseAPIView, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Dataset]):
    """Data sets by name."""

    queryset = Dataset.objects.select_related("created_by").annotate(prompt_count=Count("prompts")).order_by("name")
    serializer_class = DatasetSerializer
    lookup_value_regex = r"\d{1,18}"
    filters = {"kind": ("kind", Dataset.Kind.values), "name": ("name", str), "run": ("run", int)}
    search_in = ("name__icontains",)
    may_change = staticmethod(people.can_import)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Answer:
        """Delete a data set with its rows, unless a run uses them."""
        datasets.remove(self.get_object(), user=request.user)
        return Answer(status=204)

    @extend_schema(responses=RowSerializer)
    @action(detail=True, pagination_class=Follow, filter_backends=[])
    def rows(self, request: Request, pk: str) -> Answer:
        """Rows of a data set in order: prompts with their imported responses and judgements."""
        judged = Response.objects.filter(iteration=None).order_by("index").prefetch_related("judgements__judge")
        found: Any = Prompt.objects.filter(dataset=self.get_object()).prefetch_related(
            Prefetch("responses", queryset=judged)
        )
        page: Any = self.paginate_queryset(found)
        return self.get_paginated_response(RowSerializer(page, many=True).data)

    @extend_schema(request=ImportSerializer, responses={201: ImportAnswer})
    @action(
        detail=False,
        methods=["post"],
        url_path="import",
        url_name="import",
        parser_classes=[PlainJSON, parsers.MultiPartParser],
        pagination_class=None,
    )
    def import_rows(self, request: Request) -> Answer:
        """Import rows, or with ``preview`` return how they would be read. Existing rows are skipped."""
        asked = ImportSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        data = asked.validated_data
        if "file" in data:
            uploads.check_size(data["file"])
        source = data["file"] if "file" in data else data["rows"]
        reading = {"mapping": data["mapping"], "judges": data["judges"]}
        if data["preview"] or "kind" not in data:
            at_most = None if data["preview"] else 50
            shown = imports.preview(source, data.get("kind", ""), at_most=at_most, **reading)
            if data["preview"]:
                return Answer(_previewed(shown))
            data["kind"] = shown.kind
        try:
            report = imports.import_rows(
                data["name"],
                data["kind"],
                source,
                keep_good=data["keep_good"],
                source=data["source"],
                description=data["description"],
                licence=data["licence"],
                user=request.user,
                **reading,
            )
        except imports.BadLines as error:
            raise _Named(error) from None
        return Answer(
            {
                "dataset": report.dataset.pk if report.dataset else None,
                "kind": data["kind"],
                "added": report.added,
                "repeated": report.repeated,
                **_bad(report),
                "mapping": data["mapping"],
            },
            status=201,
        )


class _Named(Refused):
    """Invalid lines, each by its number in ``fields``."""

    def __init__(self, error: imports.BadLines) -> None:
        super().__init__(error.code, error.message, status=error.status)
        self.fields = {f"line {line}": [reason] for line, reason in error.report.bad}


def _bad(report: imports.ImportReport) -> dict[str, Any]:
    return {
        "bad_count": report.bad_count,
        "bad": [{"line": line, "reason": reason} for line, reason in report.bad],
    }


def _previewed(shown: imports.Preview) -> dict[str, Any]:
    return {
        "kind": shown.kind,
        "mapping": shown.mapping,
        "fields": shown.fields,
        "score_columns": shown.score_columns,
        "good": shown.good,
        **_bad(shown.report),
        "rows": [
            {
                "messages": row.messages,
                "responses": [
                    {
                        "text": response.text,
                        "scores": {score.column: score.score for score in response.scores},
                    }
                    for response in row.responses
                ],
                "meta": row.meta,
            }
            for row in shown.rows
        ],
    }


class _Rows(BaseAPIView, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Any]):
    pagination_class = Follow
    lookup_value_regex = r"\d{1,18}"


class PromptViewSet(_Rows):
    """Prompts of all data sets; ``run`` and ``iteration`` select the prompts used there."""

    queryset: QuerySet[Any] = Prompt.objects.all()
    serializer_class = PromptSerializer
    filters = {
        "dataset": ("dataset", int),
        "source": ("source", Prompt.Source.values),
        "run": ("uses__iteration__run", int),
        "iteration": ("uses__iteration", int),
        "content_hash": ("content_hash", str),
    }
    search_in = ("text__icontains",)

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """List a prompt once, even if several iterations use it."""
        found = super().filter_queryset(queryset)
        return found.distinct() if {"run", "iteration"} & set(self.request.query_params) else found


class ResponseViewSet(_Rows):
    """Responses by students, teachers and people, or imported."""

    queryset: QuerySet[Any] = Response.objects.all()
    serializer_class = ResponseSerializer
    filters = {
        "prompt": ("prompt", int),
        "dataset": ("prompt__dataset", int),
        "run": ("iteration__run", int),
        "iteration": ("iteration", int),
        "checkpoint": ("checkpoint", int),
        "source": ("source", Response.Source.values),
        "purpose": ("purpose", Response.Purpose.values),
    }


class JudgementViewSet(_Rows):
    """Judgements with all raw replies. ``unparsed=true``: without a parsed score."""

    queryset: QuerySet[Any] = Judgement.objects.select_related("judge")
    serializer_class = JudgementSerializer
    filters = {
        "response": ("response", int),
        "prompt": ("response__prompt", int),
        "dataset": ("response__prompt__dataset", int),
        "run": ("iteration__run", int),
        "iteration": ("iteration", int),
        "source": ("source", Judgement.Source.values),
        "judge": ("judge__label", str),
        "judge_id": ("judge", int),
        "unparsed": ("score__isnull", bool),
    }


class PairViewSet(_Rows):
    """Preference pairs."""

    queryset: QuerySet[Any] = PreferencePair.objects.all()
    serializer_class = PairSerializer
    filters = {
        "prompt": ("prompt", int),
        "dataset": ("prompt__dataset", int),
        "run": ("iteration__run", int),
        "iteration": ("iteration", int),
        "origin": ("origin", PreferencePair.Origin.values),
        "state": ("state", PreferencePair.State.values),
    }
