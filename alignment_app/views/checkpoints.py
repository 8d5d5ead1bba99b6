"""Checkpoint pages: list, detail, and the rows behind each metric."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from alignment_app.downloads import csv_file
from alignment_app.models import Checkpoint, Comparison, PairMargin, PreferencePair
from alignment_app.pages import checkpoints as selectors
from alignment_app.pages import curve_charts, margins
from alignment_app.selectors import curves, metrics, rankings


def _checkpoint(pk: int) -> Checkpoint:
    return get_object_or_404(
        selectors.checkpoints_of_runs().select_related("evaluation__against", "evaluation__judge", "iteration"), pk=pk
    )


def _page(request: HttpRequest, template: str, checkpoint: Checkpoint, **context: Any) -> HttpResponse:
    return render(request, f"checkpoints/{template}.html", {"checkpoint": checkpoint, "run": checkpoint.run, **context})


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """List the runs with their checkpoints and lineage."""
    query = request.GET.get("q", "")
    page = selectors.runs_with_checkpoints(query, request.GET.get("page"))
    return render(request, "checkpoints/index.html", {"page": page, "query": query})


@require_GET
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a checkpoint: lineage, files, training and evaluation."""
    checkpoint = _checkpoint(pk)
    found = curves.curves(checkpoint.run, iteration=checkpoint.iteration.number) if checkpoint.iteration else []
    return _page(
        request,
        "detail",
        checkpoint,
        detail=selectors.checkpoint_detail(checkpoint),
        margins=margins.tables(checkpoint),
        charts=curve_charts.charts(),
        curves=[curve.as_json() for curve in found],
    )


@require_GET
def metrics_csv(request: HttpRequest, pk: int) -> HttpResponse:
    """Return all training steps of the checkpoint as a CSV file."""
    checkpoint = _checkpoint(pk)
    if checkpoint.iteration is None:
        raise Http404("This checkpoint was not trained by a run.")
    lines = metrics.as_csv(checkpoint.run_id, iteration=checkpoint.iteration.number)
    return csv_file(lines, f"run-{checkpoint.run_id}-{checkpoint.name}-metrics.csv")


@require_GET
def pair_margins(request: HttpRequest, pk: int, part: str) -> HttpResponse:
    """Show the measured pairs of a set with margins and scores."""
    checkpoint = _checkpoint(pk)
    if part not in PairMargin.Part.values:
        raise Http404(f"Unknown part {part}.")
    order = request.GET.get("order", "")
    return _page(
        request,
        "margins",
        checkpoint,
        table=next((table for table in margins.tables(checkpoint) if table.part == part), None),
        page=margins.page(checkpoint, part, order, request.GET.get("page")),
        order=order,
        orders=margins.ORDERS,
    )


@require_GET
def data(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the training set of the checkpoint."""
    checkpoint = _checkpoint(pk)
    if checkpoint.snapshot is None:
        raise Http404("This checkpoint was not trained by a run.")
    state = request.GET.get("state", "")
    return _page(
        request,
        "data",
        checkpoint,
        summary=selectors.snapshot_summary(checkpoint.snapshot),
        page=selectors.snapshot_page(checkpoint.snapshot, state, request.GET.get("page")),
        state=state,
        states=PreferencePair.State.choices,
    )


@require_GET
def answers(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the checkpoint's answers to held-out prompts with scores."""
    checkpoint = _checkpoint(pk)
    score, order = request.GET.get("score", ""), request.GET.get("order", "")
    page = selectors.answers_page(checkpoint, score, order, request.GET.get("page"))
    left_out = selectors.left_out_of(checkpoint)
    return _page(
        request, "answers", checkpoint, page=page, score=score, order=order, scores="543210", left_out=left_out
    )


@require_GET
def comparisons(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the head-to-head comparisons with the previous checkpoint, with verdicts in both orders."""
    checkpoint = _checkpoint(pk)
    outcome = request.GET.get("outcome", "")
    prompt = request.GET.get("prompt", "")
    page = selectors.comparisons_page(checkpoint, outcome, request.GET.get("page"), prompt)
    return _page(request, "comparisons", checkpoint, page=page, outcome=outcome, outcomes=Comparison.Outcome.choices)


@require_GET
def judgements(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the judgements of the self-judge evaluation with raw replies."""
    checkpoint = _checkpoint(pk)
    only, number = request.GET.get("only", ""), request.GET.get("page")
    if request.GET.get("on") == "rankings":
        return _page(request, "rankings", checkpoint, page=rankings.page(checkpoint, only, number), only=only)
    page = selectors.judgements_page(checkpoint, only, number)
    ranked = rankings.judged_by(checkpoint).exists()
    return _page(request, "judgements", checkpoint, page=page, only=only, ranked=ranked)
