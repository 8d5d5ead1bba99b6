"""URLs under ``/api/v1/``."""

from __future__ import annotations

from django.urls import include, path, re_path
from rest_framework import exceptions
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter

from alignment_app.api import artifacts, data, runs, studies
from alignment_app.api.auth import TokenView
from alignment_app.api.base import BaseAPIView
from alignment_app.api.schema import DocsView, SchemaView


class UnknownURL(BaseAPIView):
    """Any unknown URL of the API, answered in the API's error format."""

    permission_classes = [AllowAny]
    schema = None

    def dispatch_unknown(self, request: Request) -> Response:
        raise exceptions.NotFound("Unknown API URL; see /api/v1/.")

    get = post = put = patch = delete = dispatch_unknown


router = DefaultRouter()
router.include_format_suffixes = False
router.register("runs", runs.RunViewSet, basename="api-run")
router.register("studies", studies.StudyViewSet, basename="api-study")
router.register("iterations", runs.IterationViewSet, basename="api-iteration")
router.register("datasets", data.DatasetViewSet, basename="api-dataset")
router.register("prompts", data.PromptViewSet, basename="api-prompt")
router.register("responses", data.ResponseViewSet, basename="api-response")
router.register("judgements", data.JudgementViewSet, basename="api-judgement")
router.register("pairs", data.PairViewSet, basename="api-pair")
router.register("checkpoints", artifacts.CheckpointViewSet, basename="api-checkpoint")
router.register("evaluations", artifacts.EvaluationViewSet, basename="api-evaluation")
router.register("measures", artifacts.MeasureViewSet, basename="api-measure")
router.register("metrics", artifacts.MetricViewSet, basename="api-metric")
router.register("snapshots", artifacts.SnapshotViewSet, basename="api-snapshot")
router.register("exports", artifacts.ExportViewSet, basename="api-export")
router.register("presets", artifacts.PresetViewSet, basename="api-preset")

urlpatterns = [
    path("token/", TokenView.as_view(), name="api-token"),
    path("schema/", SchemaView.as_view(), name="api-schema"),
    path("docs/", DocsView.as_view(), name="api-docs"),
    path("", include(router.urls)),
    re_path(r"", UnknownURL.as_view()),
]
