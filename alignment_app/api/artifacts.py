"""API of checkpoints, evaluations, frozen training sets, exports, metrics and presets."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.utils import OpenApiTypes, extend_schema, inline_serializer
from rest_framework import exceptions, mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from alignment_app.api.base import BaseAPIView, PlainJSON
from alignment_app.api.serializers import (
    CheckpointSerializer,
    ConfigField,
    EvaluationSerializer,
    ExportSerializer,
    SnapshotSerializer,
)
from alignment_app.downloads import Download, csv_file
from alignment_app.export_formats import DEFAULT_FORMAT, format_choices
from alignment_app.models import Checkpoint, DatasetSnapshot, Evaluation, Export
from alignment_app.selectors import metrics
from alignment_app.selectors.exports import Selection, manifest
from alignment_app.services import exports, people
from training.config import ConfigError, RunConfig, preset_data, preset_names
from training.domain.metric import Metric
from training.evaluation import registry
from training.evaluation.measure import Measure

MARGIN_FIELDS = (
    "part", "pair", "chosen_log_ratio", "rejected_log_ratio", "margin", "augmented_margin", "score_difference",
)  # fmt: skip
MarginAnswer = inline_serializer(
    "Margins", {"results": serializers.ListField(child=serializers.DictField(), help_text=", ".join(MARGIN_FIELDS))}
)


class CheckpointViewSet(
    BaseAPIView, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Checkpoint]
):
    """Checkpoints: the base model M0 and trained models, with files and hashes."""

    queryset = Checkpoint.objects.select_related("evaluation", "iteration").order_by("-id")
    serializer_class = CheckpointSerializer
    lookup_value_regex = r"\d{1,18}"
    filters = {"run": ("run", int), "number": ("number", int), "kind": ("kind", Checkpoint.Kind.values)}

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.STR})
    @action(detail=True, pagination_class=None, filter_backends=[])
    def metrics(self, request: Request, pk: str) -> HttpResponse:
        """The metrics of the checkpoint's training as CSV, one row per step; units are in docs/training.md."""
        checkpoint = self.get_object()
        if checkpoint.iteration is None:
            raise exceptions.NotFound("This checkpoint was not trained by a run and has no training steps.")
        lines = metrics.as_csv(checkpoint.run_id, iteration=checkpoint.iteration.number)
        return csv_file(lines, f"run-{checkpoint.run_id}-{checkpoint.name}-metrics.csv")

    @extend_schema(responses=MarginAnswer)
    @action(detail=True, pagination_class=None, filter_backends=[])
    def margins(self, request: Request, pk: str) -> Response:
        """Measured pairs: log-ratios and margins in nats, score difference in points, and the part of each pair."""
        rows = self.get_object().pair_margins.order_by("part", "id").values(*MARGIN_FIELDS)
        return Response({"results": list(rows)})


class EvaluationViewSet(
    BaseAPIView, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Evaluation]
):
    """Evaluations of checkpoints."""

    queryset = Evaluation.objects.order_by("-id")
    serializer_class = EvaluationSerializer
    lookup_value_regex = r"\d{1,18}"
    filters = {"run": ("checkpoint__run", int), "checkpoint": ("checkpoint", int)}


class SnapshotViewSet(
    BaseAPIView, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[DatasetSnapshot]
):
    """Frozen training sets."""

    queryset = DatasetSnapshot.objects.select_related("iteration").order_by("-id")
    serializer_class = SnapshotSerializer
    lookup_value_regex = r"\d{1,18}"
    filters = {
        "run": ("iteration__run", int),
        "iteration": ("iteration", int),
        "kind": ("kind", DatasetSnapshot.Kind.values),
        "content_hash": ("content_hash", str),
    }


class ExportRequest(serializers.Serializer[Any]):
    """The rows to export and the format. Filters are combined with AND."""

    kind = serializers.ChoiceField(Export.Kind.choices)
    format = serializers.ChoiceField(format_choices(), default=DEFAULT_FORMAT)
    snapshot = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    run = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    iteration = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1, help_text="Its id.")
    dataset = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    source = serializers.CharField(required=False, max_length=16, default="")  # type: ignore[assignment]
    excluded = serializers.BooleanField(default=False, help_text="Include pairs excluded in review.")


class ExportViewSet(BaseAPIView, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Export]):
    """Exports: create one and receive its rows; list earlier ones with author and hash."""

    queryset = Export.objects.order_by("-id")
    serializer_class = ExportSerializer
    parser_classes = [PlainJSON]
    lookup_value_regex = r"\d{1,18}"
    filters = {"kind": ("kind", Export.Kind.values), "author": ("author", str)}
    may_read = may_change = staticmethod(people.can_export)

    @extend_schema(request=ExportRequest, responses={(200, "application/x-ndjson"): OpenApiTypes.BINARY})
    def create(self, request: Request) -> StreamingHttpResponse:
        """Stream the rows. The response header ``Plumbline-Export`` is the number of the export."""
        asked = ExportRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        data = dict(asked.validated_data)
        file_format = data.pop("format")
        return Download(exports.export(Selection(**data), file_format, user=request.user))

    @extend_schema(responses=OpenApiTypes.OBJECT)
    @action(detail=True, pagination_class=None, filter_backends=[])
    def manifest(self, request: Request, pk: str) -> Response:
        """The manifest: author, time, selection, row count and content hash."""
        return Response(manifest(self.get_object()))


class MetricSerializer(serializers.Serializer[Metric]):
    """The name, unit, format and direction of a metric."""

    key = serializers.CharField(help_text="Field name in evaluations, curves and CSV files.")
    label = serializers.CharField()  # type: ignore[assignment]
    unit = serializers.CharField()
    format = serializers.CharField(help_text="number, percent (a share of one), places1, places2, p, duration, bytes.")
    better = serializers.CharField(help_text="up, down, or empty if models are not compared by the metric.")
    about = serializers.CharField()
    low = serializers.CharField(help_text="Field name of the lower bound of its 95 % interval; empty without one.")
    high = serializers.CharField(help_text="Field name of the upper bound.")
    count = serializers.SerializerMethodField(help_text="Field name of its sample size; empty without one.")

    def get_count(self, metric: Metric) -> str:
        return metric.count[0]


class MetricViewSet(BaseAPIView, viewsets.ViewSet):
    """All metrics of checkpoints and training runs, in display order."""

    filter_backends: list[Any] = []

    @extend_schema(responses=inline_serializer("Metrics", {"results": serializers.ListField(child=MetricSerializer())}))
    def list(self, request: Request) -> Response:
        return Response({"results": [MetricSerializer(metric).data for metric in registry.metrics()]})


class MeasureSerializer(serializers.Serializer[Measure]):
    """A measure of checkpoints and its requirements."""

    key = serializers.CharField()
    title = serializers.CharField()
    datasets = serializers.ListField(child=serializers.CharField(), help_text="Config fields that name its data sets.")
    needs_evaluator = serializers.BooleanField(help_text="The measure needs an evaluator, which may be the teacher.")
    needs_previous = serializers.BooleanField(help_text="The measure needs a previous checkpoint.")
    metrics = serializers.SerializerMethodField()

    def get_metrics(self, measure: Measure) -> list[str]:
        return [metric.key for metric in measure.metrics]


class MeasureViewSet(BaseAPIView, viewsets.ViewSet):
    """All measures of checkpoints, in order of execution."""

    filter_backends: list[Any] = []

    @extend_schema(
        responses=inline_serializer("Measures", {"results": serializers.ListField(child=MeasureSerializer())})
    )
    def list(self, request: Request) -> Response:
        return Response({"results": [MeasureSerializer(measure).data for measure in registry.MEASURES]})


PresetAnswer = inline_serializer(
    "Preset", {"name": serializers.CharField(), "config": ConfigField(), "config_hash": serializers.CharField()}
)


class PresetViewSet(BaseAPIView, viewsets.ViewSet):
    """Presets: published recipes."""

    lookup_value_regex = r"[A-Za-z0-9._-]{1,80}"
    filter_backends: list[Any] = []

    @extend_schema(responses=inline_serializer("Presets", {"results": serializers.ListField(child=PresetAnswer)}))
    def list(self, request: Request) -> Response:
        return Response({"results": [_preset(name) for name in preset_names()]})

    @extend_schema(responses=PresetAnswer)
    def retrieve(self, request: Request, pk: str) -> Response | HttpResponse:
        if pk not in preset_names():
            raise ConfigError([("preset", f"there is no preset {pk!r}; choose one of {', '.join(preset_names())}")])
        return Response(_preset(pk))


def _preset(name: str) -> dict[str, Any]:
    config = RunConfig.parse(preset_data(name))
    return {"name": name, "config": config.to_dict(), "config_hash": config.config_hash}
