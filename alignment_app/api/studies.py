"""Studies: grids of runs."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from alignment_app.api.base import BaseAPIView
from alignment_app.models import Study
from alignment_app.pages import studies as selectors
from alignment_app.services import studies
from training.config import read_stored


class StudySerializer(serializers.ModelSerializer[Study]):
    created_by = serializers.CharField(source="created_by.username", default="", read_only=True)
    axes = serializers.JSONField(read_only=True)

    class Meta:
        model = Study
        fields = ("id", "name", "preset", "axes", "created_by", "created_at")


StudyAsked = inline_serializer(
    "StudyAsked",
    {
        "name": serializers.CharField(),
        "preset": serializers.CharField(required=False, help_text="Start from a preset,"),
        "config": serializers.JSONField(required=False, help_text="or from a complete config,"),
        "run": serializers.IntegerField(required=False, help_text="or from the config of a run."),
        "set": serializers.DictField(required=False, help_text='Changes for all runs: {"training.epochs": 2}.'),
        "vary": serializers.DictField(
            help_text='One or two fields, and seed: {"training.lam": [0, 0.3], "seed": [1, 2]}.'
        ),
    },
)
StudyAnswer = inline_serializer(
    "StudyWithRuns",
    {
        "id": serializers.IntegerField(),
        "name": serializers.CharField(),
        "axes": serializers.JSONField(),
        "config": serializers.JSONField(),
        "runs": serializers.ListField(
            child=serializers.DictField(), help_text="Values, status and metrics of each run, with their intervals."
        ),
        "cells": serializers.ListField(
            child=serializers.DictField(),
            help_text="The points of the grid averaged over seeds. Of a metric KEY: its mean KEY, the bounds of its "
            "95 % interval (over seeds; of a single run its own), KEY_spread and KEY_seeds. best: the metrics of "
            "which this point is the best, its interval over seeds overlapping no other.",
        ),
    },
)


class StudyViewSet(BaseAPIView, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Study]):
    """Studies, newest first."""

    queryset: QuerySet[Study] = Study.objects.select_related("created_by")
    serializer_class = StudySerializer
    lookup_value_regex = r"\d{1,18}"
    filters = {"preset": ("preset", str), "created_by": ("created_by__username", str)}
    search_in = ("name__icontains",)

    @extend_schema(request=StudyAsked, responses={201: StudyAnswer})
    def create(self, request: Request) -> Response:
        """Launch one run per combination of values."""
        study = studies.launch(studies.plan(request.data), user=request.user)
        return Response(_detail(study), status=201)

    @extend_schema(responses=StudyAnswer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """A study with the current results of its runs."""
        return Response(_detail(self.get_object()))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a study with all its runs. Cancel active runs first."""
        studies.remove(self.get_object(), user=request.user)
        return Response(status=204)

    @extend_schema(request=None, responses=StudyAnswer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Pause the queued and running runs."""
        studies.pause(self.get_object(), user=request.user)
        return Response(_detail(self.get_object()))

    @extend_schema(request=None, responses=StudyAnswer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Resume the stopped runs."""
        studies.resume(self.get_object(), user=request.user)
        return Response(_detail(self.get_object()))

    @extend_schema(request=None, responses=StudyAnswer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Cancel the unfinished runs."""
        studies.cancel(self.get_object(), user=request.user)
        return Response(_detail(self.get_object()))


def _detail(study: Study) -> dict[str, Any]:
    shown = selectors.view(selectors.load(study.pk))
    return {
        **StudySerializer(shown.study).data,
        "config": read_stored(shown.study.config).config.to_dict(),
        "runs": [
            {
                "run": row.run.pk,
                "values": row.raw,
                "status": row.run.status,
                "progress": row.progress,
                "checkpoint": row.checkpoint.pk if row.checkpoint else None,
                "measures": row.measures,
            }
            for row in shown.outcomes
        ],
        "cells": [
            {
                "values": cell.raw,
                "runs": [row.run.pk for row in cell.rows],
                "measures": cell.measures,
                "best": sorted(cell.best),
            }
            for cell in shown.cells
        ],
    }
