"""API of runs: launch, read, control."""

from __future__ import annotations

import json
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema, inline_serializer
from rest_framework import exceptions, mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from alignment_app.api.base import BaseAPIView, PlainJSON, YamlDocument, read_filter
from alignment_app.api.run_shapes import (
    BudgetSerializer,
    CloneSerializer,
    ConfigAnswer,
    CostsAnswer,
    EstimateAnswer,
    EventAnswer,
    LaunchSerializer,
    SampleAnswer,
    leakage_shape,
)
from alignment_app.api.serializers import (
    IterationSerializer,
    PairSerializer,
    PromptSerializer,
    RunDetailSerializer,
    RunSerializer,
)
from alignment_app.downloads import csv_file
from alignment_app.models import Iteration, Run, Stage
from alignment_app.pages import launching
from alignment_app.selectors import events, metrics, samples
from alignment_app.services import leakage, runs, spending
from alignment_app.services.configs import build_config
from training.config import RunConfig


class RunViewSet(
    BaseAPIView,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    viewsets.GenericViewSet[Run],
):
    """Runs, newest first."""

    queryset = Run.objects.select_related("created_by")
    lookup_value_regex = r"\d{1,18}"
    filters = {
        "status": ("status", Run.Status.values),
        "paradigm": ("paradigm", ("self_reward", "teacher_reward", "teacher_demonstration")),
        "preset": ("preset", str),
        "config_hash": ("config_hash", str),
        "created_by": ("created_by__username", str),
        "cloned_from": ("cloned_from", int),
    }
    search_in = ("name__icontains",)

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        return RunSerializer if self.action == "list" else RunDetailSerializer

    def get_queryset(self) -> QuerySet[Run]:
        if self.action == "list":
            return super().get_queryset()
        return super().get_queryset().prefetch_related(_with_stages())

    @extend_schema(request=LaunchSerializer, responses={201: RunDetailSerializer})
    def create(self, request: Request) -> Response:
        """Launch a run."""
        config, preset = _asked(request)
        run = runs.launch(config, user=request.user, preset=preset)
        return Response(self._detail(run), status=201)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a run with its rows and files. Cancel an active run first."""
        runs.remove(self.get_object(), user=request.user)
        return Response(status=204)

    @extend_schema(request=LaunchSerializer, responses=ConfigAnswer)
    @action(detail=False, methods=["post"], pagination_class=None, parser_classes=[PlainJSON, YamlDocument])
    def validate(self, request: Request) -> Response:
        """Validate a config without launching it: returns the complete config, its hash and its YAML."""
        config, _ = _asked(request)
        runs.check_names(config)
        return Response({"config": config.to_dict(), "config_hash": config.config_hash, "yaml": config.to_yaml()})

    @extend_schema(request=LaunchSerializer, responses=EstimateAnswer)
    @action(detail=False, methods=["post"], pagination_class=None, parser_classes=[PlainJSON, YamlDocument])
    def estimate(self, request: Request) -> Response:
        """Estimate the resources of a config on this machine, and list probable mistakes."""
        config, _ = _asked(request)
        datasets = launching.dataset_choices()
        found = launching.estimate_of(config, datasets)
        leaks = leakage.of_config(config)
        return Response(
            {
                "seconds": found.seconds,
                "memory_bytes": found.memory_bytes,
                "disk_bytes": found.disk_bytes,
                "fits": found.fits,
                "teacher_tokens": found.teacher_tokens,
                "teacher_usd": found.teacher_usd,
                "parts": [{"what": what, "seconds": seconds} for what, seconds in found.parts],
                "notes": found.notes,
                "leakage": [leakage_shape(one) for one in leaks],
                "warnings": [
                    {"field": field, "message": text} for field, text in launching.warnings_of(config, datasets, leaks)
                ],
            }
        )

    @extend_schema(request=None, responses=RunDetailSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Pause at the next safe point. Saved rows are kept."""
        return Response(self._detail(runs.pause(self.get_object(), user=request.user)))

    @extend_schema(request=None, responses=RunDetailSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Resume; only missing rows are computed."""
        return Response(self._detail(runs.resume(self.get_object(), user=request.user)))

    @extend_schema(request=BudgetSerializer, responses=RunDetailSerializer)
    @action(detail=True, methods=["post"])
    def budget(self, request: Request, pk: str) -> Response:
        """Set the run's teacher budget. The config does not change."""
        asked = BudgetSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        run = spending.set_budget(
            self.get_object(), tokens=given.get("tokens"), usd=given.get("usd"), user=request.user
        )
        return Response(self._detail(run))

    @extend_schema(request=None, responses=CostsAnswer)
    @action(detail=True)
    def costs(self, request: Request, pk: str) -> Response:
        """Teacher costs so far, as counted by the provider, and the current budget."""
        run = self.get_object()
        found, limits = spending.totals(run.pk), spending.allowance(run)
        named = {name: found[name] for name in ("calls", "lost", "prompt", "completion", "tokens", "usd", "unpriced")}
        return Response({**named, "budget_tokens": limits.tokens, "budget_usd": limits.usd})

    @extend_schema(request=None, responses=RunDetailSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Cancel at the next safe point, or by force after a grace period."""
        return Response(self._detail(runs.cancel(self.get_object(), user=request.user)))

    @extend_schema(
        request=inline_serializer("Approve", {"iteration": serializers.IntegerField(min_value=0)}),
        responses=RunDetailSerializer,
    )
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Approve the review of an iteration, so that it trains."""
        run = self.get_object()
        asked = request.data.get("iteration") if isinstance(request.data, dict) else None
        runs.approve_review(_iteration(run, asked), user=request.user)
        return Response(self._detail(run))

    @extend_schema(request=CloneSerializer, responses={201: RunDetailSerializer})
    @action(detail=True, methods=["post"])
    def clone(self, request: Request, pk: str) -> Response:
        """Launch the same config again, optionally with changes."""
        run = self.get_object()
        asked = CloneSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        config = build_config(
            data=run.stored_config.data,
            overrides=_overrides(asked.validated_data),
            name=asked.validated_data.get("name", ""),
        )
        return Response(
            self._detail(runs.launch(config, user=request.user, preset=run.preset, cloned_from=run)), status=201
        )

    @extend_schema(
        responses=EventAnswer,
        parameters=[
            OpenApiParameter("after", int, description="Only events after this sequence number; 0: all."),
            OpenApiParameter("limit", int, description=f"At most {events.PAGE}."),
        ],
    )
    @action(detail=True, pagination_class=None, filter_backends=[])
    def events(self, request: Request, pk: str) -> Response:
        """Events of the run after a cursor, in order and without gaps."""
        run = self.get_object()
        after = _number(request, "after", 0)
        limit = min(max(_number(request, "limit", events.PAGE), 1), events.PAGE)
        return Response({"events": events.after(run.pk, after, limit), "last_seq": events.last_seq(run.pk)})

    @extend_schema(
        responses=SampleAnswer,
        parameters=[
            OpenApiParameter("iteration", int, description="Iteration number; default: the newest with samples."),
            OpenApiParameter("page", int),
            OpenApiParameter("search", OpenApiTypes.STR),
        ],
    )
    @action(detail=True, pagination_class=None, filter_backends=[])
    def samples(self, request: Request, pk: str) -> Response:
        """Prompts of an iteration with responses, judgements with raw replies, and pairs."""
        run = self.get_object()
        given = request.query_params.get("iteration")
        iteration = _iteration(run, given) if given else _newest(run)
        page = samples.prompts_page(
            iteration,
            request.query_params.get("search", "").replace("\x00", "")[:200],
            page=_number(request, "page", 1),
        )
        return Response(
            {
                "count": page.paginator.count,
                "page": page.number,
                "pages": page.paginator.num_pages,
                "results": [_sample(item) for item in page.object_list],
            }
        )

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.STR})
    @action(detail=True, pagination_class=None, filter_backends=[])
    def metrics(self, request: Request, pk: str) -> HttpResponse:
        """Training metrics of the run as CSV, one row per step; units are in docs/training.md."""
        run = self.get_object()
        return csv_file(metrics.as_csv(run.pk), f"run-{run.pk}-metrics.csv")

    def _detail(self, run: Run) -> dict[str, Any]:
        found = Run.objects.select_related("created_by").prefetch_related(_with_stages()).get(pk=run.pk)
        return dict(RunDetailSerializer(found).data)

    def get_parsers(self) -> list[Any]:
        """Accept a YAML document for launches too."""
        made = super().get_parsers()
        if self.request is not None and self.request.method == "POST" and not self.kwargs.get("pk"):
            made.append(YamlDocument())
        return made


class IterationViewSet(
    BaseAPIView, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Iteration]
):
    """Iterations with their stages."""

    queryset = Iteration.objects.order_by("run", "number").prefetch_related(
        Prefetch("stages", queryset=Stage.objects.order_by("position"))
    )
    serializer_class = IterationSerializer
    lookup_value_regex = r"\d{1,18}"
    filters = {"run": ("run", int), "number": ("number", int)}


def _with_stages() -> Prefetch[Any]:
    stages = Prefetch("stages", queryset=Stage.objects.order_by("position"))
    return Prefetch("iterations", queryset=Iteration.objects.order_by("number").prefetch_related(stages))


def _asked(request: Request) -> tuple[RunConfig, str]:
    """Return the requested config, and the preset's name if it is based on one."""
    asked = LaunchSerializer(data=request.data)
    asked.is_valid(raise_exception=True)
    data = asked.validated_data
    config = build_config(
        data=data.get("config"),
        yaml=data.get("yaml"),
        preset=data.get("preset", ""),
        overrides=_overrides(data),
        name=data.get("name", ""),
    )
    return config, data.get("preset", "")


def _overrides(data: dict[str, Any]) -> list[str]:
    """Convert ``{"a.b": value}`` to ``a.b=value``, since JSON is valid YAML."""
    return [f"{field}={json.dumps(value, ensure_ascii=False)}" for field, value in data.get("overrides", {}).items()]


def _number(request: Request, name: str, default: int) -> int:
    value = request.query_params.get(name)
    if value is None or value == "":
        return default
    try:
        return int(read_filter(value, int))
    except ValueError as error:
        raise exceptions.ValidationError({name: [str(error)]}) from None


def _iteration(run: Run, number: Any) -> Iteration:
    text = str(number) if isinstance(number, int | str) and not isinstance(number, bool) else ""
    if not (text.isascii() and text.isdigit()) or len(text) > 4:
        raise exceptions.ValidationError({"iteration": ["must be the number of an iteration"]})
    found = run.iterations.filter(number=int(text)).first()
    if found is None:
        raise exceptions.NotFound(f"Run {run.pk} has no iteration {text}.")
    return found


def _newest(run: Run) -> Iteration:
    found = run.iterations.filter(iteration_prompts__isnull=False).order_by("-number").first()
    found = found or run.iterations.order_by("-number").first()
    if found is None:
        raise exceptions.NotFound(f"Run {run.pk} has no iterations.")
    return found


def _sample(item: samples.PromptSample) -> dict[str, Any]:
    from alignment_app.api.serializers import JudgementSerializer, ResponseSerializer

    return {
        "prompt": PromptSerializer(item.prompt).data,
        "iteration": item.iteration.number,
        "outcome": item.outcome,
        "outcome_code": item.outcome_code,
        "responses": [
            {
                **ResponseSerializer(candidate.response).data,
                "judgements": JudgementSerializer(candidate.judgements, many=True).data,
            }
            for candidate in item.candidates
        ],
        "pair": PairSerializer(item.pair).data if item.pair else None,
    }
